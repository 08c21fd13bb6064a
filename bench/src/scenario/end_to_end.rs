//! From the request until the gateway has the message.

use crate::bench::{Bench, create};
use crate::error::BenchError;
use crate::report::Sample;

pub(super) async fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let bare = bench.bare_inserts().await?;
    let inserts = bench.inserts().await?;
    let queue = bench.quorum().await?;
    let mut deployment = bench.deploy("end_to_end").await?;
    deployment.set_workers(bench.options.workers as usize).await?;
    let whole = bench.closed_loop(&mut deployment, create(), true).await?;
    let rate = whole.outcome.taken.unwrap_or(0.0);
    bench.add("end-to-end", Sample::rate(rate, &whole).over(inserts));
    bench.add("end-to-end.bare", Sample::of(rate).over(bare));
    bench.add("end-to-end.quorum", Sample::of(rate).over(queue));
    deployment.drained().await?;
    bench.sync().await?;
    let half = bench.open_loop(&mut deployment, create(), rate / 2.0, true).await?;
    let gateway = half.outcome.gateway.unwrap_or_default();
    let sample = Sample { latency: Some(gateway), ..Sample::with(gateway.p99, &half) };
    bench.add("end-to-end.half", sample);
    deployment.stop(&bench.services).await
}
