//! Why a store could not answer.

/// Why a store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, or too busy to answer in time.
    #[error("the database is unavailable: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Somebody else changed the same rows at the same time, more often than we tried again.
    #[error("too many concurrent changes: {0}")]
    Conflict(String),
    /// A row holds what no version of this program wrote.
    #[error("unreadable row: {0}")]
    Corrupt(String),
    /// The database refused a statement.
    #[error("database error: {0}")]
    Database(#[source] sqlx::Error),
    /// The migrations could not be applied.
    #[error("migration failed: {0}")]
    Migrate(#[source] sqlx::migrate::MigrateError),
}

impl StoreError {
    /// Whether asking again later may help.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Conflict(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match &error {
            E::Io(_) | E::Tls(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed | E::Protocol(_) => {
                Self::Unavailable(Box::new(error))
            }
            E::Database(refused) => match refused.code().as_deref() {
                // Unique violation, serialization failure, deadlock: another transaction was first. SQLite: 2067 and
                // 1555 are unique violations, 5 and 517 say that somebody holds the lock.
                Some("23505" | "40001" | "40P01" | "2067" | "1555" | "5" | "517") => {
                    Self::Conflict(refused.message().to_owned())
                }
                // Shutting down, starting up, out of connections, lost connections (class 08), read-only after a
                // switch-over, a statement that took too long. SQLite: 13 is a full disk, 10 an I/O error.
                Some(code)
                    if code.starts_with("57P")
                        || code.starts_with("08")
                        || code.starts_with("53")
                        || matches!(code, "25006" | "57014" | "13" | "10") =>
                {
                    Self::Unavailable(Box::new(error))
                }
                _ => Self::Database(error),
            },
            _ => Self::Database(error),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(error) => match Self::from(error) {
                Self::Database(error) => Self::Migrate(sqlx::migrate::MigrateError::Execute(error)),
                other => other,
            },
            other => Self::Migrate(other),
        }
    }
}
