//! The same on a database that is full already.

use super::Bench;
use crate::driver::Measured;
use crate::protocol::{Closed, Command, Kind, Numbers};
use crate::report::Sample;
use crate::world::{Shape, World};
use crate::{BenchError, fill};

const DATABASE: &str = "grown";
/// Numbers that one sample may use.
const SAMPLE: u64 = 1_500_000;
/// Of a hundred requests so many are for numbers that are there already, where some are.
const SHARE: u64 = 30;
/// So many times longer than elsewhere is warmed up. After each checkpoint PostgreSQL writes the first change of a page to its log with
/// the whole page. With the default of five minutes from one to the next that is soon over, while a sample just after one would
/// measure little else: most requests are the first on some page of a large index.
const WARMER: f64 = 5.0;

/// Samples on full tables, beside one of the same kind on empty ones.
struct Part {
    name: &'static str,
    workers: bool,
    on_empty: &'static str,
    all_new: &'static str,
    some_known: &'static str,
}

const PARTS: [Part; 2] = [
    Part {
        name: "accept",
        workers: false,
        on_empty: "grown.not.accept",
        all_new: "grown.accept",
        some_known: "grown.known.accept",
    },
    Part {
        name: "end-to-end",
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
        // On empty tables just before: a machine that is shared is another one minutes later.
        let world = bench.world("grown_not").await?;
        let (empty, measured) = sample(bench, world, part, super::create()).await?;
        bench.add(part.on_empty, Sample::rate(empty, &measured));
        let mut samples = [(part.all_new, 0), (part.some_known, SHARE)];
        // What comes second finds tables that are a little larger, and is further from the sample on empty ones.
        if bench.round.is_multiple_of(2) {
            samples.reverse();
        }
        for (key, share) in samples {
            let shape = bench.shape(part.name);
            // The database's name, and the virtual host's.
            let shape = Shape { name: DATABASE.to_owned(), keeps_database: true, ..shape };
            let world = bench.world_of(shape).await?;
            let (rate, measured) = sample(bench, world, part, numbers(bench, nth, share)).await?;
            bench.add(key, Sample::rate(rate, &measured).over(empty));
            fill::take_out_new(&bench.services.postgres_url(DATABASE)).await?;
        }
    }
    Ok(())
}

/// Each sample has numbers of its own: one asked twice would be told so, or be paced.
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
    mut world: World,
    part: &Part,
    kind: Kind,
) -> Result<(f64, Measured), BenchError> {
    if part.workers {
        world.set_workers(bench.options.workers as usize).await?;
    }
    let window = part.workers.then(|| bench.window(&world));
    let warmup = bench.options.warmup * WARMER;
    let work = Closed { warmup, window, ..bench.loop_of(&world, kind) };
    let measured = bench.measure(&mut world, Command::Closed(work)).await?;
    let mut rate = measured.outcome.rate();
    if part.workers {
        rate = measured.outcome.taken.unwrap_or(0.0);
        world.drained().await?;
    }
    world.stop(&bench.services).await?;
    Ok((rate, measured))
}

async fn build(bench: &mut Bench) -> Result<(), BenchError> {
    let (verifications, numbers) = (bench.options.grown_verifications, bench.options.grown_numbers);
    bench.tell(&format!("grown: filling in {verifications} verifications of {numbers} numbers"));
    // The API makes the tables and its client.
    let mut shape = bench.shape("grown");
    DATABASE.clone_into(&mut shape.name);
    shape.keeps_database = true;
    bench.services.make_database(DATABASE).await?;
    let world = bench.world_of(shape).await?;
    let url = world.database_url().to_owned();
    world.stop(&bench.services).await?;
    let took = fill::fill(&url, verifications, numbers, |what| bench.tell(&format!("  {what}"))).await?;
    let size = fill::size(&url).await? as f64 / 1e9;
    let note = format!(
        "Grown: {verifications} verifications of {numbers} numbers, {size:.1} GB, filled in by SQL in {:.0} s. Where \
         some numbers are known, {SHARE}% of the requests are for numbers that are there already.",
        took.as_secs_f64()
    );
    bench.tell(&format!("  {note}"));
    bench.report.note(note);
    Ok(())
}
