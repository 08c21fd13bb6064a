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
    /// A connection pooler refuses a session's settings, or lends sessions by transaction, so that prepared statements get mixed up.
    #[error(
        "a connection pooler (such as PgBouncer) is in front of the database and breaks sessions ({0}): \
         set the address of PostgreSQL itself"
    )]
    Pooler(String),
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

    /// What the error says about the connection that it came by.
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Unavailable(cause) => cause.downcast_ref().map_or(Verdict::Ask, verdict),
            _ => Verdict::Ask,
        }
    }
}

/// What becomes of a connection by which an error came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may be used again if it still answers.
    Ask,
    /// It is closed, whatever it would answer.
    Close,
    /// It is closed, and so are all that were opened before.
    CloseAll,
}

/// The errors that condemn a connection, by PostgreSQL's codes.
pub(crate) fn verdict(error: &sqlx::Error) -> Verdict {
    let Some(code) = error.as_database_error().and_then(sqlx::error::DatabaseError::code) else {
        return Verdict::Ask;
    };
    match &*code {
        // Read-only. The server has become a standby, or was one when the session began: a session that is read-only by its
        // settings stays so after the server has been promoted, although it answers every ping.
        "25006" => Verdict::CloseAll,
        // The server is being shut down, restarts after a crash, or has dropped the database: it ends the session.
        "57P01" | "57P02" | "57P03" | "57P04" | "57P05" => Verdict::Close,
        // The server gives up on a session that idles in a transaction, or whose transaction takes too long.
        "25P03" | "25P04" => Verdict::Close,
        // The session's prepared statements are not those that were prepared on it: a proxy lends sessions by transaction.
        "26000" | "42P05" => Verdict::Close,
        // Connection exceptions.
        code if code.starts_with("08") => Verdict::Close,
        _ => Verdict::Ask,
    }
}

/// A server that answers, but takes no writes.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the server is read-only: it is a standby, or was made one")]
pub(crate) struct ReadOnly;

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let message =
            || error.as_database_error().map_or_else(String::new, |refused| refused.message().to_owned());
        match reason(&error) {
            Reason::Race => Self::Conflict(message()),
            Reason::Pooler => Self::Pooler(message()),
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
    /// It is not reached directly.
    Pooler,
    /// What it was asked is wrong.
    Ours,
}

fn reason(error: &sqlx::Error) -> Reason {
    use sqlx::Error as E;
    match error {
        E::Io(_) | E::Tls(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed | E::Protocol(_) => {
            Reason::Trouble
        }
        E::Database(refused) if refused.message().contains("startup parameter") => Reason::Pooler,
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
            // A file that became read-only, an I/O error, a full disk.
            8 | 10 | 13 => Reason::Trouble,
            _ => Reason::Ours,
        },
        None => match code {
            // Unique violation, serialization failure, deadlock.
            "23505" | "40001" | "40P01" => Reason::Race,
            // A prepared statement is missing, or is there already, on a session that is our own: it is another one each time.
            "26000" | "42P05" => Reason::Pooler,
            // Read-only after a switch-over; a statement or a transaction that took too long.
            "25006" | "57014" | "25P03" | "25P04" => Reason::Trouble,
            // Shutting down or starting up, lost connections, out of connections.
            _ if ["57P", "08", "53"].iter().any(|class| code.starts_with(class)) => Reason::Trouble,
            _ => Reason::Ours,
        },
    }
}
