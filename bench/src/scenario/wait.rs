//! Many clients that wait for a change: what they weigh, and how soon they hear of it.

use super::Bench;
use crate::BenchError;
use crate::protocol::{Command, Hold};
use crate::report::Sample;

/// Verifications that change in a second.
const CHANGES: f64 = 100.0;
/// Seconds until the last of those who arrive is at rest.
const SETTLE: f64 = 3.0;

pub(super) async fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let waiters = u64::from(bench.options.waiters);
    let mut world = bench.world("wait").await?;
    world.set_workers(bench.options.workers as usize).await?;
    bench.prepare(&mut world, Some(waiters), 600.0, true).await?;
    world.drained().await?;
    // What the API had used to create them would hide what the waiting takes.
    world.restart_api().await?;
    world.quiet().await?;
    let before = world.resident("api").unwrap_or(0);
    let hold = Hold {
        server: world.api,
        key: world.key.clone(),
        waiters: bench.options.waiters as usize,
        settle: SETTLE,
        rate: CHANGES,
        seconds: bench.options.seconds,
    };
    let measured = bench.measure(&mut world, Command::Hold(hold)).await?;
    let after = measured.memory.get("api").copied().unwrap_or(0);
    let each = after.saturating_sub(before) as f64 / waiters as f64 / 1_000.0;
    bench.add("wait.memory", Sample { latency: None, ..Sample::with(each, &measured) });
    bench.add("wait.wake", Sample::with(measured.outcome.latency.p99, &measured));
    world.stop(&bench.services).await
}
