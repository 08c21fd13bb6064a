//! PostgreSQL: rows travel many at a time through `UNNEST`.

mod session;
mod traffic;

use std::str::FromStr as _;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use super::session::{Backend, Result};
use super::{KeyOwner, NewKey, StoreError, WORKER_FORGOTTEN, WORKER_TTL, rows};
use crate::job::MessageId;
use crate::number::{ClientNumber, Number, NumberReport};
use crate::phone::PhoneNumber;
use crate::time::Timestamp;
use crate::verification::Verification;
use session::PgSession;

/// How long a request waits for a free connection before it is told that the database is unavailable.
const ACQUIRE: Duration = Duration::from_secs(2);
/// No statement of ours takes longer unless something is wrong; a stuck one must not hold its locks.
const STATEMENT_TIMEOUT_MS: &str = "10000";

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/postgres");

/// A PostgreSQL database.
#[derive(Debug)]
pub struct Postgres {
    pool: PgPool,
}

impl Postgres {
    /// Prepares at most `connections` connections; none is opened yet, so an absent server is no error here.
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn new(url: &SecretString, connections: u32, application: &str) -> Result<Self> {
        let options = PgConnectOptions::from_str(url.expose_secret())
            .map_err(|error| StoreError::Unavailable(Box::new(error)))?
            .application_name(application)
            .options([
                ("statement_timeout", STATEMENT_TIMEOUT_MS),
                ("idle_in_transaction_session_timeout", "10000"),
            ]);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            .connect_lazy_with(options);
        Ok(Self { pool })
    }
}

impl Backend for Postgres {
    type Session = PgSession;

    async fn begin(&self) -> Result<PgSession> {
        Ok(PgSession::new(self.pool.begin().await?))
    }

    async fn migrate(&self) -> Result<()> {
        // sqlx takes an advisory lock, so that many processes may start at once. It keeps it when a migration fails:
        // the lock has to go with the connection.
        let mut connection = self.pool.acquire().await?;
        connection.close_on_drop();
        Ok(MIGRATIONS.run_direct(None, &mut *connection, false).await?)
    }

    async fn time(&self) -> Result<Timestamp> {
        // The only statement that looks at the database's clock.
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        Ok(sqlx::query_scalar(sql).fetch_one(&self.pool).await?)
    }

    async fn verifications(&self, ids: &[Uuid]) -> Result<Vec<Verification>> {
        let found = sqlx::query_as(session::READ_VERIFICATIONS).bind(ids).fetch_all(&self.pool).await?;
        rows::all::<rows::VerificationRow, _>(found)
    }

    async fn number(&self, client: Uuid, phone: PhoneNumber) -> Result<NumberReport> {
        let number: Option<rows::NumberRow> = sqlx::query_as("SELECT * FROM numbers WHERE phone = $1")
            .bind(phone.to_i64())
            .fetch_optional(&self.pool)
            .await?;
        let row: Option<rows::ClientNumberRow> =
            sqlx::query_as("SELECT * FROM client_numbers WHERE phone = $1 AND client_id = $2")
                .bind(phone.to_i64())
                .bind(client)
                .fetch_optional(&self.pool)
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
             UPDATE messages m SET publish_at = $2 + $3 FROM due WHERE m.verification_id = due.verification_id AND m.seq = due.seq \
             RETURNING m.verification_id, m.seq";
        let taken = sqlx::query(sql)
            .bind(i64::from(limit))
            .bind(now)
            .bind(super::RELAY_GRACE_MS)
            .fetch_all(&self.pool)
            .await?;
        taken
            .iter()
            .map(|row| Ok(MessageId { verification: row.try_get(0)?, seq: row.try_get(1)? }))
            .collect()
    }

    async fn confirm_published(&self, ids: &[MessageId], now: Timestamp) -> Result<()> {
        // Only while it waits for a worker now: a later due time has its own publish time, a claim has none. Locked in
        // the order of the other transactions on messages, so that two of these never wait for each other in a circle.
        let sql = "UPDATE messages m SET publishes = m.publishes + 1, \
             publish_at = $3 + $4 * power(2, least(m.publishes, 6))::bigint \
             FROM (SELECT m.verification_id, m.seq FROM messages m \
                 JOIN UNNEST($1::uuid[], $2::int[]) AS u (id, seq) ON m.verification_id = u.id AND m.seq = u.seq \
                 WHERE m.publish_at IS NOT NULL AND m.due_at <= $3 \
                 ORDER BY m.phone, m.verification_id, m.seq FOR UPDATE OF m SKIP LOCKED) c \
             WHERE m.verification_id = c.verification_id AND m.seq = c.seq";
        let (owners, seqs) = session::split(ids);
        sqlx::query(sql)
            .bind(owners)
            .bind(seqs)
            .bind(now)
            .bind(super::CONFIRMED_MS)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn heartbeat(&self, worker: Uuid, now: Timestamp) -> Result<u32> {
        sqlx::query("INSERT INTO workers VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET seen_at = $2")
            .bind(worker)
            .bind(now)
            .execute(&self.pool)
            .await?;
        // Whoever was killed did not say that it leaves.
        sqlx::query("DELETE FROM workers WHERE seen_at <= $1")
            .bind(now - WORKER_FORGOTTEN)
            .execute(&self.pool)
            .await?;
        let live: i64 = sqlx::query_scalar("SELECT count(*) FROM workers WHERE seen_at > $1")
            .bind(now - WORKER_TTL)
            .fetch_one(&self.pool)
            .await?;
        Ok(u32::try_from(live).unwrap_or(u32::MAX))
    }

    async fn leave(&self, worker: Uuid) -> Result<()> {
        sqlx::query("DELETE FROM workers WHERE id = $1").bind(worker).execute(&self.pool).await?;
        Ok(())
    }

    async fn install_key(&self, key: &NewKey, id: Uuid, now: Timestamp) -> Result<Uuid> {
        let mut tx = self.pool.begin().await?;
        // The no-op update makes the existing row come back, and waits for whoever is inserting it.
        let client: Uuid = sqlx::query_scalar(
            "INSERT INTO clients VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id",
        )
        .bind(id)
        .bind(&key.client_name)
        .bind(now)
        .fetch_one(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO api_keys (hash, client_id, prefix, operator, created_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (hash) DO NOTHING",
        )
        .bind(key.hash.as_slice())
        .bind(client)
        .bind(&key.prefix)
        .bind(key.operator)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(client)
    }

    async fn find_key(&self, hash: &[u8; 32]) -> Result<Option<KeyOwner>> {
        let row = sqlx::query(super::FIND_KEY).bind(hash.as_slice()).fetch_optional(&self.pool).await?;
        row.map(|row| {
            Ok(KeyOwner { client: row.try_get(0)?, client_name: row.try_get(1)?, operator: row.try_get(2)? })
        })
        .transpose()
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
