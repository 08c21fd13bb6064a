//! One process on SQLite, with the simulator in it.

use crate::bench::{Bench, create};
use crate::deployment::DeploymentOptions;
use crate::error::BenchError;
use crate::report::Sample;

pub(super) async fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let inserts = bench.inserts().await?;
    for (key, limited) in [("embedded.accept", false), ("embedded.end-to-end", true)] {
        let name = key.replace(['.', '-'], "_");
        let options = DeploymentOptions { embedded: true, ..bench.deployment_options(&name) };
        let mut deployment = bench.deploy_with(options).await?;
        let measured = bench.closed_loop(&mut deployment, create(), limited).await?;
        let rate = measured.outcome.taken.unwrap_or_else(|| measured.outcome.rate());
        bench.add(key, Sample::rate(rate, &measured).over(inserts));
        deployment.stop(&bench.services).await?;
    }
    Ok(())
}
