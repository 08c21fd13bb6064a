//! Why a run fails.

use hulak_store::StoreError;
use hulak_testkit::services::ServiceError;

/// Why a run could not be made. Hulak is not the cause.
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    /// PostgreSQL or RabbitMQ could not be started, or not again.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The evidence could not be read from the database.
    #[error("the database cannot be read: {0}")]
    Sql(#[from] sqlx::Error),
    /// The store could not be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file, a socket or a process failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A task of the harness panicked.
    #[error("a task of the harness panicked: {0}")]
    Panicked(#[from] tokio::task::JoinError),
    /// The run is not set up as it must be.
    #[error("{0}")]
    Setup(String),
}
