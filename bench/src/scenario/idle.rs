//! Memory of programs without work.

use std::time::Duration;

use tokio::time::sleep;

use crate::bench::Bench;
use crate::error::BenchError;
use crate::report::Sample;

const SPAN: Duration = Duration::from_secs(5);

pub(super) async fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let mut deployment = bench.deploy("idle").await?;
    deployment.set_workers(1).await?;
    sleep(SPAN).await;
    for (name, key) in [("api", "idle.api"), ("worker", "idle.worker")] {
        let bytes = deployment.resident(name);
        let bytes = bytes.ok_or_else(|| BenchError::Setup(format!("the process {name} has ended")))?;
        bench.add(key, Sample::of(bytes as f64 / 1e6));
    }
    deployment.stop(&bench.services).await
}
