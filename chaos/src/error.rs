use hulak_store::StoreError;
use hulak_testkit::services::ServiceError;

/// Why a run could not be made. Says nothing about Hulak.
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    /// PostgreSQL or RabbitMQ could not be started, or not again.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The judge could not read the database.
    #[error("the judge cannot read the database: {0}")]
    Sql(#[from] sqlx::Error),
    /// The store could not be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file, a socket or a process could not be made.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A part of the harness died.
    #[error("a part of the harness died: {0}")]
    Died(#[from] tokio::task::JoinError),
    /// Something else was not as it has to be.
    #[error("{0}")]
    Setup(String),
}
