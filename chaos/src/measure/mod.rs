//! Measurements of one promise each, with nothing else going wrong.

mod backlog;
mod broker;
mod credits;
mod number;
mod rate;

use clap::ValueEnum;

use crate::{Binaries, ChaosError};

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
    /// A million messages that nobody has published.
    Backlog,
}

/// Measures, prints, and answers whether it is as promised.
///
/// # Errors
/// When it could not be measured.
pub async fn run(measure: Measure, binaries: Binaries) -> Result<bool, ChaosError> {
    match measure {
        Measure::Number => Box::pin(number::run(binaries)).await,
        Measure::Rate => Box::pin(rate::run(binaries)).await,
        Measure::Credits => Box::pin(credits::run(binaries)).await,
        Measure::Backlog => Box::pin(backlog::run()).await,
        Measure::Broker => Box::pin(broker::run(binaries)).await,
    }
}
