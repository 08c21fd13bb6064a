//! Accept and end to end on a database as after half a year, beside empty tables.

use crate::bench::{Bench, create};
use crate::deployment::{Deployment, DeploymentOptions};
use crate::error::BenchError;
use crate::fill;
use crate::load_process::Measured;
use crate::protocol::{ClosedLoop, Command, Kind, Numbers};
use crate::report::Sample;

const DATABASE: &str = "grown";
/// Numbers that one sample may use.
const SAMPLE: u64 = 1_500_000;
/// In the samples with known numbers: how many in a hundred requests are for one of these.
const KNOWN_SHARE: u64 = 30;
/// How many times longer the warm-up is than elsewhere. After each checkpoint, PostgreSQL logs the first change of a page with
/// the whole page. Checkpoints are five minutes apart, so that this is soon over in production; but a sample just after one
/// would measure little else, as most requests are the first on some page of a large index.
const WARMUP_FACTOR: f64 = 5.0;

/// Samples on full tables, and one of the same kind on empty tables.
struct Part {
    workers: bool,
    on_empty: &'static str,
    all_new: &'static str,
    some_known: &'static str,
}

const PARTS: [Part; 2] = [
    Part {
        workers: false,
        on_empty: "grown.not.accept",
        all_new: "grown.accept",
        some_known: "grown.known.accept",
    },
    Part {
        workers: true,
        on_empty: "grown.not.end-to-end",
        all_new: "grown.end-to-end",
        some_known: "grown.known.end-to-end",
    },
];

pub(super) async fn run(bench: &mut Bench) -> Result<(), BenchError> {
    if bench.round == 1 {
        build(bench).await?;
    }
    for (nth, part) in (0..).zip(&PARTS) {
        // On empty tables just before: a shared machine may be slower a few minutes later.
        let deployment = bench.deploy("grown_not").await?;
        let (empty, measured) = sample(bench, deployment, part, create()).await?;
        bench.add(part.on_empty, Sample::rate(empty, &measured));
        let mut samples = [(part.all_new, 0), (part.some_known, KNOWN_SHARE)];
        // The second sample finds slightly larger tables, and is further in time from the sample on empty ones.
        if bench.round.is_multiple_of(2) {
            samples.reverse();
        }
        for (key, share) in samples {
            let deployment = bench.deploy_with(on_full_tables(bench)).await?;
            let (rate, measured) = sample(bench, deployment, part, numbers(bench, nth, share)).await?;
            bench.add(key, Sample::rate(rate, &measured).over(empty));
            fill::remove_added(&bench.services.postgres_url(DATABASE)).await?;
        }
    }
    Ok(())
}

/// Each sample has numbers of its own: a second request for a number would find a live verification, or meet its cooldown.
fn numbers(bench: &Bench, part: u64, share: u64) -> Kind {
    let existing = bench.options.grown_numbers;
    let (parts, rounds) = (PARTS.len() as u64, u64::from(bench.options.rounds));
    let nth = u64::from(bench.round - 1) * parts + part;
    let old = nth * existing / (rounds * parts);
    let new = (2 * nth + u64::from(share > 0)) * SAMPLE;
    Kind::Create { numbers: Numbers::Mixed { existing, share, old, new }, keep: false }
}

async fn sample(
    bench: &Bench,
    mut deployment: Deployment,
    part: &Part,
    kind: Kind,
) -> Result<(f64, Measured), BenchError> {
    if part.workers {
        deployment.set_workers(bench.options.workers as usize).await?;
    }
    let backlog = part.workers.then(|| bench.backlog_limit(&deployment));
    let warmup = bench.options.warmup * WARMUP_FACTOR;
    let work = ClosedLoop { warmup, backlog, ..bench.closed_loop_of(&deployment, kind) };
    let measured = bench.measure(&mut deployment, Command::Closed(work)).await?;
    let mut rate = measured.outcome.rate();
    if part.workers {
        rate = measured.outcome.taken.unwrap_or(0.0);
        deployment.drained().await?;
    }
    deployment.stop(&bench.services).await?;
    Ok((rate, measured))
}

/// The database keeps its name, and with it the virtual host, from one sample to the next.
fn on_full_tables(bench: &Bench) -> DeploymentOptions {
    DeploymentOptions {
        name: DATABASE.to_owned(),
        keeps_database: true,
        ..bench.deployment_options(DATABASE)
    }
}

async fn build(bench: &mut Bench) -> Result<(), BenchError> {
    let (verifications, numbers) = (bench.options.grown_verifications, bench.options.grown_numbers);
    bench.print(&format!("grown: filling in {verifications} verifications of {numbers} numbers"));
    // The API creates the tables and its client.
    bench.services.make_database(DATABASE).await?;
    let deployment = bench.deploy_with(on_full_tables(bench)).await?;
    let url = deployment.database_url().to_owned();
    deployment.stop(&bench.services).await?;
    let took = fill::fill(&url, verifications, numbers, |what| bench.print(&format!("  {what}"))).await?;
    let size = fill::size(&url).await? as f64 / 1e9;
    let note = format!(
        "Grown: {verifications} verifications of {numbers} numbers, {size:.1} GB, filled in by SQL in {:.0} s. Where \
         some numbers are known, {KNOWN_SHARE}% of the requests are for numbers that are in the database already.",
        took.as_secs_f64()
    );
    bench.print(&format!("  {note}"));
    bench.report.note(note);
    Ok(())
}
