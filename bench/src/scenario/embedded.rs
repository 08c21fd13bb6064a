//! One process on SQLite, its simulator within it.

use super::{Bench, create};
use crate::BenchError;
use crate::report::Sample;
use crate::world::Shape;

pub(super) async fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let inserts = bench.pgbench().await?;
    for (key, window) in [("embedded.accept", false), ("embedded.end-to-end", true)] {
        let name = key.replace(['.', '-'], "_");
        let shape = Shape { embedded: true, ..bench.shape(&name) };
        let mut world = bench.world_of(shape).await?;
        let measured = bench.closed(&mut world, create(), window).await?;
        let rate = measured.outcome.taken.unwrap_or_else(|| measured.outcome.rate());
        bench.add(key, Sample::rate(rate, &measured).over(inserts));
        world.stop(&bench.services).await?;
    }
    Ok(())
}
