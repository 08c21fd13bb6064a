//! Programs that do nothing.

use std::time::Duration;

use tokio::time::sleep;

use super::Bench;
use crate::BenchError;
use crate::report::Sample;

const REST: Duration = Duration::from_secs(5);

pub(super) async fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let mut world = bench.world("idle").await?;
    world.set_workers(1).await?;
    sleep(REST).await;
    for (name, key) in [("api", "idle.api"), ("worker", "idle.worker")] {
        let bytes = world.resident(name).ok_or_else(|| BenchError::Setup(format!("{name} is gone")))?;
        bench.add(key, Sample::of(bytes as f64 / 1e6));
    }
    world.stop(&bench.services).await
}
