//! SQLite: one file, one writer at a time. The batches of the hot calls are its group commits.

mod clients;
mod operators;
mod requests;
mod transaction;

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row as _, SqlitePool, Transaction};
use uuid::Uuid;

use super::rows::{self, client_number_columns, number_columns, verification_columns};
use super::transaction::{Backend, Result};
use super::{Connections, KeyOwner, List, Load, StoreError, WORKER_FORGOTTEN, WORKER_TTL};
use hulak_common::client::NewKey;
use hulak_common::client::{ClientRecord, KeyRecord, SettingsChange};
use hulak_common::clock::machine_now;
use hulak_common::job::MessageId;
use hulak_common::phone::PhoneNumber;
use hulak_common::phone_record::{ClientNumber, Number, NumberReport};
use hulak_common::time::Timestamp;
use hulak_common::verification::Verification;
pub(super) use transaction::SqliteTransaction;

/// How long a transaction waits for its turn to write.
const TURN: Duration = Duration::from_secs(5);
/// Readers beside the one writer (WAL lets them read while it writes).
const READERS: u32 = 4;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/sqlite");

const READ_VERIFICATION: &str =
    concat!("SELECT ", verification_columns!(), " FROM verifications WHERE id = ?");

/// A SQLite database file.
#[derive(Debug)]
pub struct Sqlite {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Sqlite {
    /// Opens (or makes) the file at `path`.
    ///
    /// # Errors
    /// When the path cannot be used.
    pub fn open(path: &Path) -> Result<Self> {
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

impl Backend for Sqlite {
    type Transaction = SqliteTransaction;

    const STAMPS: bool = false;

    async fn autocommit(&self) -> Result<SqliteTransaction> {
        self.begin().await
    }

    async fn begin(&self) -> Result<SqliteTransaction> {
        // IMMEDIATE takes the write lock at once: nothing read in the transaction can have changed when it writes.
        Ok(SqliteTransaction::new(self.writer.begin_with("BEGIN IMMEDIATE").await?))
    }

    async fn migrate(&self) -> Result<()> {
        // For SQLite sqlx takes no lock of its own: a transaction around it all lets many processes start at once.
        let mut tx = self.first_begin().await?;
        MIGRATIONS.run_direct(None, &mut *tx, false).await?;
        Ok(tx.commit().await?)
    }

    async fn time(&self) -> Result<Timestamp> {
        // The machine's clock is this database's, also after a suspend, or after somebody has set it.
        Ok(machine_now())
    }

    async fn verifications(&self, ids: &[Uuid]) -> Result<Vec<Verification>> {
        let mut found = Vec::with_capacity(ids.len());
        let mut connection = self.readers.acquire().await?;
        for id in ids {
            let row: Option<rows::VerificationRow> =
                sqlx::query_as(READ_VERIFICATION).bind(id).fetch_optional(&mut *connection).await?;
            found.extend(row);
        }
        rows::all(found)
    }

    async fn number(&self, client: Uuid, phone: PhoneNumber) -> Result<NumberReport> {
        let mut connection = self.readers.acquire().await?;
        let number: Option<rows::NumberRow> =
            sqlx::query_as(concat!("SELECT ", number_columns!(), " FROM numbers WHERE phone = ?"))
                .bind(phone.to_i64())
                .fetch_optional(&mut *connection)
                .await?;
        let row: Option<rows::ClientNumberRow> = sqlx::query_as(concat!(
            "SELECT ",
            client_number_columns!(),
            " FROM client_numbers WHERE phone = ? AND client_id = ?"
        ))
        .bind(phone.to_i64())
        .bind(client)
        .fetch_optional(&mut *connection)
        .await?;
        Ok(NumberReport {
            number: number.map_or_else(|| Ok(Number::new(phone)), TryInto::try_into)?,
            client: row.map_or_else(|| Ok(ClientNumber::new(client, phone)), TryInto::try_into)?,
        })
    }

    async fn take_due(&self, limit: u32, now: Timestamp) -> Result<Vec<MessageId>> {
        // Oldest first. There is one writer, so no other relay can take the same rows.
        let sql = "UPDATE messages SET publish_at = ?2 + ?3 WHERE (verification_id, seq) IN \
             (SELECT verification_id, seq FROM messages WHERE publish_at <= ?2 ORDER BY publish_at LIMIT ?1) \
             RETURNING verification_id, seq";
        let taken = sqlx::query(sql)
            .bind(limit)
            .bind(now)
            .bind(super::RELAY_GRACE_MS)
            .fetch_all(&self.writer)
            .await?;
        taken
            .iter()
            .map(|row| Ok(MessageId { verification: row.try_get(0)?, seq: row.try_get(1)? }))
            .collect()
    }

    async fn confirm_published(&self, confirmed: &[(MessageId, Timestamp)]) -> Result<()> {
        // Only while it waits for a worker now: a later due time has its own publish time, a claim has none.
        let sql = "UPDATE messages SET publishes = publishes + 1, publish_at = ?3 + ?4 * (1 << min(publishes, 6)) \
             WHERE verification_id = ?1 AND seq = ?2 AND publish_at IS NOT NULL AND due_at <= ?3";
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        for (id, published_at) in confirmed {
            sqlx::query(sql)
                .bind(id.verification)
                .bind(id.seq)
                .bind(*published_at)
                .bind(super::CONFIRMED_MS)
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    async fn waiting_since(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        // One look at the end of the index messages_waiting.
        let sql =
            "SELECT due_at FROM messages WHERE state = 'queued' AND due_at <= ? ORDER BY due_at LIMIT 1";
        Ok(sqlx::query_scalar(sql).bind(now).fetch_optional(&self.readers).await?)
    }

    async fn load(&self, now: Timestamp) -> Result<Load> {
        // The index messages_outbox has only what is to be published; the limit bounds how much of it is read.
        let sql = "SELECT (SELECT count(*) FROM (SELECT 1 FROM messages WHERE publish_at <= ?1 LIMIT ?2)), \
             (SELECT count(*) FROM workers WHERE seen_at > ?3)";
        let (outbox, workers) = sqlx::query_as(sql)
            .bind(now)
            .bind(Load::MOST)
            .bind(now - WORKER_TTL)
            .fetch_one(&self.readers)
            .await?;
        Ok(Load { outbox, workers })
    }

    fn connections(&self) -> Connections {
        Connections::of([&self.writer, &self.readers])
    }

    async fn heartbeat(&self, worker: Uuid, now: Timestamp) -> Result<u32> {
        sqlx::query(
            "INSERT INTO workers (id, seen_at) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET seen_at = ?2",
        )
        .bind(worker)
        .bind(now)
        .execute(&self.writer)
        .await?;
        // Whoever was killed did not say that it leaves.
        sqlx::query("DELETE FROM workers WHERE seen_at <= ?")
            .bind(now - WORKER_FORGOTTEN)
            .execute(&self.writer)
            .await?;
        Ok(sqlx::query_scalar("SELECT count(*) FROM workers WHERE seen_at > ?")
            .bind(now - WORKER_TTL)
            .fetch_one(&self.readers)
            .await?)
    }

    async fn forget(&self, limit: u32, now: Timestamp) -> Result<()> {
        let mut connection = self.writer.acquire().await?;
        Ok(requests::forget(&mut connection, i64::from(limit), now).await?)
    }

    async fn list(&self, list: &List, now: Timestamp) -> Result<Vec<Verification>> {
        let mut sql = super::list::query::<sqlx::Sqlite>(list, now);
        rows::all::<rows::VerificationRow, _>(sql.build_query_as().fetch_all(&self.readers).await?)
    }

    async fn leave(&self, worker: Uuid) -> Result<()> {
        sqlx::query("DELETE FROM workers WHERE id = ?").bind(worker).execute(&self.writer).await?;
        Ok(())
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
        self.readers.close().await;
        self.writer.close().await;
    }
}
