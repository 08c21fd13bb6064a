//! The store: one of two databases, and the rules that its decisions go by.
//!
//! Its calls are beside what they need: plain reads and writes in [`crate::tables`], decisions in [`crate::decisions`].

use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;

use crate::connections::Connections;
use crate::error::{Result, StoreError};
use crate::postgres::{IDLE, Postgres};
use crate::sqlite::Sqlite;
use hulak_common::rules::Rules;
use hulak_common::time::Timestamp;

/// The store.
#[derive(Debug)]
pub struct Store {
    pub(crate) database: Database,
    pub(crate) rules: Rules,
}

/// Which database keeps the rows.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a program has one, which is never moved about")]
pub(crate) enum Database {
    Postgres(Postgres),
    Sqlite(Sqlite),
}

/// Evaluates an expression for the database that the store has, with the types of that database.
macro_rules! both {
    ($store:expr, |$database:ident| $body:expr) => {
        match &$store.database {
            $crate::store::Database::Postgres($database) => $body,
            $crate::store::Database::Sqlite($database) => $body,
        }
    };
}
pub(crate) use both;

/// All rows of a statement that reads: `read!(store, sql, parameters…)`.
macro_rules! read {
    ($store:expr, $sql:expr $(, $parameter:expr)* $(,)?) => {
        $crate::store::both!($store, |database| {
            database.read(sqlx::query_as(database.text($sql))$(.bind($parameter))*).await
        })
    };
}
pub(crate) use read;

/// All rows of a statement that changes something, so that the answer comes after its commit.
macro_rules! change {
    ($store:expr, $sql:expr $(, $parameter:expr)* $(,)?) => {
        $crate::store::both!($store, |database| {
            database.change(sqlx::query_as(database.text($sql))$(.bind($parameter))*).await
        })
    };
}
pub(crate) use change;

/// How many rows a statement has changed.
macro_rules! execute {
    ($store:expr, $sql:expr $(, $parameter:expr)* $(,)?) => {
        $crate::store::both!($store, |database| {
            database.execute(sqlx::query(database.text($sql))$(.bind($parameter))*).await
        })
    };
}
pub(crate) use execute;

/// Several statements in one transaction, which an error undoes.
macro_rules! in_transaction {
    ($store:expr, |$tx:ident| $work:expr) => {
        $crate::store::in_time(Box::pin(async {
            $crate::store::both!($store, |database| {
                let mut $tx = database.begin().await?;
                match $work {
                    Ok(done) => $tx.commit().await.map(|()| done),
                    Err(error) => {
                        // The error of the work is the answer; a connection that cannot even be cleaned up is closed.
                        let _closed = $tx.undo(&error).await;
                        Err(error)
                    }
                }
            })
        }))
        .await
    };
}
pub(crate) use in_transaction;

/// How long a transaction may take, from the wait for a connection to its commit.
const PATIENCE: Duration = Duration::from_secs(8);

/// A connection that has gone dead silently never answers, and must not keep its callers waiting.
pub(crate) async fn in_time<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|late| Err(StoreError::Unavailable(Box::new(late))))
}

impl Store {
    /// A store on PostgreSQL at `url`, with at most `connections` connections that call themselves `application`. None is
    /// opened yet, so an absent server is no error here.
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn postgres(url: &SecretString, connections: u32, application: &str, rules: Rules) -> Result<Self> {
        Self::pinging(url, connections, application, IDLE, rules)
    }

    /// The same, with another time after which an idle connection has to answer before it is used: half a second by default.
    ///
    /// # Errors
    /// As [`Store::postgres`].
    pub fn pinging(
        url: &SecretString,
        connections: u32,
        application: &str,
        idle: Duration,
        rules: Rules,
    ) -> Result<Self> {
        let database = Postgres::new(url, connections, application, idle)?;
        Ok(Self { database: Database::Postgres(database), rules })
    }

    /// A store in the SQLite file at `path`, which is made when it is not there.
    ///
    /// # Errors
    /// When the path cannot be used.
    pub fn sqlite(path: &Path, rules: Rules) -> Result<Self> {
        Ok(Self { database: Database::Sqlite(Sqlite::open(path)?), rules })
    }

    /// Brings the schema up to date, under a lock so that many may try at once.
    ///
    /// # Errors
    /// When the schema is newer than this program, or a migration fails.
    pub async fn migrate(&self) -> Result<()> {
        both!(self, |database| database.migrate().await)
    }

    /// What the database's clock says, for [`hulak_common::clock::Clock::calibrate`].
    pub async fn time(&self) -> Result<Timestamp> {
        both!(self, |database| database.time().await)
    }

    /// What the connections to the database do.
    pub fn connections(&self) -> Connections {
        both!(self, |database| database.connections())
    }

    /// Closes the connections.
    pub async fn close(&self) {
        both!(self, |database| database.close().await);
    }
}
