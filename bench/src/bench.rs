//! The state of a run, and what all scenarios share: deployments, ceilings, loads and samples.

use std::collections::BTreeMap;

use hulak_common::clock::Stopwatch;

use crate::ceiling;
use crate::deployment::{Deployment, DeploymentOptions};
use crate::error::BenchError;
use crate::load_process::Measured;
use crate::options::{OPEN_LOOP_FACTOR, ORDER, Options, Scenario};
use crate::programs::Programs;
use crate::protocol::{BacklogLimit, Call, ClosedLoop, Command, Kind, Numbers, OpenLoop};
pub use crate::report::Release;
use crate::report::{Report, Sample};
use crate::services::Services;

/// How long the simulated gateway takes to answer, unless a scenario sets another time.
const GATEWAY_MS: u64 = 50;

/// A run.
#[derive(Debug)]
pub struct Bench {
    /// The command line.
    pub options: Options,
    /// PostgreSQL and RabbitMQ.
    pub services: Services,
    /// The results so far.
    pub report: Report,
    /// The round, from 1.
    pub round: u32,
    /// Which of the two releases is measured now.
    pub release: Release,
    /// Requests a second with workers stopped, by release, where this round has measured them.
    pub accepted: BTreeMap<Release, f64>,
    programs: Programs,
    other: Option<Programs>,
    /// The ceilings that this round has measured.
    ceilings: BTreeMap<&'static str, f64>,
    watch: Stopwatch,
}

impl Bench {
    /// A run that has measured nothing yet. `other` is the release that is compared, if any; `watch` began with the run.
    #[must_use]
    pub fn new(
        options: Options,
        programs: Programs,
        other: Option<Programs>,
        services: Services,
        report: Report,
        watch: Stopwatch,
    ) -> Self {
        Self {
            options,
            services,
            report,
            round: 1,
            release: Release::This,
            accepted: BTreeMap::new(),
            programs,
            other,
            ceilings: BTreeMap::new(),
            watch,
        }
    }

    /// Begins a round: what the last one measured is not used any more.
    pub fn begin_round(&mut self, round: u32) {
        self.round = round;
        self.accepted.clear();
        self.ceilings.clear();
    }

    /// The scenarios of this round, each with the release that it measures. Two releases take turns, and the other one is
    /// first in every second round, so that a machine that becomes slower favors neither.
    #[must_use]
    pub fn plan_of_round(&self) -> Vec<(Scenario, Release)> {
        let mut releases = vec![Release::This];
        releases.extend(self.other.as_ref().map(|_| Release::Other));
        if self.round.is_multiple_of(2) {
            releases.reverse();
        }
        let wanted = ORDER.into_iter().filter(|scenario| self.options.wants(*scenario));
        wanted.flat_map(|scenario| releases.iter().map(move |release| (scenario, *release))).collect()
    }

    /// Prints a line of progress.
    pub fn print(&self, text: &str) {
        let seconds = self.watch.elapsed().as_secs();
        eprintln!("[{:>3}:{:02}] round {}: {text}", seconds / 60, seconds % 60, self.round);
    }

    /// Adds a sample to the report, and prints it.
    pub fn add(&mut self, key: &'static str, mut sample: Sample) {
        sample.round = self.round;
        let ratio = sample.ratio.map_or(String::new(), |ratio| format!(", ratio {ratio:.3}"));
        let cost = sample.cpu_per_thousand.iter().map(|(name, seconds)| format!(" {name} {seconds:.4}"));
        let cost: String = cost.collect();
        let cost = if cost.is_empty() { cost } else { format!("; CPU s/1000:{cost}") };
        let latency =
            sample.latency.map_or(String::new(), |l| format!("; p50 {:.1} p99 {:.1} ms", l.p50, l.p99));
        self.print(&format!("  {key} = {:.1}{ratio}{cost}{latency}", sample.value));
        self.report.add(self.release, key, sample);
    }

    /// The options of a deployment on empty tables, without workers.
    #[must_use]
    pub fn deployment_options(&self, name: &str) -> DeploymentOptions {
        let (programs, suffix) = match (self.release, &self.other) {
            (Release::Other, Some(other)) => (other, "_other"),
            _ => (&self.programs, ""),
        };
        DeploymentOptions {
            name: format!("{}_{}{suffix}", name.replace('-', "_"), self.round),
            programs: programs.clone(),
            keeps_database: false,
            embedded: false,
            latency_ms: GATEWAY_MS,
            concurrency: self.options.concurrency,
            settings: Vec::new(),
        }
    }

    /// Starts a deployment on empty tables, without workers.
    ///
    /// # Errors
    /// When a program does not start.
    pub async fn deploy(&self, name: &str) -> Result<Deployment, BenchError> {
        self.deploy_with(self.deployment_options(name)).await
    }

    /// Starts a deployment with these options.
    ///
    /// # Errors
    /// When a program does not start.
    pub async fn deploy_with(&self, made: DeploymentOptions) -> Result<Deployment, BenchError> {
        self.print(&format!("{}: starting programs", made.name));
        Deployment::start(&self.services, &self.options, made).await
    }

    /// The ceiling of inserts: a transaction each, into a table with a key and an index. Measured before each scenario, but
    /// once a round when releases are compared.
    ///
    /// # Errors
    /// When it cannot be measured.
    pub async fn inserts(&mut self) -> Result<f64, BenchError> {
        const KEY: &str = "ceiling.pgbench";
        match self.ceilings.get(KEY) {
            Some(rate) if self.other.is_some() => Ok(*rate),
            _ => self.measure_inserts(KEY, ceiling::Table::Indexed).await,
        }
    }

    /// The ceiling of inserts into a table without key or index, measured once a round.
    ///
    /// # Errors
    /// When it cannot be measured.
    pub async fn bare_inserts(&mut self) -> Result<f64, BenchError> {
        const KEY: &str = "ceiling.pgbench.bare";
        match self.ceilings.get(KEY) {
            Some(rate) => Ok(*rate),
            None => self.measure_inserts(KEY, ceiling::Table::Bare).await,
        }
    }

    async fn measure_inserts(&mut self, key: &'static str, table: ceiling::Table) -> Result<f64, BenchError> {
        let (rate, cpu_per_thousand) = ceiling::pgbench(&self.services, &self.options, table).await?;
        let seconds = self.options.seconds;
        self.add_ceiling(key, Sample { cpu_per_thousand, seconds, ..Sample::of(rate) });
        Ok(rate)
    }

    /// Writes out what is in memory, and measures how long a synced write takes.
    ///
    /// # Errors
    /// When it cannot be measured.
    pub async fn sync(&mut self) -> Result<(), BenchError> {
        self.services.checkpoint().await?;
        let latency = ceiling::sync(&self.services, &self.options).await?;
        let seconds = self.options.seconds;
        self.add_ceiling(
            "ceiling.sync",
            Sample { latency: Some(latency), seconds, ..Sample::of(latency.p99) },
        );
        Ok(())
    }

    /// The ceiling of a quorum queue, once a round when releases are compared.
    ///
    /// # Errors
    /// When it cannot be measured.
    pub async fn quorum(&mut self) -> Result<f64, BenchError> {
        const KEY: &str = "ceiling.quorum";
        if let Some(rate) = self.ceilings.get(KEY).filter(|_| self.other.is_some()) {
            return Ok(*rate);
        }
        let (rate, cpu_per_thousand) = ceiling::quorum(&self.services, &self.options).await?;
        let seconds = self.options.seconds;
        self.add_ceiling(KEY, Sample { cpu_per_thousand, seconds, ..Sample::of(rate) });
        Ok(rate)
    }

    /// The ceiling of HTTP requests, once a round when releases are compared.
    ///
    /// # Errors
    /// When it cannot be measured.
    pub async fn bare_handler(&mut self) -> Result<f64, BenchError> {
        const KEY: &str = "ceiling.bare";
        if let Some(rate) = self.ceilings.get(KEY).filter(|_| self.other.is_some()) {
            return Ok(*rate);
        }
        let measured = ceiling::bare_handler(&self.options).await?;
        let rate = measured.outcome.rate();
        self.add_ceiling(KEY, Sample::rate(rate, &measured));
        Ok(rate)
    }

    /// A ceiling belongs to the machine, whichever release is measured.
    fn add_ceiling(&mut self, key: &'static str, sample: Sample) {
        self.ceilings.insert(key, sample.value);
        let release = std::mem::replace(&mut self.release, Release::This);
        self.add(key, sample);
        self.release = release;
    }

    /// Measures a closed loop. With `limited`, it waits while too many messages are accepted and not sent yet.
    ///
    /// # Errors
    /// When answers were unexpected.
    pub async fn closed_loop(
        &self,
        deployment: &mut Deployment,
        kind: Kind,
        limited: bool,
    ) -> Result<Measured, BenchError> {
        let backlog = limited.then(|| self.backlog_limit(deployment));
        let work = ClosedLoop { backlog, ..self.closed_loop_of(deployment, kind) };
        self.measure(deployment, Command::Closed(work)).await
    }

    /// A closed loop as the command line has it.
    #[must_use]
    pub fn closed_loop_of(&self, deployment: &Deployment, kind: Kind) -> ClosedLoop {
        ClosedLoop {
            call: call(deployment, kind),
            connections: self.options.connections as usize,
            warmup: self.options.warmup,
            seconds: self.options.seconds,
            limit: None,
            backlog: None,
        }
    }

    /// How many messages may be accepted and not sent yet.
    #[must_use]
    pub fn backlog_limit(&self, deployment: &Deployment) -> BacklogLimit {
        BacklogLimit { simulator: deployment.simulator, most: self.options.outstanding }
    }

    /// Measures an open loop at this rate. With `to_gateway`, the time until the gateway has the message as well.
    ///
    /// # Errors
    /// When answers were unexpected.
    pub async fn open_loop(
        &self,
        deployment: &mut Deployment,
        kind: Kind,
        rate: f64,
        to_gateway: bool,
    ) -> Result<Measured, BenchError> {
        let work = OpenLoop {
            call: call(deployment, kind),
            connections: self.options.connections as usize,
            rate,
            warmup: self.options.warmup,
            seconds: self.options.seconds * OPEN_LOOP_FACTOR,
            simulator: to_gateway.then_some(deployment.simulator),
        };
        self.measure(deployment, Command::Open(work)).await
    }

    /// Creates this many verifications beforehand, or as many as fit into the time.
    ///
    /// # Errors
    /// When answers were unexpected.
    pub async fn prepare(
        &self,
        deployment: &mut Deployment,
        limit: Option<u64>,
        seconds: f64,
        keep: bool,
    ) -> Result<u64, BenchError> {
        self.print("  preparing verifications");
        let kind = Kind::Create { numbers: Numbers::New { first: 0 }, keep };
        let work = ClosedLoop { warmup: 0.0, seconds, limit, ..self.closed_loop_of(deployment, kind) };
        let counted = deployment.counted();
        let measured = deployment.load.measure(&Command::Closed(work), &counted).await?;
        // Answers that came after the time count, too.
        Ok(measured.outcome.statuses.values().sum())
    }

    /// Has the load process do this, after a checkpoint.
    ///
    /// # Errors
    /// When answers were unexpected.
    pub async fn measure(
        &self,
        deployment: &mut Deployment,
        command: Command,
    ) -> Result<Measured, BenchError> {
        self.services.checkpoint().await?;
        let counted = deployment.counted();
        deployment.load.measure(&command, &counted).await
    }
}

fn call(deployment: &Deployment, kind: Kind) -> Call {
    Call { server: deployment.api, key: deployment.key.clone(), kind }
}

/// Requests for codes, all numbers new.
#[must_use]
pub fn create() -> Kind {
    Kind::Create { numbers: Numbers::New { first: 0 }, keep: false }
}
