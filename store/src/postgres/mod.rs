//! PostgreSQL: rows travel many at a time, as an array for each column.
//!
//! Arrays are unfolded side by side in the list of what is selected, in step and as they are read. In the `FROM` clause each
//! of them would be stored first, which costs twice as much.

mod ctid;
mod health_connection;
mod pool;
mod transaction;

use std::str::FromStr as _;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::migrate::{AppliedMigration, Migrate as _};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgPoolOptions, PgRow};
use sqlx::query::{Query, QueryAs};
use sqlx::{Connection as _, FromRow, QueryBuilder};

use crate::connections::Connections;
use crate::error::{ReadOnly, Result, StoreError, Verdict, verdict};
use crate::sql_text::SqlText;
use health_connection::HealthConnection;
use hulak_common::time::Timestamp;
pub(crate) use pool::IDLE;
use pool::{Condemned, Pool, PooledConnection};

pub(crate) use ctid::Ctid;
pub(crate) use transaction::PgTransaction;

/// How long a request waits for a free connection before it is told that the database is unavailable.
const ACQUIRE: Duration = Duration::from_secs(2);
/// No statement of ours takes longer unless something is wrong; a stuck one must not hold its locks.
const STATEMENT_TIMEOUT_MS: &str = "5000";

/// Our statements look up a few rows by an index, and nothing else. A prepared one keeps its plan, and a plan made while a
/// table was empty reads the whole of it, or joins with the whole of it, until the next ANALYZE: a hundred times slower on a
/// table that has grown meanwhile. Compiling such a statement would take longer than running it.
const BY_INDEX: [(&str, &str); 5] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_material", "off"),
    ("jit", "off"),
];

/// A little longer than a statement may take: beyond it the connection is dead.
const PATIENCE: Duration = Duration::from_secs(6);

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/postgres");

/// A PostgreSQL database.
#[derive(Debug)]
pub(crate) struct Postgres {
    pool: Pool,
    health: HealthConnection,
}

impl Postgres {
    /// Prepares at most `connections` connections; none is opened yet, so an absent server is no error here. One that has been
    /// idle for longer than `idle` has to answer before it is used.
    ///
    /// # Errors
    /// When the address cannot be read.
    pub(crate) fn new(
        url: &SecretString,
        connections: u32,
        application: &str,
        idle: Duration,
    ) -> Result<Self> {
        let options = PgConnectOptions::from_str(url.expose_secret())
            .map_err(|error| StoreError::Unavailable(Box::new(error)))?
            .application_name(application)
            .options([
                ("statement_timeout", STATEMENT_TIMEOUT_MS),
                ("idle_in_transaction_session_timeout", STATEMENT_TIMEOUT_MS),
            ])
            .options(BY_INDEX);
        let condemned = Condemned::default();
        let asked = condemned.clone();
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            // Testing those that have been idle for a while finds dead ones before a request does, and costs nothing when
            // there is much to do.
            .before_acquire(move |connection, meta| {
                let condemned = asked.covers(meta.age);
                async move { Ok(!condemned && (meta.idle_for < idle || connection.ping().await.is_ok())) }
                    .boxed()
            })
            .connect_lazy_with(options.clone());
        let health = HealthConnection::new(options, condemned.clone());
        Ok(Self { pool: Pool::new(pool, idle, condemned), health })
    }
}

impl Postgres {
    async fn lease(&self) -> Result<PooledConnection> {
        self.pool.take().await
    }

    /// Whether nothing is left to migrate, found out within [`PATIENCE`]: it is so at nearly every start.
    async fn is_migrated(&self) -> Result<bool> {
        let mut lease = self.lease().await?;
        let looked = tokio::time::timeout(PATIENCE, async {
            if sqlx::query_scalar::<_, String>("SHOW enable_seqscan").fetch_one(&mut *lease).await? != "off" {
                tracing::warn!(
                    "a connection pooler in front of the database drops our settings (ignore_startup_parameters = options): \
                     statements have no time limit and bad plans; set the address of PostgreSQL itself"
                );
            }
            let sql = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
            if !sqlx::query_scalar::<_, bool>(sql).fetch_one(&mut *lease).await? {
                return Ok(false);
            }
            let dirty = lease.dirty_version(&MIGRATIONS.table_name).await?;
            let applied = lease.list_applied_migrations(&MIGRATIONS.table_name).await?;
            Ok::<_, StoreError>(dirty.is_none() && is_all(&applied))
        });
        let found = looked.await.map_err(|late| StoreError::Unavailable(Box::new(late)))??;
        lease.finish();
        Ok(found)
    }

    async fn apply_migrations(&self) -> Result<()> {
        // sqlx takes an advisory lock, so that many processes may start at once. It keeps it when a migration fails:
        // the lock has to go with the connection.
        let mut connection = self.pool.pool().acquire().await?;
        connection.close_on_drop();
        // An index on a large table takes as long as it takes.
        sqlx::raw_sql("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
            .execute(&mut *connection)
            .await?;
        Ok(MIGRATIONS.run_direct(None, &mut *connection, false).await?)
    }

    /// Resolves when the database does not answer any more. A migration may take as long as it likes, so only this tells
    /// a long one from a connection that has gone dead.
    async fn silence(&self) -> StoreError {
        loop {
            tokio::time::sleep(PATIENCE).await;
            if let Err(error) = self.time().await {
                return error;
            }
        }
    }

    /// Runs statements outside a transaction, within [`PATIENCE`].
    async fn run<T>(
        &self,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, sqlx::Result<T>> + Send,
    ) -> Result<T> {
        let mut lease = self.lease().await?;
        match tokio::time::timeout(PATIENCE, work(&mut lease)).await {
            Ok(result) => {
                match result.as_ref().err().map(verdict) {
                    None => lease.finish(),
                    // It may be the connection that failed, and what was begun on it has to be undone.
                    Some(Verdict::Ask) if lease.answers().await => lease.finish(),
                    Some(Verdict::Ask | Verdict::Close) => drop(lease),
                    Some(Verdict::CloseAll) => lease.condemn_all(),
                }
                Ok(result?)
            }
            Err(late) => Err(StoreError::Unavailable(Box::new(late))),
        }
    }
}

/// Whether these are the migrations of this program, no fewer and no more.
fn is_all(applied: &[AppliedMigration]) -> bool {
    let ours = MIGRATIONS.iter().filter(|migration| !migration.migration_type.is_down_migration());
    ours.map(|migration| (migration.version, &migration.checksum))
        .eq(applied.iter().map(|migration| (migration.version, &migration.checksum)))
}

/// What a statement is called with.
type Select<T> = QueryAs<'static, sqlx::Postgres, T, PgArguments>;

impl Postgres {
    /// The text of a statement for this database.
    pub(crate) fn text(&self, sql: impl SqlText) -> &'static str {
        sql.postgres()
    }

    /// All rows of a statement.
    pub(crate) async fn read<T>(&self, select: Select<T>) -> Result<Vec<T>>
    where
        T: Send + Unpin + 'static + for<'r> FromRow<'r, PgRow>,
    {
        self.run(|connection| select.fetch_all(connection).boxed()).await
    }

    /// All rows of two statements, on one connection.
    pub(crate) async fn read_two<A, B>(&self, first: Select<A>, second: Select<B>) -> Result<(Vec<A>, Vec<B>)>
    where
        A: Send + Unpin + 'static + for<'r> FromRow<'r, PgRow>,
        B: Send + Unpin + 'static + for<'r> FromRow<'r, PgRow>,
    {
        self.run(|connection| {
            async { Ok((first.fetch_all(&mut *connection).await?, second.fetch_all(connection).await?)) }
                .boxed()
        })
        .await
    }

    /// Runs statements that change something, and then one that reads, on one connection.
    pub(crate) async fn execute_then_read<T>(
        &self,
        statements: [Query<'static, sqlx::Postgres, PgArguments>; 2],
        select: Select<T>,
    ) -> Result<Vec<T>>
    where
        T: Send + Unpin + 'static + for<'r> FromRow<'r, PgRow>,
    {
        self.run(|connection| {
            async {
                for statement in statements {
                    statement.execute(&mut *connection).await?;
                }
                select.fetch_all(connection).await
            }
            .boxed()
        })
        .await
    }

    /// All rows of a statement that was put together.
    pub(crate) async fn read_built<T>(&self, mut select: QueryBuilder<sqlx::Postgres>) -> Result<Vec<T>>
    where
        T: Send + Unpin + 'static + for<'r> FromRow<'r, PgRow>,
    {
        self.run(move |connection| async move { select.build_query_as().fetch_all(connection).await }.boxed())
            .await
    }

    /// All rows of a statement that changes something.
    pub(crate) async fn change<T>(&self, statement: Select<T>) -> Result<Vec<T>>
    where
        T: Send + Unpin + 'static + for<'r> FromRow<'r, PgRow>,
    {
        self.read(statement).await
    }

    /// How many rows a statement has changed.
    pub(crate) async fn execute(
        &self,
        statement: Query<'static, sqlx::Postgres, PgArguments>,
    ) -> Result<u64> {
        self.run(|connection| statement.execute(connection).boxed()).await.map(|done| done.rows_affected())
    }

    pub(crate) async fn autocommit(&self) -> Result<PgTransaction> {
        Ok(PgTransaction::autocommit(self.lease().await?))
    }

    pub(crate) async fn begin(&self) -> Result<PgTransaction> {
        let mut left = self.pool.most();
        loop {
            match PgTransaction::begin(self.lease().await?).await {
                // A connection that broke a moment ago. Nothing was asked of it yet, so another one will do; they may all have broken.
                Err(StoreError::Unavailable(_)) if left > 0 => left -= 1,
                begun => return begun,
            }
        }
    }

    pub(crate) async fn migrate(&self) -> Result<()> {
        if self.is_migrated().await? {
            return Ok(());
        }
        tokio::select! {
            done = self.apply_migrations() => done,
            silent = self.silence() => Err(silent),
        }
    }

    /// What the server's clock says.
    ///
    /// # Errors
    /// Also when the server takes no writes.
    pub(crate) async fn time(&self) -> Result<Timestamp> {
        match self.health.ask().await? {
            (time, false) => Ok(time),
            (_, true) => Err(StoreError::Unavailable(Box::new(ReadOnly))),
        }
    }

    pub(crate) fn connections(&self) -> Connections {
        self.pool.connections()
    }

    pub(crate) async fn close(&self) {
        self.health.close().await;
        self.pool.close().await;
    }
}
