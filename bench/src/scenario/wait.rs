//! Many clients that long-poll: how much memory each takes, and how soon a change reaches it.

use crate::bench::Bench;
use crate::error::BenchError;
use crate::protocol::{Command, LongPolls};
use crate::report::Sample;

/// Verifications that change in a second.
const CHANGES: f64 = 100.0;
/// Seconds between the last client's arrival and the first change.
const SETTLE: f64 = 3.0;

pub(super) async fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let waiters = u64::from(bench.options.waiters);
    let mut deployment = bench.deploy("wait").await?;
    deployment.set_workers(bench.options.workers as usize).await?;
    bench.prepare(&mut deployment, Some(waiters), 600.0, true).await?;
    deployment.drained().await?;
    // The memory that the API used to create the verifications would hide what the waiting takes.
    deployment.restart_api().await?;
    deployment.idle().await?;
    let before = deployment.resident("api").unwrap_or(0);
    let polls = LongPolls {
        server: deployment.api,
        key: deployment.key.clone(),
        waiters: bench.options.waiters as usize,
        settle: SETTLE,
        rate: CHANGES,
        seconds: bench.options.seconds,
    };
    let measured = bench.measure(&mut deployment, Command::LongPolls(polls)).await?;
    let after = measured.memory.get("api").copied().unwrap_or(0);
    let each = after.saturating_sub(before) as f64 / waiters as f64 / 1_000.0;
    bench.add("wait.memory", Sample { latency: None, ..Sample::with(each, &measured) });
    bench.add("wait.wake", Sample::with(measured.outcome.latency.p99, &measured));
    deployment.stop(&bench.services).await
}
