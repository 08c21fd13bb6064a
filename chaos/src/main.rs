//! `hulak-chaos`: one run of the harness, or one of its measurements.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use hulak_chaos::config::Plan;
use hulak_chaos::error::ChaosError;
use hulak_chaos::measure::{self, Measure};
use hulak_chaos::programs::Programs;
use hulak_chaos::report::Report;
use hulak_chaos::run::run;
use hulak_chaos::schedule::Schedule;
use hulak_common::rng::Rng;

/// Kills Hulak's processes and services, breaks their connections, and checks that Hulak keeps its promises.
#[derive(Debug, Parser)]
struct Cli {
    /// The seed, which repeats a schedule; random by default.
    #[arg(long, env = "HULAK_CHAOS_SEED")]
    seed: Option<u64>,
    /// The number of runs, with successive seeds.
    #[arg(long, env = "HULAK_CHAOS_RUNS", default_value_t = 1)]
    runs: u64,
    /// How many seconds there are faults and visits.
    #[arg(long, env = "HULAK_CHAOS_SECONDS", default_value_t = 150)]
    seconds: u64,
    /// The least number of accepted verifications.
    #[arg(long, env = "HULAK_CHAOS_VERIFICATIONS", default_value_t = 2_200)]
    verifications: usize,
    /// The number of kills.
    #[arg(long, env = "HULAK_CHAOS_KILLS", default_value_t = 24)]
    kills: usize,
    /// Print the schedule and end.
    #[arg(long)]
    schedule: bool,
    /// The program `hulak`; by default the one built with this harness.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Make a measurement instead of a run.
    #[arg(long)]
    measure: Option<Measure>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match execute(&cli).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("hulak-chaos: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether every promise was kept.
async fn execute(cli: &Cli) -> Result<bool, ChaosError> {
    let seed = cli.seed.unwrap_or_else(|| u64::from(u32::from_be_bytes(Rng::system().bytes())));
    let plan = |seed| Plan {
        seed,
        length: Duration::from_secs(cli.seconds),
        verifications: cli.verifications,
        kills: cli.kills,
    };
    if cli.schedule {
        print!("{}", Schedule::draw(&plan(seed)));
        return Ok(true);
    }
    let programs = Programs::find(cli.program.clone())?;
    if let Some(measure) = cli.measure {
        return Box::pin(measure::run(measure, programs)).await;
    }
    let mut reports = Vec::new();
    for seed in seed..seed + cli.runs.max(1) {
        let report = Box::pin(run(&plan(seed), programs.clone(), |line| eprintln!("{line}"))).await?;
        println!("{report}");
        reports.push(report);
    }
    println!("{}", Report::HEAD);
    for report in &reports {
        println!("{}", report.line());
    }
    Ok(reports.iter().all(Report::is_good))
}
