//! Requests for codes.

use crate::bench::{Bench, create};
use crate::error::BenchError;
use crate::protocol::{Kind, Numbers};
use crate::report::Sample;

pub(super) async fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let bare = bench.bare_inserts().await?;
    let inserts = bench.inserts().await?;
    let mut deployment = bench.deploy("accept").await?;
    let accept = bench.closed_loop(&mut deployment, create(), false).await?;
    let rate = accept.outcome.rate();
    bench.add("accept.stopped", Sample::rate(rate, &accept).over(inserts));
    bench.add("accept.stopped.bare", Sample::of(rate).over(bare));
    bench.accepted.insert(bench.release, rate);
    deployment.idle().await?;
    bench.sync().await?;
    let half = bench.open_loop(&mut deployment, create(), rate / 2.0, false).await?;
    bench.add("accept.half", Sample::with(half.outcome.latency.p99, &half));
    deployment.stop(&bench.services).await?;

    let inserts = bench.inserts().await?;
    let mut deployment = bench.deploy("accept_running").await?;
    deployment.set_workers(bench.options.workers as usize).await?;
    let running = bench.closed_loop(&mut deployment, create(), false).await?;
    let rate = running.outcome.rate();
    bench.add("accept.running", Sample::rate(rate, &running).over(inserts));
    bench.add("accept.running.bare", Sample::of(rate).over(bare));
    deployment.stop(&bench.services).await
}

pub(super) async fn hot(bench: &mut Bench) -> Result<(), BenchError> {
    let accept = match bench.accepted.get(&bench.release) {
        Some(accept) => *accept,
        None => {
            let mut deployment = bench.deploy("accept").await?;
            let accept = bench.closed_loop(&mut deployment, create(), false).await?.outcome.rate();
            deployment.stop(&bench.services).await?;
            accept
        }
    };
    let mut deployment = bench.deploy("accept_hot").await?;
    let kind = Kind::Create { numbers: Numbers::Hot, keep: false };
    let hot = bench.closed_loop(&mut deployment, kind, false).await?;
    let limited = hot.outcome.statuses.get(&429).copied().unwrap_or(0);
    bench.print(&format!("  answers by status: {:?} ({limited} limited)", hot.outcome.statuses));
    bench.add("accept-hot", Sample::rate(hot.outcome.rate(), &hot).over(accept));
    deployment.stop(&bench.services).await
}
