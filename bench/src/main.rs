//! `hulak-bench`: measures, prints, writes down.

use std::process::ExitCode;

use hulak_bench::config::{Options, Programs};
use hulak_bench::machine::{self, Machine};
use hulak_bench::report::Report;
use hulak_bench::scenario::{Bench, ORDER, ThisRound};
use hulak_bench::services::{POSTGRES_SETTINGS, Services};
use hulak_bench::{BenchError, world};
use hulak_common::clock::Stopwatch;

#[tokio::main]
async fn main() -> ExitCode {
    match Box::pin(run()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hulak-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), BenchError> {
    let options = Options::read()?;
    let binaries = Programs::find(&options)?;
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
    let this_round = ThisRound::default();
    let mut bench = Bench { options, binaries, services, report, round: 1, watch, this_round };
    for round in 1..=bench.options.rounds {
        (bench.round, bench.this_round) = (round, ThisRound::default());
        for scenario in ORDER {
            if bench.options.wants(scenario) {
                Box::pin(bench.run(scenario)).await?;
            }
        }
    }
    println!("{}", bench.report.markdown());
    bench.report.write(&bench.options.report)?;
    eprintln!("written: {0}/report.md and {0}/report.json", bench.options.report.display());
    Ok(())
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
