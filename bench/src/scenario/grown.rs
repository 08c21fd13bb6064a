//! The same on a database that is full already.

use super::Bench;
use crate::protocol::{Kind, Numbers};
use crate::report::Sample;
use crate::world::Shape;
use crate::{BenchError, fill};

const DATABASE: &str = "grown";
/// Of a hundred requests so many are for numbers that are there already.
const SHARE: u64 = 30;
/// Numbers that one round may use.
const ROUND: u64 = 3_000_000;

pub(super) async fn run(bench: &mut Bench) -> Result<(), BenchError> {
    if bench.round == 1 {
        build(bench).await?;
    }
    let existing = bench.options.grown_numbers;
    let samples = u64::from(bench.options.rounds) * 2;
    let kind = |part: u64, round: u32| {
        // Each sample has numbers of its own: one asked twice would be told so, or be paced.
        let sample = u64::from(round - 1) * 2 + part;
        let (old, new) = (sample * existing / samples, sample * ROUND);
        Kind::Create { numbers: Numbers::Mixed { existing, share: SHARE, old, new }, keep: false }
    };
    let shape = |bench: &Bench, part: &str| Shape {
        // The database's name, and the virtual host's.
        name: DATABASE.to_owned(),
        keeps_database: true,
        ..bench.shape(part)
    };

    // Each beside the same on empty tables: a machine that is shared is another one minutes later.
    let mut world = bench.world("grown_not").await?;
    let measured = bench.closed(&mut world, super::create(), false).await?;
    let empty = measured.outcome.rate();
    bench.add("grown.not.accept", Sample::rate(empty, &measured));
    world.stop(&bench.services).await?;

    let mut world = bench.world_of(shape(bench, "accept")).await?;
    let measured = bench.closed(&mut world, kind(0, bench.round), false).await?;
    bench.add("grown.accept", Sample::rate(measured.outcome.rate(), &measured).over(empty));
    world.stop(&bench.services).await?;
    fill::take_out_new(&bench.services.postgres_url(DATABASE)).await?;

    let mut world = bench.world("grown_not").await?;
    world.set_workers(bench.options.workers as usize).await?;
    let measured = bench.closed(&mut world, super::create(), true).await?;
    let empty = measured.outcome.taken.unwrap_or(0.0);
    bench.add("grown.not.end-to-end", Sample::rate(empty, &measured));
    world.drained().await?;
    world.stop(&bench.services).await?;

    let mut world = bench.world_of(shape(bench, "end-to-end")).await?;
    world.set_workers(bench.options.workers as usize).await?;
    let measured = bench.closed(&mut world, kind(1, bench.round), true).await?;
    let rate = measured.outcome.taken.unwrap_or(0.0);
    bench.add("grown.end-to-end", Sample::rate(rate, &measured).over(empty));
    world.drained().await?;
    world.stop(&bench.services).await?;
    if bench.round < bench.options.rounds {
        fill::take_out_new(&bench.services.postgres_url(DATABASE)).await?;
    }
    Ok(())
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
        "Grown: {verifications} verifications of {numbers} numbers, {size:.1} GB, filled in by SQL in {:.0} s; {SHARE}% of \
         the requests are for numbers that are there already.",
        took.as_secs_f64()
    );
    bench.tell(&format!("  {note}"));
    bench.report.note(note);
    Ok(())
}
