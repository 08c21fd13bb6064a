//! `hulak-chaos`: one run of the harness, or one of its measurements.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use hulak_chaos::measure::{self, Measure};
use hulak_chaos::schedule::Schedule;
use hulak_chaos::{Binaries, ChaosError, Plan, Report, run};
use hulak_common::rng::Rng;

/// Kills and cuts off everything that Hulak is made of, and checks that it keeps its promises.
#[derive(Debug, Parser)]
struct Cli {
    /// Repeats a schedule; drawn and printed when not given.
    #[arg(long, env = "HULAK_CHAOS_SEED")]
    seed: Option<u64>,
    /// How many seeds to run, one after the other.
    #[arg(long, env = "HULAK_CHAOS_RUNS", default_value_t = 1)]
    runs: u64,
    /// How long faults and calls go on.
    #[arg(long, env = "HULAK_CHAOS_SECONDS", default_value_t = 150)]
    seconds: u64,
    /// Verifications that have to be accepted.
    #[arg(long, env = "HULAK_CHAOS_VERIFICATIONS", default_value_t = 2_200)]
    verifications: usize,
    /// How often something is killed.
    #[arg(long, env = "HULAK_CHAOS_KILLS", default_value_t = 24)]
    kills: usize,
    /// Prints the schedule and ends.
    #[arg(long)]
    schedule: bool,
    /// Another API program than the one built with this harness.
    #[arg(long)]
    api_program: Option<PathBuf>,
    /// Another worker.
    #[arg(long)]
    worker_program: Option<PathBuf>,
    /// A measurement instead of a run.
    #[arg(long)]
    measure: Option<Measure>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match obey(&cli).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("hulak-chaos: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether every promise was kept.
async fn obey(cli: &Cli) -> Result<bool, ChaosError> {
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
    let binaries = binaries(cli)?;
    if let Some(measure) = cli.measure {
        return Box::pin(measure::run(measure, binaries)).await;
    }
    let mut reports = Vec::new();
    for seed in seed..seed + cli.runs.max(1) {
        let report = Box::pin(run(&plan(seed), binaries.clone(), |line| eprintln!("{line}"))).await?;
        println!("{report}");
        reports.push(report);
    }
    println!("{}", Report::HEAD);
    for report in &reports {
        println!("{}", report.line());
    }
    Ok(reports.iter().all(Report::is_good))
}

fn binaries(cli: &Cli) -> Result<Binaries, ChaosError> {
    let given = (cli.api_program.clone(), cli.worker_program.clone());
    if let (Some(api), Some(worker)) = given {
        return Ok(Binaries { api, worker });
    }
    let built = Binaries::beside_us()?;
    Ok(Binaries { api: given.0.unwrap_or(built.api), worker: given.1.unwrap_or(built.worker) })
}
