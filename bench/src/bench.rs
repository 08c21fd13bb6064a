//! What is measured. Each scenario starts a world of its own, on empty tables, and measures the ceilings that it is
//! compared with just before it.

mod accept;
mod check;
mod embedded;
mod end_to_end;
mod grown;
mod idle;
mod poll;
mod scale;
mod wait;

use hulak_common::clock::Stopwatch;

use crate::config::{Options, Programs, Scenario};
use crate::driver::Measured;
use crate::protocol::{Call, Closed, Command, Kind, Numbers, Open, Window};
use crate::report::{Report, Sample};
use crate::services::Services;
use crate::world::{Shape, World};
use crate::{BenchError, ceiling};

/// How long the simulated gateway thinks, where nothing else is said.
const GATEWAY_MS: u64 = 50;

/// How much longer a sample by a timetable is than others. Its hundredth slowest request is what counts: in 15 s one stall of the
/// disk of 150 ms would be all that is measured.
pub(crate) const LONGER: f64 = 3.0;

/// A run.
#[derive(Debug)]
pub struct Bench {
    /// What is asked for.
    pub options: Options,
    /// The programs.
    pub binaries: Programs,
    /// What runs below them.
    pub services: Services,
    /// What was measured.
    pub report: Report,
    /// The round, from 1.
    pub round: u32,
    /// Since the start.
    pub watch: Stopwatch,
    /// Requests a second with workers stopped, if this round has measured them.
    pub accepted: Option<f64>,
    /// Inserts a second without key or index, if this round has measured them.
    pub bare: Option<f64>,
}

/// The order within a round: those that others are compared with come first.
pub const ORDER: [Scenario; 10] = [
    Scenario::Idle,
    Scenario::Accept,
    Scenario::AcceptHot,
    Scenario::EndToEnd,
    Scenario::Grown,
    Scenario::Poll,
    Scenario::Check,
    Scenario::Wait,
    Scenario::Scale,
    Scenario::Embedded,
];

impl Bench {
    /// Runs one scenario once.
    ///
    /// # Errors
    /// When it is no measurement.
    pub async fn run(&mut self, scenario: Scenario) -> Result<(), BenchError> {
        match scenario {
            Scenario::Accept => accept::run(self).await,
            Scenario::AcceptHot => accept::hot(self).await,
            Scenario::EndToEnd => end_to_end::run(self).await,
            Scenario::Poll => poll::run(self).await,
            Scenario::Wait => wait::run(self).await,
            Scenario::Check => check::run(self).await,
            Scenario::Scale => scale::run(self).await,
            Scenario::Grown => grown::run(self).await,
            Scenario::Embedded => embedded::run(self).await,
            Scenario::Idle => idle::run(self).await,
        }
    }

    /// A line for who watches.
    pub fn tell(&self, what: &str) {
        let seconds = self.watch.elapsed().as_secs();
        eprintln!("[{:>3}:{:02}] round {}: {what}", seconds / 60, seconds % 60, self.round);
    }

    /// Takes note of a sample, and tells it.
    fn add(&mut self, key: &'static str, mut sample: Sample) {
        sample.round = self.round;
        let ratio = sample.ratio.map_or(String::new(), |ratio| format!(", ratio {ratio:.3}"));
        let cost = sample.cpu_per_thousand.iter().map(|(name, seconds)| format!(" {name} {seconds:.4}"));
        let cost: String = cost.collect();
        let cost = if cost.is_empty() { cost } else { format!("; CPU s/1000:{cost}") };
        let late =
            sample.latency.map_or(String::new(), |l| format!("; p50 {:.1} p99 {:.1} ms", l.p50, l.p99));
        self.tell(&format!("  {key} = {:.1}{ratio}{cost}{late}", sample.value));
        self.report.add(key, sample);
    }

    /// A world on empty tables, without workers.
    async fn world(&mut self, name: &str) -> Result<World, BenchError> {
        let shape = self.shape(name);
        self.world_of(shape).await
    }

    fn shape(&self, name: &str) -> Shape {
        Shape {
            name: format!("{}_{}", name.replace('-', "_"), self.round),
            keeps_database: false,
            embedded: false,
            latency_ms: GATEWAY_MS,
            concurrency: self.options.concurrency,
            settings: Vec::new(),
        }
    }

    async fn world_of(&mut self, shape: Shape) -> Result<World, BenchError> {
        self.tell(&format!("{}: starting programs", shape.name));
        World::start(&self.services, &self.binaries, &self.options, shape).await
    }

    async fn pgbench(&mut self) -> Result<f64, BenchError> {
        self.inserts("ceiling.pgbench", ceiling::Table::Kept).await
    }

    async fn inserts(&mut self, key: &'static str, table: ceiling::Table) -> Result<f64, BenchError> {
        let (rate, cpu_per_thousand) = ceiling::pgbench(&self.services, &self.options, table).await?;
        let seconds = self.options.seconds;
        self.add(key, Sample { cpu_per_thousand, seconds, ..Sample::of(rate) });
        Ok(rate)
    }

    /// Measured once a round.
    async fn bare_inserts(&mut self) -> Result<f64, BenchError> {
        if let Some(rate) = self.bare {
            return Ok(rate);
        }
        let rate = self.inserts("ceiling.pgbench.bare", ceiling::Table::Bare).await?;
        self.bare = Some(rate);
        Ok(rate)
    }

    async fn sync(&mut self) -> Result<(), BenchError> {
        self.services.settle().await?;
        let latency = ceiling::sync(&self.services, &self.options).await?;
        let seconds = self.options.seconds;
        self.add("ceiling.sync", Sample { latency: Some(latency), seconds, ..Sample::of(latency.p99) });
        Ok(())
    }

    async fn quorum(&mut self) -> Result<f64, BenchError> {
        let (rate, cpu_per_thousand) = ceiling::quorum(&self.services, &self.options).await?;
        let seconds = self.options.seconds;
        self.add("ceiling.quorum", Sample { cpu_per_thousand, seconds, ..Sample::of(rate) });
        Ok(rate)
    }

    async fn bare(&mut self) -> Result<f64, BenchError> {
        let measured = ceiling::bare(&self.binaries, &self.options).await?;
        let rate = measured.outcome.rate();
        self.add("ceiling.bare", Sample::rate(rate, &measured));
        Ok(rate)
    }

    /// As many requests as the connections bear.
    async fn closed(&self, world: &mut World, kind: Kind, window: bool) -> Result<Measured, BenchError> {
        let work = Closed { window: window.then(|| self.window(world)), ..self.loop_of(world, kind) };
        self.measure(world, Command::Closed(work)).await
    }

    fn loop_of(&self, world: &World, kind: Kind) -> Closed {
        Closed {
            call: call(world, kind),
            connections: self.options.connections as usize,
            warmup: self.options.warmup,
            seconds: self.options.seconds,
            limit: None,
            window: None,
        }
    }

    fn window(&self, world: &World) -> Window {
        Window { simulator: world.simulator, most: self.options.outstanding }
    }

    /// Requests by a timetable.
    async fn open(
        &self,
        world: &mut World,
        kind: Kind,
        rate: f64,
        arrivals: bool,
    ) -> Result<Measured, BenchError> {
        let work = Open {
            call: call(world, kind),
            connections: self.options.connections as usize,
            rate,
            warmup: self.options.warmup,
            seconds: self.options.seconds * LONGER,
            simulator: arrivals.then_some(world.simulator),
        };
        self.measure(world, Command::Open(work)).await
    }

    /// Creates so many verifications beforehand, or as many as fit into the time.
    async fn prepare(
        &self,
        world: &mut World,
        limit: Option<u64>,
        seconds: f64,
        keep: bool,
    ) -> Result<u64, BenchError> {
        self.tell("  preparing verifications");
        let kind = Kind::Create { numbers: Numbers::New { first: 0 }, keep };
        let work = Closed { warmup: 0.0, seconds, limit, ..self.loop_of(world, kind) };
        let counted = world.counted();
        let measured = world.driver.measure(&Command::Closed(work), &counted).await?;
        // Those whose answers came after the time count, too.
        Ok(measured.outcome.statuses.values().sum())
    }

    async fn measure(&self, world: &mut World, command: Command) -> Result<Measured, BenchError> {
        self.services.settle().await?;
        let counted = world.counted();
        world.driver.measure(&command, &counted).await
    }
}

fn call(world: &World, kind: Kind) -> Call {
    Call { server: world.api, key: world.key.clone(), kind }
}

/// All numbers new.
fn create() -> Kind {
    Kind::Create { numbers: Numbers::New { first: 0 }, keep: false }
}
