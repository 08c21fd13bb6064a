//! Measurements of one promise each, without other faults.

mod backlog;
mod broker;
mod credits;
mod number;
mod rate;

use clap::ValueEnum;

use crate::error::ChaosError;
use crate::programs::Programs;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measure {
    /// 8 workers, 200 requests for one number through different clients.
    Number,
    /// Workers that join and leave, and the account's rate.
    Rate,
    /// No credits for a minute.
    Credits,
    /// RabbitMQ killed during 500 requests a second.
    Broker,
    /// A million messages that were never published.
    Backlog,
}

/// Measures, prints, and answers whether the promise was kept.
///
/// # Errors
/// When it could not be measured.
pub async fn run(measure: Measure, programs: Programs) -> Result<bool, ChaosError> {
    match measure {
        Measure::Number => Box::pin(number::run(programs)).await,
        Measure::Rate => Box::pin(rate::run(programs)).await,
        Measure::Credits => Box::pin(credits::run(programs)).await,
        Measure::Backlog => Box::pin(backlog::run()).await,
        Measure::Broker => Box::pin(broker::run(programs)).await,
    }
}
