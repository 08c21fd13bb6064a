//! One to eight workers at a slow gateway.

use std::time::Duration;

use tokio::time::sleep;

use crate::bench::Bench;
use crate::deployment::DeploymentOptions;
use crate::error::BenchError;
use crate::load::gateway::{GatewayCounter, Throughput};
use crate::load_process::Measured;
use crate::report::Sample;
use crate::usage;

const LATENCY_MS: u64 = 200;
const CONCURRENCY: u16 = 64;
/// Messages a second that one worker can send at most: its calls in flight, divided by how long each takes.
const RATE_OF_ONE: f64 = 320.0;
/// Long enough that no code expires while its message waits.
const CODE_TTL: &str = "1h";
const STEPS: [(usize, &str); 4] = [(1, "scale.1"), (2, "scale.2"), (4, "scale.4"), (8, "scale.8")];
/// How much more work there is than the workers can do in the time.
const SURPLUS: f64 = 1.3;

pub(super) async fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let options = DeploymentOptions {
        latency_ms: LATENCY_MS,
        concurrency: CONCURRENCY,
        settings: vec![("HULAK_CODE_TTL", CODE_TTL.to_owned())],
        ..bench.deployment_options("scale")
    };
    let mut deployment = bench.deploy_with(options).await?;
    for (workers, key) in STEPS {
        let most = RATE_OF_ONE * workers as f64;
        let span = bench.options.warmup + bench.options.seconds;
        deployment.set_workers(0).await?;
        bench.prepare(&mut deployment, Some((most * span * SURPLUS) as u64 + 1_000), 600.0, false).await?;
        deployment.set_workers(workers).await?;
        bench.services.checkpoint().await?;
        sleep(Duration::from_secs_f64(bench.options.warmup)).await;
        let (counted, mut counter) = (deployment.counted(), GatewayCounter::new(deployment.simulator));
        let (before, throughput) = (usage::cpu(&counted), Throughput::from(counter.taken().await?));
        sleep(Duration::from_secs_f64(bench.options.seconds)).await;
        let rate = throughput.until(counter.taken().await?);
        let mut measured = Measured {
            cpu: usage::between(&before, &usage::cpu(&counted)),
            memory: usage::memory(&counted),
            ..Measured::default()
        };
        measured.outcome.seconds = bench.options.seconds;
        bench.add(key, Sample::rate(rate, &measured).over(most));
    }
    deployment.stop(&bench.services).await
}
