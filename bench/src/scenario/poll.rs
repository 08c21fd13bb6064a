//! Looks at verifications, by their ids.

use super::Bench;
use crate::BenchError;
use crate::protocol::Kind;
use crate::report::Sample;

/// More than any cache line, fewer than a busy hour.
const VERIFICATIONS: u64 = 20_000;
/// Of a hundred.
const CHANGING: u64 = 1;

pub(super) async fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let bare = bench.bare().await?;
    let mut world = bench.world("poll").await?;
    world.set_workers(bench.options.workers as usize).await?;
    bench.prepare(&mut world, Some(VERIFICATIONS), 600.0, true).await?;
    world.drained().await?;
    let poll = bench.closed(&mut world, Kind::Poll { changing: CHANGING }, false).await?;
    bench.add("poll", Sample::rate(poll.outcome.rate(), &poll).over(bare));
    world.stop(&bench.services).await
}
