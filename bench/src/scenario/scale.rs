//! More and more workers, at a gateway that takes its time.

use std::time::Duration;

use tokio::time::sleep;

use super::Bench;
use crate::BenchError;
use crate::driver::Measured;
use crate::load::gateway::{Counter, Slope};
use crate::process;
use crate::report::Sample;

const LATENCY_MS: u64 = 200;
const CONCURRENCY: u16 = 64;
/// What one worker can send at most, in a second: its calls in flight, by how long each takes.
const ONE: f64 = 320.0;
/// Codes that outlive the backlog.
const CODE_TTL: &str = "1h";
const STEPS: [(usize, &str); 4] = [(1, "scale.1"), (2, "scale.2"), (4, "scale.4"), (8, "scale.8")];
/// How much more work waits than can be done.
const MORE: f64 = 1.3;

pub(super) async fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let shape = crate::world::Shape {
        latency_ms: LATENCY_MS,
        concurrency: CONCURRENCY,
        settings: vec![("HULAK_CODE_TTL", CODE_TTL.to_owned())],
        ..bench.shape("scale")
    };
    let mut world = bench.world_of(shape).await?;
    for (workers, key) in STEPS {
        let most = ONE * workers as f64;
        let span = bench.options.warmup + bench.options.seconds;
        world.set_workers(0).await?;
        bench.prepare(&mut world, Some((most * span * MORE) as u64 + 1_000), 600.0, false).await?;
        world.set_workers(workers).await?;
        bench.services.settle().await?;
        sleep(Duration::from_secs_f64(bench.options.warmup)).await;
        let (counted, mut counter) = (world.counted(), Counter::new(world.simulator));
        let (before, slope) = (process::cpu(&counted), Slope::from(counter.taken().await?));
        sleep(Duration::from_secs_f64(bench.options.seconds)).await;
        let rate = slope.to(counter.taken().await?);
        let mut measured = Measured {
            cpu: process::between(&before, &process::cpu(&counted)),
            memory: process::memory(&counted),
            ..Measured::default()
        };
        measured.outcome.seconds = bench.options.seconds;
        bench.add(key, Sample::rate(rate, &measured).over(most));
    }
    world.stop(&bench.services).await
}
