//! `hulak-bench`: measures, prints, writes down.

use std::process::ExitCode;

use hulak_bench::config::{Options, Programs, Scenario};
use hulak_bench::machine::{self, Machine};
use hulak_bench::report::Report;
use hulak_bench::scenario::{Bench, ORDER};
use hulak_bench::services::{POSTGRES_SETTINGS, Services};
use hulak_bench::writeback::Writeback;
use hulak_bench::{BenchError, fill, world};
use hulak_common::clock::Stopwatch;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    // Whoever stops it gets his processes and his disk back: both go with the run when it is dropped.
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

/// What failed; everything else was measured nevertheless.
async fn run() -> Result<Vec<String>, BenchError> {
    let options = Options::read()?;
    let binaries = Programs::find(&options)?;
    if options.wants(Scenario::Grown) {
        fill::fits(options.grown_verifications, &std::env::temp_dir())?;
    }
    let writeback = Writeback::early();
    let load_before = machine::load();
    if load_before > 0.5 {
        eprintln!("the machine is busy ({load_before} processes want to run): the figures will be low");
    }
    eprintln!("starting PostgreSQL and RabbitMQ");
    let watch = Stopwatch::start();
    let services = Services::start().await?;
    let machine = Machine::look(&services, load_before).await?;
    let mut report = Report::new(options.clone(), machine);
    conditions(&mut report, &options);
    report.note(writeback.note());
    let mut bench =
        Bench { options, binaries, services, report, round: 1, watch, accepted: None, bare: None };
    let mut failed = Vec::new();
    for round in 1..=bench.options.rounds {
        (bench.round, bench.accepted, bench.bare) = (round, None, None);
        for scenario in ORDER {
            if bench.options.wants(scenario)
                && let Err(error) = Box::pin(bench.run(scenario)).await
            {
                let failure = format!("{scenario:?} failed in round {round}: {error}");
                bench.tell(&failure);
                bench.report.note(format!("**{failure}**"));
                failed.push(failure);
            }
        }
        // A whole run is long: what was measured stands there, whatever comes.
        bench.report.write(&bench.options.report)?;
    }
    println!("{}", bench.report.markdown());
    eprintln!("written: {0}/report.md and {0}/report.json", bench.options.report.display());
    Ok(failed)
}

/// What everybody who reads the figures has to know.
fn conditions(report: &mut Report, options: &Options) {
    let log = options.log.as_deref().map_or("their default".to_owned(), |log| format!("`{log}`"));
    report.note(format!("PostgreSQL: {}; every commit is synced.", POSTGRES_SETTINGS.join(", ")));
    report.note(format!(
        "Set for all scenarios: HULAK_GATEWAY_RATE={}, HULAK_GATEWAY_CONCURRENCY={} (64 in scale), \
         HULAK_MAX_BACKLOG_AGE={}. All other limits are the defaults. Log level: {log}, into files.",
        world::RATE,
        options.concurrency,
        world::BACKLOG_AGE
    ));
    report.note(format!(
        "Closed loops: {} connections, {} worker(s); end to end at most {} messages are accepted and not sent yet.",
        options.connections, options.workers, options.outstanding
    ));
    if !options.set.is_empty() {
        report.note(format!("An experiment: {}.", options.set.join(" ")));
    }
}
