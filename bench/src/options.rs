//! The command line, and the scenarios that it can name.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::error::BenchError;

/// The scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Scenario {
    /// Requests for codes, all numbers new.
    Accept,
    /// One number in a hundred takes half of the requests.
    AcceptHot,
    /// From the request until the gateway has the message.
    EndToEnd,
    /// Reads of verifications.
    Poll,
    /// Many clients that wait for a change.
    Wait,
    /// Checks of codes.
    Check,
    /// More and more workers.
    Scale,
    /// A database as after half a year.
    Grown,
    /// One process on SQLite.
    Embedded,
    /// Memory of programs without work.
    Idle,
}

/// The order within a round: scenarios that others are compared with come first.
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

/// The scenarios that compare two releases, when none is named.
const COMPARED: [Scenario; 5] =
    [Scenario::Idle, Scenario::Accept, Scenario::EndToEnd, Scenario::Poll, Scenario::Check];

/// How much longer a sample of an open loop is than others. Its value is the latency of the slowest hundredth: in 15 s one stall
/// of the disk of 150 ms would decide it.
pub(crate) const OPEN_LOOP_FACTOR: f64 = 3.0;

/// Measures Hulak on this machine, beside what the machine can do without it.
#[derive(Debug, Clone, Parser)]
#[command(name = "hulak-bench")]
pub struct Options {
    /// The scenarios to run, separated by commas; all of them by default.
    #[arg(long, env = "HULAK_BENCH_SCENARIO", value_delimiter = ',')]
    pub scenario: Vec<Scenario>,
    /// How often each scenario is run.
    #[arg(long, env = "HULAK_BENCH_ROUNDS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Seconds of each sample; three times that in open loops.
    #[arg(long, env = "HULAK_BENCH_SECONDS", default_value_t = 15.0)]
    pub seconds: f64,
    /// Seconds before each sample that do not count.
    #[arg(long, env = "HULAK_BENCH_WARMUP", default_value_t = 3.0)]
    pub warmup: f64,
    /// One round of three-second samples, a small database: to try the benchmark, not to measure.
    #[arg(long, env = "HULAK_BENCH_QUICK")]
    pub quick: bool,
    /// Connections of the closed loops.
    #[arg(long, env = "HULAK_BENCH_CONNECTIONS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: u32,
    /// Workers, except in the scenario scale.
    #[arg(long, env = "HULAK_BENCH_WORKERS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub workers: u32,
    /// Messages in flight in each worker, except in the scenario scale.
    #[arg(long, env = "HULAK_BENCH_CONCURRENCY", default_value_t = 1_000)]
    pub concurrency: u16,
    /// End to end: messages that may be accepted and not sent yet.
    #[arg(long, env = "HULAK_BENCH_OUTSTANDING", default_value_t = 2_000)]
    pub outstanding: u64,
    /// Clients that wait for a change.
    #[arg(long, env = "HULAK_BENCH_WAITERS", default_value_t = 10_000)]
    pub waiters: u32,
    /// Verifications in the database of the scenario grown.
    #[arg(long, env = "HULAK_BENCH_GROWN_VERIFICATIONS", default_value_t = 10_000_000)]
    pub grown_verifications: u64,
    /// Numbers in that database.
    #[arg(long, env = "HULAK_BENCH_GROWN_NUMBERS", default_value_t = 2_000_000)]
    pub grown_numbers: u64,
    /// The programs' log level; their own default when not given. The logs are files.
    #[arg(long, env = "HULAK_BENCH_LOG")]
    pub log: Option<String>,
    /// More settings for the programs, for experiments: NAME=VALUE.
    #[arg(long, env = "HULAK_BENCH_SET", value_delimiter = ' ')]
    pub set: Vec<String>,
    /// The directory of report.md and report.json.
    #[arg(long, env = "HULAK_BENCH_REPORT", default_value = "bench")]
    pub report: PathBuf,
    /// Keeps the programs' logs in this directory.
    #[arg(long, env = "HULAK_BENCH_KEEP_LOGS")]
    pub keep_logs: Option<PathBuf>,
    /// The directory of the programs to measure; by default the one of this program.
    #[arg(long, env = "HULAK_BENCH_PROGRAMS")]
    pub programs: Option<PathBuf>,
    /// The directory of another release's programs: both releases take turns in each round, and the report compares them.
    #[arg(long, env = "HULAK_BENCH_AGAINST")]
    pub against: Option<PathBuf>,
}

impl Options {
    /// Reads the command line; `--quick` makes some values smaller.
    ///
    /// # Errors
    /// When a value cannot be used.
    pub fn read() -> Result<Self, BenchError> {
        let mut options = Self::parse();
        let times = [options.seconds, options.warmup];
        if !times.iter().all(|time| (0.1..=3_600.0).contains(time)) {
            return Err(BenchError::Setup("seconds are from 0.1 to 3600".to_owned()));
        }
        if let Some(bad) = options.set.iter().find(|set| !set.contains('=')) {
            return Err(BenchError::Setup(format!("--set {bad}: write NAME=VALUE")));
        }
        if options.against.is_some() && options.scenario.contains(&Scenario::Grown) {
            return Err(BenchError::Setup(
                "grown fills one database, which two releases cannot share".to_owned(),
            ));
        }
        if options.quick {
            options.rounds = 1;
            options.seconds = 3.0;
            options.warmup = 1.0;
            options.waiters = options.waiters.min(1_000);
            options.grown_verifications = options.grown_verifications.min(200_000);
            options.grown_numbers = options.grown_numbers.min(40_000);
        }
        Ok(options)
    }

    /// Whether this scenario runs.
    #[must_use]
    pub fn wants(&self, scenario: Scenario) -> bool {
        match (self.scenario.as_slice(), &self.against) {
            ([], Some(_)) => COMPARED.contains(&scenario),
            ([], None) => true,
            (named, _) => named.contains(&scenario),
        }
    }

    /// Whether the run is long enough to be compared with others.
    #[must_use]
    pub fn is_a_measurement(&self) -> bool {
        self.seconds >= 15.0 && self.rounds >= 3 && !cfg!(debug_assertions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_releases_are_compared_in_five_scenarios_unless_others_are_named() {
        let wanted = |arguments: &[&str]| {
            let options = Options::parse_from([&["hulak-bench"], arguments].concat());
            ORDER.into_iter().filter(|scenario| options.wants(*scenario)).count()
        };
        assert_eq!(wanted(&[]), ORDER.len());
        assert_eq!(wanted(&["--against", "former"]), COMPARED.len());
        assert_eq!(wanted(&["--against", "former", "--scenario", "wait,poll"]), 2);
    }
}
