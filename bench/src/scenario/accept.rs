//! Requests for codes.

use super::{Bench, create};
use crate::BenchError;
use crate::protocol::{Kind, Numbers};
use crate::report::Sample;

pub(super) async fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let bare = bench.bare_inserts().await?;
    let inserts = bench.pgbench().await?;
    let mut world = bench.world("accept").await?;
    let accept = bench.closed(&mut world, create(), false).await?;
    let rate = accept.outcome.rate();
    bench.add("accept.stopped", Sample::rate(rate, &accept).over(inserts));
    bench.add("accept.stopped.bare", Sample::of(rate).over(bare));
    bench.accepted = Some(rate);
    world.quiet().await?;
    bench.sync().await?;
    let half = bench.open(&mut world, create(), rate / 2.0, false).await?;
    bench.add("accept.half", Sample::with(half.outcome.latency.p99, &half));
    world.stop(&bench.services).await?;

    let inserts = bench.pgbench().await?;
    let mut world = bench.world("accept_running").await?;
    world.set_workers(bench.options.workers as usize).await?;
    let running = bench.closed(&mut world, create(), false).await?;
    let rate = running.outcome.rate();
    bench.add("accept.running", Sample::rate(rate, &running).over(inserts));
    bench.add("accept.running.bare", Sample::of(rate).over(bare));
    world.stop(&bench.services).await
}

pub(super) async fn hot(bench: &mut Bench) -> Result<(), BenchError> {
    let accept = match bench.accepted {
        Some(accept) => accept,
        None => {
            let mut world = bench.world("accept").await?;
            let accept = bench.closed(&mut world, create(), false).await?.outcome.rate();
            world.stop(&bench.services).await?;
            accept
        }
    };
    let mut world = bench.world("accept_hot").await?;
    let kind = Kind::Create { numbers: Numbers::Hot, keep: false };
    let hot = bench.closed(&mut world, kind, false).await?;
    let limited = hot.outcome.statuses.get(&429).copied().unwrap_or(0);
    bench.tell(&format!("  answers by status: {:?} ({limited} limited)", hot.outcome.statuses));
    bench.add("accept-hot", Sample::rate(hot.outcome.rate(), &hot).over(accept));
    world.stop(&bench.services).await
}
