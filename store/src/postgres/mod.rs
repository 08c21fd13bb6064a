//! PostgreSQL: rows travel many at a time, as an array for each column.
//!
//! Arrays are unfolded side by side in the list of what is selected, in step and as they are read. In the `FROM` clause each
//! of them would be stored first, which costs twice as much.

mod batch_sql;
mod clients;
mod columns;
mod ctid;
mod health_connection;
mod operators;
mod pool;
mod requests;
mod traffic;
mod transaction;

use std::str::FromStr as _;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::migrate::{AppliedMigration, Migrate as _};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{Connection as _, Row as _};
use uuid::Uuid;

use super::rows::{client_number_columns, number_columns};
use super::transaction::{Backend, Result};
use super::{Connections, KeyOwner, List, Load, StoreError, WORKER_FORGOTTEN, WORKER_TTL, rows};
use health_connection::HealthConnection;
use hulak_common::client::NewKey;
use hulak_common::client::{ClientRecord, KeyRecord, SettingsChange};
use hulak_common::job::MessageId;
use hulak_common::phone::PhoneNumber;
use hulak_common::phone_record::{ClientNumber, Number, NumberReport};
use hulak_common::time::Timestamp;
use hulak_common::verification::Verification;
use pool::{IDLE, Pool, PooledConnection};
pub(super) use transaction::PgTransaction;

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

/// A little longer than a statement may take: beyond it the line is dead.
const PATIENCE: Duration = Duration::from_secs(6);

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/postgres");

/// A PostgreSQL database.
#[derive(Debug)]
pub struct Postgres {
    leases: Pool,
    pulse: HealthConnection,
}

impl Postgres {
    /// Prepares at most `connections` connections; none is opened yet, so an absent server is no error here.
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn new(url: &SecretString, connections: u32, application: &str) -> Result<Self> {
        Self::pinging(url, connections, application, IDLE)
    }

    /// The same, with another time after which an idle connection has to answer before it is used: half a second by default.
    ///
    /// # Errors
    /// As [`Postgres::new`].
    pub fn pinging(url: &SecretString, connections: u32, application: &str, idle: Duration) -> Result<Self> {
        let options = PgConnectOptions::from_str(url.expose_secret())
            .map_err(|error| StoreError::Unavailable(Box::new(error)))?
            .application_name(application)
            .options([
                ("statement_timeout", STATEMENT_TIMEOUT_MS),
                ("idle_in_transaction_session_timeout", STATEMENT_TIMEOUT_MS),
            ])
            .options(BY_INDEX);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            // Testing those that have been idle for a while finds dead ones before anybody's work does, and costs nothing when
            // there is much to do.
            .before_acquire(move |connection, meta| {
                async move { Ok(meta.idle_for < idle || connection.ping().await.is_ok()) }.boxed()
            })
            .connect_lazy_with(options.clone());
        Ok(Self { leases: Pool::new(pool, idle), pulse: HealthConnection::new(options) })
    }
}

impl Postgres {
    async fn lease(&self) -> Result<PooledConnection> {
        self.leases.take().await
    }

    /// Whether nothing is left to migrate, found out within [`PATIENCE`]: it is so at nearly every start.
    async fn is_migrated(&self) -> Result<bool> {
        let mut lease = self.lease().await?;
        let looked = tokio::time::timeout(PATIENCE, async {
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
        let mut connection = self.leases.pool().acquire().await?;
        connection.close_on_drop();
        // An index on a large table takes as long as it takes.
        sqlx::raw_sql("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
            .execute(&mut *connection)
            .await?;
        Ok(MIGRATIONS.run_direct(None, &mut *connection, false).await?)
    }

    /// Resolves when the database does not answer any more. A migration may take as long as it likes, so only this tells
    /// a long one from a line that has gone dead.
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
                // It may be the line that failed, and what was begun on it has to be undone.
                if result.is_ok() || lease.answers().await {
                    lease.finish();
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

impl Backend for Postgres {
    type Transaction = PgTransaction;

    const STAMPS: bool = true;

    async fn autocommit(&self) -> Result<PgTransaction> {
        Ok(PgTransaction::autocommit(self.lease().await?))
    }

    async fn begin(&self) -> Result<PgTransaction> {
        let mut lines = self.leases.most();
        loop {
            match PgTransaction::begin(self.lease().await?).await {
                // A line that broke a moment ago. Nothing was asked of it yet, so another one will do; they may all have broken.
                Err(StoreError::Unavailable(_)) if lines > 0 => lines -= 1,
                begun => return begun,
            }
        }
    }

    async fn migrate(&self) -> Result<()> {
        if self.is_migrated().await? {
            return Ok(());
        }
        tokio::select! {
            done = self.apply_migrations() => done,
            silent = self.silence() => Err(silent),
        }
    }

    async fn time(&self) -> Result<Timestamp> {
        self.pulse.time().await
    }

    async fn verifications(&self, ids: &[Uuid]) -> Result<Vec<Verification>> {
        let ids = ids.to_vec();
        let select = sqlx::query_as(transaction::READ_VERIFICATIONS).bind(ids);
        rows::all::<rows::VerificationRow, _>(
            self.run(|connection| select.fetch_all(connection).boxed()).await?,
        )
    }

    async fn number(&self, client: Uuid, phone: PhoneNumber) -> Result<NumberReport> {
        let number = sqlx::query_as(concat!("SELECT ", number_columns!(), " FROM numbers WHERE phone = $1"))
            .bind(phone.to_i64());
        let row = sqlx::query_as(concat!(
            "SELECT ",
            client_number_columns!(),
            " FROM client_numbers WHERE phone = $1 AND client_id = $2"
        ))
        .bind(phone.to_i64())
        .bind(client);
        let (number, row): (Option<rows::NumberRow>, Option<rows::ClientNumberRow>) = self
            .run(|connection| {
                async {
                    let number = number.fetch_optional(&mut *connection).await?;
                    Ok((number, row.fetch_optional(connection).await?))
                }
                .boxed()
            })
            .await?;
        Ok(NumberReport {
            number: number.map_or_else(|| Ok(Number::new(phone)), TryInto::try_into)?,
            client: row.map_or_else(|| Ok(ClientNumber::new(client, phone)), TryInto::try_into)?,
        })
    }

    async fn take_due(&self, limit: u32, now: Timestamp) -> Result<Vec<MessageId>> {
        // Oldest first; SKIP LOCKED lets many relays work side by side, each on rows of its own. A row taken is off
        // the track for a moment: if this relay dies before the broker has it, another takes it then.
        // MATERIALIZED: looked up once, or a plan that looks again takes more than the limit.
        let sql = "WITH due AS MATERIALIZED (SELECT verification_id, seq FROM messages \
             WHERE publish_at <= $2 ORDER BY publish_at LIMIT $1 FOR UPDATE SKIP LOCKED) \
             UPDATE messages m SET publish_at = $2 + $3 FROM due \
             WHERE m.verification_id = due.verification_id AND m.seq = due.seq \
             RETURNING m.verification_id, m.seq";
        let update = sqlx::query(sql).bind(i64::from(limit)).bind(now).bind(super::RELAY_GRACE_MS);
        let taken = self.run(|connection| update.fetch_all(connection).boxed()).await?;
        taken
            .iter()
            .map(|row| Ok(MessageId { verification: row.try_get(0)?, seq: row.try_get(1)? }))
            .collect()
    }

    async fn confirm_published(&self, confirmed: &[(MessageId, Timestamp)]) -> Result<()> {
        // Only while it waits for a worker now: a later due time has its own publish time, a claim has none. That is asked
        // again of a row that somebody was writing, after the wait for it. Found first, and then written where they are stored,
        // in the order of the other transactions on messages, so that two of these never wait for each other in a circle. Whoever
        // holds a row for longer than a statement may take has the relay publish copies of this chunk, which are harmless.
        // "Not null" is said in a way that does not bring the index messages_outbox to mind: whoever has counted while it was
        // empty would read all of it.
        let sql = "UPDATE messages m SET publishes = m.publishes + 1, \
             publish_at = c.at + $4 * power(2, least(m.publishes, 6))::bigint \
             FROM (SELECT m.place, u.at FROM (SELECT unnest($1::uuid[]) AS id, unnest($2::int[]) AS seq, \
                     unnest($3::bigint[]) AS at) AS u \
                 CROSS JOIN LATERAL (SELECT ctid AS place, phone FROM messages WHERE verification_id = u.id AND seq = u.seq \
                     AND coalesce(publish_at, 0) > 0 AND due_at <= u.at) AS m \
                 ORDER BY m.phone, u.id, u.seq) AS c \
             WHERE m.ctid = c.place AND coalesce(m.publish_at, 0) > 0 AND m.due_at <= c.at";
        let (ids, times): (Vec<MessageId>, Vec<Timestamp>) = confirmed.iter().copied().unzip();
        let (owners, seqs) = transaction::split(&ids);
        let update = sqlx::query(sql).bind(owners).bind(seqs).bind(times).bind(super::CONFIRMED_MS);
        self.run(|connection| update.execute(connection).boxed()).await.map(drop)
    }

    async fn waiting_since(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        // One look at the end of the index messages_waiting.
        let sql =
            "SELECT due_at FROM messages WHERE state = 'queued' AND due_at <= $1 ORDER BY due_at LIMIT 1";
        let select = sqlx::query_scalar(sql).bind(now);
        self.run(|connection| select.fetch_optional(connection).boxed()).await
    }

    async fn load(&self, now: Timestamp) -> Result<Load> {
        // The index messages_outbox has only what is to be published; the limit bounds how much of it is read.
        let sql = "SELECT (SELECT count(*) FROM (SELECT 1 FROM messages WHERE publish_at <= $1 LIMIT $2) AS due), \
             (SELECT count(*) FROM workers WHERE seen_at > $3)";
        let select = sqlx::query_as(sql).bind(now).bind(i64::from(Load::MOST)).bind(now - WORKER_TTL);
        let (outbox, workers): (i64, i64) =
            self.run(|connection| select.fetch_one(connection).boxed()).await?;
        Ok(Load {
            outbox: u32::try_from(outbox).unwrap_or(u32::MAX),
            workers: u32::try_from(workers).unwrap_or(u32::MAX),
        })
    }

    fn connections(&self) -> Connections {
        self.leases.connections()
    }

    async fn heartbeat(&self, worker: Uuid, now: Timestamp) -> Result<u32> {
        let beat = sqlx::query(
            "INSERT INTO workers (id, seen_at) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET seen_at = $2",
        )
        .bind(worker)
        .bind(now);
        // Whoever was killed did not say that it leaves.
        let forget = sqlx::query("DELETE FROM workers WHERE seen_at <= $1").bind(now - WORKER_FORGOTTEN);
        let count =
            sqlx::query_scalar("SELECT count(*) FROM workers WHERE seen_at > $1").bind(now - WORKER_TTL);
        let live: i64 = self
            .run(|connection| {
                async {
                    beat.execute(&mut *connection).await?;
                    forget.execute(&mut *connection).await?;
                    count.fetch_one(connection).await
                }
                .boxed()
            })
            .await?;
        Ok(u32::try_from(live).unwrap_or(u32::MAX))
    }

    async fn forget(&self, limit: u32, now: Timestamp) -> Result<()> {
        self.run(|connection| requests::forget(connection, i64::from(limit), now).boxed()).await
    }

    async fn list(&self, list: &List, now: Timestamp) -> Result<Vec<Verification>> {
        let mut sql = super::list::query::<sqlx::Postgres>(list, now);
        let found = self
            .run(move |connection| async move { sql.build_query_as().fetch_all(connection).await }.boxed())
            .await?;
        rows::all::<rows::VerificationRow, _>(found)
    }

    async fn leave(&self, worker: Uuid) -> Result<()> {
        let delete = sqlx::query("DELETE FROM workers WHERE id = $1").bind(worker);
        self.run(|connection| delete.execute(connection).boxed()).await.map(drop)
    }

    async fn install_key(&self, key: &NewKey, id: Uuid, now: Timestamp) -> Result<Uuid> {
        clients::install_key(self, key, id, now).await
    }

    async fn find_key(&self, hash: &[u8; 32]) -> Result<Option<KeyOwner>> {
        clients::find_key(self, hash).await
    }

    async fn keys(&self) -> Result<Vec<KeyRecord>> {
        clients::keys(self).await
    }

    async fn revoke_key(&self, hash: &[u8; 32], now: Timestamp) -> Result<Option<Timestamp>> {
        clients::revoke_key(self, hash, now).await
    }

    async fn clients(&self) -> Result<Vec<ClientRecord>> {
        clients::clients(self).await
    }

    async fn change_client(&self, name: &str, change: &SettingsChange) -> Result<Option<ClientRecord>> {
        clients::change_client(self, name, change).await
    }

    async fn close(&self) {
        self.pulse.close().await;
        self.leases.close().await;
    }
}
