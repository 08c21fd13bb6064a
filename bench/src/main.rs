//! `hulak-bench`: runs the scenarios, prints the results and writes them to files.

use std::process::ExitCode;

use hulak_bench::bench::{Bench, Release};
use hulak_bench::error::BenchError;
use hulak_bench::machine::{self, Machine};
use hulak_bench::options::{Options, Scenario};
use hulak_bench::programs::{Programs, own_directory};
use hulak_bench::report::Report;
use hulak_bench::services::{POSTGRES_SETTINGS, Services};
use hulak_bench::writeback::Writeback;
use hulak_bench::{deployment, fill, scenario};
use hulak_common::clock::Stopwatch;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    // A signal drops the run, and with it the processes and the data on the disk.
    let done = tokio::select! {
        done = Box::pin(run()) => done,
        stopped = stopped() => stopped,
    };
    match done {
        Ok(failed) if failed.is_empty() => ExitCode::SUCCESS,
        Ok(failed) => {
            failed.iter().for_each(|failure| eprintln!("hulak-bench: {failure}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("hulak-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn stopped<T>() -> Result<T, BenchError> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Err(BenchError::Setup("stopped".to_owned()))
}

/// Answers which scenarios failed; all others were measured.
async fn run() -> Result<Vec<String>, BenchError> {
    let options = Options::read()?;
    let directory = options.programs.clone().map_or_else(own_directory, Ok)?;
    let programs = Programs::in_directory(&directory)?;
    let other = options.against.as_deref().map(Programs::in_directory).transpose()?;
    if options.wants(Scenario::Grown) {
        fill::fits(options.grown_verifications, &std::env::temp_dir())?;
    }
    let writeback = Writeback::early();
    let load_before = machine::load();
    if load_before > 0.5 {
        eprintln!("the machine is busy ({load_before} processes want to run): the results will be low");
    }
    eprintln!("starting PostgreSQL and RabbitMQ");
    let watch = Stopwatch::start();
    let services = Services::start().await?;
    let machine = Machine::describe(services.versions().await?, load_before);
    let mut report = Report::new(options.clone(), machine);
    note_conditions(&mut report, &options);
    report.note(writeback.note());
    let mut bench = Bench::new(options, programs, other, services, report, watch);
    let mut failed = Vec::new();
    for round in 1..=bench.options.rounds {
        bench.begin_round(round);
        for (scenario, release) in bench.plan_of_round() {
            bench.release = release;
            if let Err(error) = Box::pin(scenario::run(&mut bench, scenario)).await {
                let of = if release == Release::Other { " of the other release" } else { "" };
                let failure = format!("{scenario:?}{of} failed in round {round}: {error}");
                bench.print(&failure);
                bench.report.note(format!("**{failure}**"));
                failed.push(failure);
            }
        }
        // A whole run takes hours: each round is written when it is over.
        bench.report.write(&bench.options.report)?;
    }
    println!("{}", bench.report.markdown());
    eprintln!("written: {0}/report.md and {0}/report.json", bench.options.report.display());
    Ok(failed)
}

/// Notes what a reader must know to compare the results with others.
fn note_conditions(report: &mut Report, options: &Options) {
    let log = options.log.as_deref().map_or("their default".to_owned(), |log| format!("`{log}`"));
    report.note(format!("PostgreSQL: {}; every commit is synced.", POSTGRES_SETTINGS.join(", ")));
    report.note(format!(
        "Set for all scenarios: HULAK_GATEWAY_RATE={}, HULAK_GATEWAY_CONCURRENCY={} (64 in scale), \
         HULAK_MAX_BACKLOG_AGE={}. All other limits are the defaults. Log level: {log}, into files.",
        deployment::RATE,
        options.concurrency,
        deployment::BACKLOG_AGE
    ));
    report.note(format!(
        "Closed loops: {} connections, {} worker(s); end to end at most {} messages are accepted and not sent yet.",
        options.connections, options.workers, options.outstanding
    ));
    if !options.set.is_empty() {
        report.note(format!("An experiment: {}.", options.set.join(" ")));
    }
    if let Some(against) = &options.against {
        report.note(format!(
            "Two releases take turns within each round, each on empty tables; the other one is in `{}`. The ceilings \
             are measured once a round.",
            against.display()
        ));
    }
}
