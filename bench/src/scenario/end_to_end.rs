//! From the request until the gateway has the message.

use super::{Bench, create};
use crate::BenchError;
use crate::report::Sample;

pub(super) async fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let bare = bench.bare_inserts().await?;
    let inserts = bench.pgbench().await?;
    let queue = bench.quorum().await?;
    let mut world = bench.world("end_to_end").await?;
    world.set_workers(bench.options.workers as usize).await?;
    let whole = bench.closed(&mut world, create(), true).await?;
    let rate = whole.outcome.taken.unwrap_or(0.0);
    bench.add("end-to-end", Sample::rate(rate, &whole).over(inserts));
    bench.add("end-to-end.bare", Sample::of(rate).over(bare));
    bench.add("end-to-end.quorum", Sample::of(rate).over(queue));
    world.drained().await?;
    bench.sync().await?;
    let half = bench.open(&mut world, create(), rate / 2.0, true).await?;
    let gateway = half.outcome.gateway.unwrap_or_default();
    let sample = Sample { latency: Some(gateway), ..Sample::with(gateway.p99, &half) };
    bench.add("end-to-end.half", sample);
    world.stop(&bench.services).await
}
