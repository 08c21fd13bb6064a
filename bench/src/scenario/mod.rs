//! The scenarios. Each starts its own deployment on empty tables, and measures the ceilings that it is compared with just
//! before it.

mod accept;
mod check;
mod embedded;
mod end_to_end;
mod grown;
mod idle;
mod poll;
mod scale;
mod wait;

use crate::bench::Bench;
use crate::error::BenchError;
use crate::options::Scenario;

/// Runs one scenario once, with the release that `bench` measures now.
///
/// # Errors
/// When there is no valid measurement.
pub async fn run(bench: &mut Bench, scenario: Scenario) -> Result<(), BenchError> {
    match scenario {
        Scenario::Accept => accept::run(bench).await,
        Scenario::AcceptHot => accept::hot(bench).await,
        Scenario::EndToEnd => end_to_end::run(bench).await,
        Scenario::Poll => poll::run(bench).await,
        Scenario::Wait => wait::run(bench).await,
        Scenario::Check => check::run(bench).await,
        Scenario::Scale => scale::run(bench).await,
        Scenario::Grown => grown::run(bench).await,
        Scenario::Embedded => embedded::run(bench).await,
        Scenario::Idle => idle::run(bench).await,
    }
}
