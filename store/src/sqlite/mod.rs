//! SQLite: one file, one writer at a time. The batches of the hot calls are its group commits.

mod transaction;

use std::path::Path;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::query::{Query, QueryAs};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{FromRow, QueryBuilder, SqlitePool, Transaction};

use crate::connections::Connections;
use crate::error::{Result, StoreError};
use crate::sql_text::SqlText;
use hulak_common::clock::machine_now;
use hulak_common::time::Timestamp;
pub(crate) use transaction::SqliteTransaction;

/// How long a transaction waits for its turn to write.
const TURN: Duration = Duration::from_secs(5);
/// Readers beside the one writer (WAL lets them read while it writes).
const READERS: u32 = 4;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/sqlite");

/// A SQLite database file.
#[derive(Debug)]
pub(crate) struct Sqlite {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Sqlite {
    /// Opens (or makes) the file at `path`.
    ///
    /// # Errors
    /// When the path cannot be used.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        // Not as an address, in which a file name's `?`, `#` and `%` would mean something.
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: a commit is on the disk before it is answered, so a pulled plug loses nothing accepted.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(TURN)
            .foreign_keys(true);
        let pool = |connections| SqlitePoolOptions::new().max_connections(connections).acquire_timeout(TURN);
        Ok(Self {
            writer: pool(1).connect_lazy_with(options.clone()),
            readers: pool(READERS).connect_lazy_with(options),
        })
    }
}

impl Sqlite {
    /// The first transaction, which may find a new file in the middle of another process's switch to WAL. That is the
    /// one lock that connections do not wait for by themselves.
    async fn first_begin(&self) -> Result<Transaction<'static, sqlx::Sqlite>> {
        let mut pause = Duration::from_millis(5);
        loop {
            match self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from) {
                Err(StoreError::Conflict(_)) if pause < TURN => tokio::time::sleep(pause).await,
                other => return other,
            }
            pause *= 2;
        }
    }
}

/// What a statement is called with.
type Select<T> = QueryAs<'static, sqlx::Sqlite, T, SqliteArguments>;

impl Sqlite {
    /// The text of a statement for this database.
    pub(crate) fn text(&self, sql: impl SqlText) -> &'static str {
        sql.sqlite()
    }

    /// A connection that only reads.
    pub(crate) async fn reader(&self) -> Result<PoolConnection<sqlx::Sqlite>> {
        Ok(self.readers.acquire().await?)
    }

    /// All rows of a statement that reads.
    pub(crate) async fn read<T>(&self, select: Select<T>) -> Result<Vec<T>>
    where
        T: Send + Unpin + 'static + for<'r> FromRow<'r, SqliteRow>,
    {
        Ok(select.fetch_all(&self.readers).await?)
    }

    /// All rows of two statements, on one connection.
    pub(crate) async fn read_two<A, B>(&self, first: Select<A>, second: Select<B>) -> Result<(Vec<A>, Vec<B>)>
    where
        A: Send + Unpin + 'static + for<'r> FromRow<'r, SqliteRow>,
        B: Send + Unpin + 'static + for<'r> FromRow<'r, SqliteRow>,
    {
        let mut reader = self.reader().await?;
        Ok((first.fetch_all(&mut *reader).await?, second.fetch_all(&mut *reader).await?))
    }

    /// Runs statements that change something, and then one that reads.
    pub(crate) async fn execute_then_read<T>(
        &self,
        statements: [Query<'static, sqlx::Sqlite, SqliteArguments>; 2],
        select: Select<T>,
    ) -> Result<Vec<T>>
    where
        T: Send + Unpin + 'static + for<'r> FromRow<'r, SqliteRow>,
    {
        for statement in statements {
            self.execute(statement).await?;
        }
        self.read(select).await
    }

    /// All rows of a statement that was put together.
    pub(crate) async fn read_built<T>(&self, mut select: QueryBuilder<sqlx::Sqlite>) -> Result<Vec<T>>
    where
        T: Send + Unpin + 'static + for<'r> FromRow<'r, SqliteRow>,
    {
        Ok(select.build_query_as().fetch_all(&self.readers).await?)
    }

    /// All rows of a statement that changes something.
    pub(crate) async fn change<T>(&self, statement: Select<T>) -> Result<Vec<T>>
    where
        T: Send + Unpin + 'static + for<'r> FromRow<'r, SqliteRow>,
    {
        Ok(statement.fetch_all(&self.writer).await?)
    }

    /// How many rows a statement has changed.
    pub(crate) async fn execute(
        &self,
        statement: Query<'static, sqlx::Sqlite, SqliteArguments>,
    ) -> Result<u64> {
        Ok(statement.execute(&self.writer).await?.rows_affected())
    }

    pub(crate) async fn autocommit(&self) -> Result<SqliteTransaction> {
        self.begin().await
    }

    pub(crate) async fn begin(&self) -> Result<SqliteTransaction> {
        // IMMEDIATE takes the write lock at once: nothing read in the transaction can have changed when it writes.
        Ok(SqliteTransaction { tx: self.writer.begin_with("BEGIN IMMEDIATE").await? })
    }

    pub(crate) async fn migrate(&self) -> Result<()> {
        // For SQLite sqlx takes no lock of its own: a transaction around it all lets many processes start at once.
        let mut tx = self.first_begin().await?;
        MIGRATIONS.run_direct(None, &mut *tx, false).await?;
        Ok(tx.commit().await?)
    }

    pub(crate) async fn time(&self) -> Result<Timestamp> {
        // The machine's clock is this database's, also after a suspend, or after it was set by hand.
        Ok(machine_now())
    }

    pub(crate) fn connections(&self) -> Connections {
        Connections::of([&self.writer, &self.readers])
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
