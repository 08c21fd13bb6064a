use hulak_testkit::services::ServiceError;

/// Why a measurement could not be made, or is worth nothing.
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
    /// A program said what cannot be read.
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Something else was not as it has to be.
    #[error("{0}")]
    Setup(String),
    /// Answers that were not expected: a benchmark of errors is worth nothing.
    #[error("not a measurement: {0}")]
    Worthless(String),
}
