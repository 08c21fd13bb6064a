//! Reads of verifications by their ids.

use crate::bench::Bench;
use crate::error::BenchError;
use crate::protocol::Kind;
use crate::report::Sample;

/// More than the processor's caches hold, fewer than a busy hour has.
const VERIFICATIONS: u64 = 20_000;
/// How many in a hundred verifications change.
const CHANGING: u64 = 1;

pub(super) async fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let bare = bench.bare_handler().await?;
    let mut deployment = bench.deploy("poll").await?;
    deployment.set_workers(bench.options.workers as usize).await?;
    bench.prepare(&mut deployment, Some(VERIFICATIONS), 600.0, true).await?;
    deployment.drained().await?;
    let poll = bench.closed_loop(&mut deployment, Kind::Poll { changing: CHANGING }, false).await?;
    bench.add("poll", Sample::rate(poll.outcome.rate(), &poll).over(bare));
    deployment.stop(&bench.services).await
}
