//! Why a run fails.

use hulak_testkit::services::ServiceError;

/// Why a measurement could not be made, or is not valid.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// PostgreSQL or RabbitMQ could not be started.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The database refused.
    #[error("database: {0}")]
    Sql(#[from] sqlx::Error),
    /// The broker refused.
    #[error("broker: {0}")]
    Broker(#[from] lapin::Error),
    /// A file, a socket or a process failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A program wrote what is not the JSON that was expected.
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The run is not set up as it must be.
    #[error("{0}")]
    Setup(String),
    /// There were unexpected answers: a rate of errors is not a valid measurement.
    #[error("not a valid measurement: {0}")]
    Invalid(String),
}
