//! What a run is made of.

use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};

use crate::BenchError;

/// The scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Scenario {
    /// Requests for codes, all numbers new.
    Accept,
    /// One number in a hundred takes half of the requests.
    AcceptHot,
    /// From the request until the gateway has the message.
    EndToEnd,
    /// Looks at verifications.
    Poll,
    /// Many clients that wait for a change.
    Wait,
    /// Checks of codes.
    Check,
    /// More and more workers.
    Scale,
    /// A database that is full already.
    Grown,
    /// One process on SQLite.
    Embedded,
    /// Memory of programs that do nothing.
    Idle,
}

/// Measures Hulak on this machine, beside what the machine can do at all.
#[derive(Debug, Clone, Parser)]
#[command(name = "hulak-bench")]
pub struct Options {
    /// The scenarios to run, separated by commas; all when not given.
    #[arg(long, env = "HULAK_BENCH_SCENARIO", value_delimiter = ',')]
    pub scenario: Vec<Scenario>,
    /// How often each is run.
    #[arg(long, env = "HULAK_BENCH_ROUNDS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// How long each sample is; three times that by a timetable.
    #[arg(long, env = "HULAK_BENCH_SECONDS", default_value_t = 15.0)]
    pub seconds: f64,
    /// How long each runs before it counts.
    #[arg(long, env = "HULAK_BENCH_WARMUP", default_value_t = 3.0)]
    pub warmup: f64,
    /// Samples of three seconds, one round, a small database: to see whether it works, not to measure.
    #[arg(long, env = "HULAK_BENCH_QUICK")]
    pub quick: bool,
    /// Connections of the closed loops.
    #[arg(long, env = "HULAK_BENCH_CONNECTIONS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: u32,
    /// Workers, but for the scenario that measures their number.
    #[arg(long, env = "HULAK_BENCH_WORKERS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub workers: u32,
    /// Messages in flight in each worker, but for that scenario.
    #[arg(long, env = "HULAK_BENCH_CONCURRENCY", default_value_t = 1_000)]
    pub concurrency: u16,
    /// Messages that may be accepted and not sent yet, end to end.
    #[arg(long, env = "HULAK_BENCH_OUTSTANDING", default_value_t = 2_000)]
    pub outstanding: u64,
    /// Clients that wait.
    #[arg(long, env = "HULAK_BENCH_WAITERS", default_value_t = 10_000)]
    pub waiters: u32,
    /// Verifications in the database that is full already.
    #[arg(long, env = "HULAK_BENCH_GROWN_VERIFICATIONS", default_value_t = 10_000_000)]
    pub grown_verifications: u64,
    /// Numbers in it.
    #[arg(long, env = "HULAK_BENCH_GROWN_NUMBERS", default_value_t = 2_000_000)]
    pub grown_numbers: u64,
    /// What the programs log; their own default when not given. The lines go to files.
    #[arg(long, env = "HULAK_BENCH_LOG")]
    pub log: Option<String>,
    /// More settings for the programs, for experiments: NAME=VALUE.
    #[arg(long, env = "HULAK_BENCH_SET", value_delimiter = ' ')]
    pub set: Vec<String>,
    /// Where report.md and report.json go.
    #[arg(long, env = "HULAK_BENCH_REPORT", default_value = "bench")]
    pub report: PathBuf,
    /// Keeps the programs' logs here.
    #[arg(long, env = "HULAK_BENCH_KEEP_LOGS")]
    pub keep_logs: Option<PathBuf>,
    /// Other programs than those that were built beside this one.
    #[arg(long, env = "HULAK_BENCH_PROGRAMS")]
    pub programs: Option<PathBuf>,
}

impl Options {
    /// The command line, with what `--quick` makes smaller.
    ///
    /// # Errors
    /// When a time is no time, or an experiment no setting.
    pub fn read() -> Result<Self, BenchError> {
        let mut options = Self::parse();
        let times = [options.seconds, options.warmup];
        if !times.iter().all(|time| (0.1..=3_600.0).contains(time)) {
            return Err(BenchError::Setup("seconds are from 0.1 to 3600".to_owned()));
        }
        if let Some(bad) = options.set.iter().find(|set| !set.contains('=')) {
            return Err(BenchError::Setup(format!("--set {bad}: write NAME=VALUE")));
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
        self.scenario.is_empty() || self.scenario.contains(&scenario)
    }

    /// Whether the figures may be compared with anything.
    #[must_use]
    pub fn is_a_measurement(&self) -> bool {
        self.seconds >= 15.0 && self.rounds >= 3 && !cfg!(debug_assertions)
    }
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs(PathBuf);

impl Programs {
    /// Those in the directory given, or beside this one.
    ///
    /// # Errors
    /// When one of them is not there.
    pub fn find(options: &Options) -> Result<Self, BenchError> {
        let us = std::env::current_exe()?;
        let beside = us.parent().unwrap_or(Path::new("."));
        let programs = Self(options.programs.clone().unwrap_or_else(|| beside.to_owned()));
        for name in ["hulak", "hulak-bench-load", "hulak-bench-bare"] {
            if !programs.path(name).is_file() {
                let path = programs.path(name);
                let hint = "`make bench` builds all of them";
                return Err(BenchError::Setup(format!("{} is not there: {hint}", path.display())));
            }
        }
        Ok(programs)
    }

    /// A program's file.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}
