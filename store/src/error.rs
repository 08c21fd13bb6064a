//! Why a store could not answer.

pub(crate) type Result<T> = std::result::Result<T, StoreError>;

/// Why a store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, or too busy to answer in time.
    #[error("the database is unavailable: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Other transactions changed the same rows at the same time, more often than this one was tried.
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
        match reason(&error) {
            Reason::Race => Self::Conflict(
                error.as_database_error().map_or_else(String::new, |refused| refused.message().to_owned()),
            ),
            Reason::Trouble => Self::Unavailable(Box::new(error)),
            Reason::Ours => Self::Database(error),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError as E;
        match error {
            E::Execute(error) if !matches!(reason(&error), Reason::Ours) => Self::from(error),
            // A migration that finds a unique index violated has lost no race: it will find so each time.
            E::ExecuteMigration(error, _) if matches!(reason(&error), Reason::Trouble) => Self::from(error),
            other => Self::Migrate(other),
        }
    }
}

/// Why a database did not do as it was asked.
enum Reason {
    /// Another transaction was first.
    Race,
    /// It is away, or not itself.
    Trouble,
    /// What it was asked is wrong.
    Ours,
}

fn reason(error: &sqlx::Error) -> Reason {
    use sqlx::Error as E;
    match error {
        E::Io(_) | E::Tls(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed | E::Protocol(_) => {
            Reason::Trouble
        }
        E::Database(refused) => reason_of_code(refused.code().as_deref().unwrap_or_default()),
        _ => Reason::Ours,
    }
}

fn reason_of_code(code: &str) -> Reason {
    // PostgreSQL's codes have five characters, SQLite's are numbers of up to four digits whose low byte is the kind.
    match code.parse::<u16>().ok().filter(|_| code.len() < 5) {
        // Unique violations.
        Some(2067 | 1555) => Reason::Race,
        Some(number) => match number & 0xff {
            // Another connection holds the lock.
            5 | 6 => Reason::Race,
            // An I/O error, a full disk.
            10 | 13 => Reason::Trouble,
            _ => Reason::Ours,
        },
        None => match code {
            // Unique violation, serialization failure, deadlock.
            "23505" | "40001" | "40P01" => Reason::Race,
            // Read-only after a switch-over; a statement or a transaction that took too long.
            "25006" | "57014" | "25P03" => Reason::Trouble,
            // Shutting down or starting up, lost connections, out of connections.
            _ if ["57P", "08", "53"].iter().any(|class| code.starts_with(class)) => Reason::Trouble,
            _ => Reason::Ours,
        },
    }
}
