//! One transaction on SQLite. It is the only writer while it lasts, so nothing has to be locked row by row.

use sqlx::query::{Query, QueryAs};
use sqlx::sqlite::{SqliteArguments, SqliteQueryResult};
use sqlx::{Row as _, Sqlite};
use uuid::Uuid;

use super::super::rows::{
    self, client_number_columns, message_columns, number_columns, verification_columns,
};
use super::super::transaction::{
    ClientPhone, Live, MessageBundle, Result, RowVersion, RowVersions, Transaction, Versioned, Written,
};
use super::{READ_VERIFICATION, StoreError};
use hulak_common::client::ClientSettings;
use hulak_common::idempotency::KeptAnswer;
use hulak_common::job::MessageId;
use hulak_common::phone::PhoneNumber;
use hulak_common::phone_record::{ClientNumber, Number};
use hulak_common::rate_limit::{Allowance, AllowanceKey};
use hulak_common::time::Timestamp;
use hulak_common::verification::{Message, Verification};

/// A transaction; dropping it rolls it back.
#[derive(Debug)]
pub(crate) struct SqliteTransaction {
    pub(crate) tx: sqlx::Transaction<'static, Sqlite>,
}

type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;
type Select<'q, T> = QueryAs<'q, Sqlite, T, SqliteArguments>;

fn one_written(result: &SqliteQueryResult) -> Result<()> {
    if result.rows_affected() == 1 {
        Ok(())
    } else {
        Err(StoreError::Conflict(format!("{} rows were written instead of one", result.rows_affected())))
    }
}

impl SqliteTransaction {
    pub(super) fn new(tx: sqlx::Transaction<'static, Sqlite>) -> Self {
        Self { tx }
    }

    pub(super) async fn write(&mut self, statement: Statement<'_>) -> Result<()> {
        one_written(&statement.execute(&mut *self.tx).await?)
    }

    async fn read<T>(&mut self, select: Select<'_, T>) -> Result<Option<T>>
    where
        T: Send + Unpin + for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow>,
    {
        Ok(select.fetch_optional(&mut *self.tx).await?)
    }

    async fn write_numbers(&mut self, rows: &[&Number], sql: &'static str) -> Result<()> {
        for row in rows {
            let statement = sqlx::query(sql)
                .bind(row.phone.to_i64())
                .bind(row.otp_count)
                .bind(row.ambiguous_count)
                .bind(row.last_sent_at)
                .bind(row.paced_until)
                .bind(row.asked.to_string());
            self.write(statement).await?;
        }
        Ok(())
    }

    async fn write_client_numbers(&mut self, rows: &[&ClientNumber], sql: &'static str) -> Result<()> {
        for row in rows {
            let statement = sqlx::query(sql)
                .bind(row.client)
                .bind(row.phone.to_i64())
                .bind(row.validated_at)
                .bind(row.failed_checks.to_string())
                .bind(row.blocked_until)
                .bind(&row.block_reason);
            self.write(statement).await?;
        }
        Ok(())
    }

    async fn write_messages(&mut self, rows: &[&Message], sql: &'static str) -> Result<()> {
        for row in rows {
            let statement = sqlx::query(sql)
                .bind(row.id.verification)
                .bind(row.id.seq)
                .bind(row.phone.to_i64())
                .bind(row.epoch)
                .bind(row.route.as_str())
                .bind(row.state.as_str())
                .bind(row.attempts)
                .bind(row.ambiguous)
                .bind(row.due_at)
                .bind(row.publish_at)
                .bind(row.publishes)
                .bind(row.claim)
                .bind(row.lease_until)
                .bind(row.error.map(|error| error.code.as_str()))
                .bind(row.error.and_then(|error| error.gateway_code?.to_number()))
                .bind(row.created_at)
                .bind(row.updated_at)
                .bind(row.parts);
            self.write(statement).await?;
        }
        Ok(())
    }

    async fn insert_numbers(&mut self, rows: &[&Number]) -> Result<()> {
        self.write_numbers(
            rows,
            "INSERT INTO numbers (phone, otp_count, ambiguous_count, last_sent_at, paced_until, asked) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .await
    }

    async fn update_numbers(&mut self, rows: &[&Number]) -> Result<()> {
        self.write_numbers(
            rows,
            "UPDATE numbers SET otp_count = ?2, ambiguous_count = ?3, last_sent_at = ?4, paced_until = ?5, asked = ?6 \
             WHERE phone = ?1",
        )
        .await
    }

    async fn insert_verifications(&mut self, rows: &[&Verification]) -> Result<()> {
        let sql = concat!(
            "INSERT INTO verifications (",
            verification_columns!(),
            ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        );
        for row in rows {
            let statement = sqlx::query(sql)
                .bind(row.id)
                .bind(row.key.client)
                .bind(row.key.phone.to_i64())
                .bind(row.key.purpose.as_str())
                .bind(row.key.account)
                .bind(&row.key.session)
                .bind(row.locale.as_str())
                .bind(&row.app_hash)
                .bind(&row.origin)
                .bind(&row.metadata)
                .bind(row.salt.0.as_slice())
                .bind(row.key_id.to_i64())
                .bind(i32::from(row.code_length.digits()))
                .bind(row.created_at)
                .bind(row.status.as_str())
                .bind(row.epoch)
                .bind(row.epoch_started_at)
                .bind(row.checks_remaining)
                .bind(row.resend_after)
                .bind(row.expires_at)
                .bind(row.delivery.as_str())
                .bind(row.messages)
                .bind(row.last_sent_at)
                .bind(row.next_attempt_at)
                .bind(row.error.map(|error| error.code.as_str()))
                .bind(row.error.and_then(|error| error.gateway_code?.to_number()))
                .bind(row.ended_at)
                .bind(row.updated_at)
                .bind(row.version)
                .bind(&row.app_name)
                .bind(row.history.as_str());
            self.write(statement).await?;
        }
        Ok(())
    }

    async fn update_verifications(&mut self, rows: &[&Verification]) -> Result<()> {
        let sql = "UPDATE verifications SET status = ?2, epoch = ?3, epoch_started_at = ?4, checks_remaining = ?5, \
             resend_after = ?6, expires_at = ?7, delivery = ?8, messages = ?9, last_sent_at = ?10, \
             next_attempt_at = ?11, error = ?12, gateway_code = ?13, ended_at = ?14, updated_at = ?15, version = ?16, \
             history = ?17 \
             WHERE id = ?1 AND version <= ?16";
        for row in rows {
            let statement = sqlx::query(sql)
                .bind(row.id)
                .bind(row.status.as_str())
                .bind(row.epoch)
                .bind(row.epoch_started_at)
                .bind(row.checks_remaining)
                .bind(row.resend_after)
                .bind(row.expires_at)
                .bind(row.delivery.as_str())
                .bind(row.messages)
                .bind(row.last_sent_at)
                .bind(row.next_attempt_at)
                .bind(row.error.map(|error| error.code.as_str()))
                .bind(row.error.and_then(|error| error.gateway_code?.to_number()))
                .bind(row.ended_at)
                .bind(row.updated_at)
                .bind(row.version)
                .bind(row.history.as_str());
            self.write(statement).await?;
        }
        Ok(())
    }

    async fn insert_messages(&mut self, rows: &[&Message]) -> Result<()> {
        let sql = concat!(
            "INSERT INTO messages (",
            message_columns!(),
            ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        );
        self.write_messages(rows, sql).await
    }

    async fn update_messages(&mut self, rows: &[&Message]) -> Result<()> {
        let sql = "UPDATE messages SET phone = ?3, epoch = ?4, route = ?5, state = ?6, attempts = ?7, ambiguous = ?8, \
             due_at = ?9, publish_at = ?10, publishes = ?11, claim = ?12, lease_until = ?13, error = ?14, \
             gateway_code = ?15, created_at = ?16, updated_at = ?17, parts = ?18 WHERE verification_id = ?1 AND seq = ?2";
        self.write_messages(rows, sql).await
    }
}

/// Never asked: there is one writer, who has everything locked.
fn without_stamps() -> StoreError {
    StoreError::Conflict("rows have no stamps here".to_owned())
}

impl Transaction for SqliteTransaction {
    async fn own_limits(&mut self, clients: &[Uuid]) -> Result<Vec<(Uuid, ClientSettings)>> {
        super::clients::own_limits(self, clients).await
    }

    async fn lock_allowances(&mut self, keys: &[AllowanceKey]) -> Result<Vec<Allowance>> {
        super::requests::lock_allowances(self, keys).await
    }

    async fn insert_allowances(&mut self, rows: &[&Allowance]) -> Result<()> {
        super::requests::insert_allowances(self, rows).await
    }

    async fn update_allowances(&mut self, rows: &[&Allowance]) -> Result<()> {
        super::requests::update_allowances(self, rows).await
    }

    async fn answers(&mut self, scopes: &[[u8; 32]]) -> Result<Vec<KeptAnswer>> {
        super::requests::answers(self, scopes).await
    }

    async fn keep_answers(&mut self, rows: &[&KeptAnswer], since: Timestamp) -> Result<()> {
        super::requests::keep_answers(self, rows, since).await
    }

    async fn lock_numbers(&mut self, phones: &[PhoneNumber]) -> Result<Vec<Number>> {
        let mut found: Vec<rows::NumberRow> = Vec::with_capacity(phones.len());
        for phone in phones {
            let select =
                sqlx::query_as(concat!("SELECT ", number_columns!(), " FROM numbers WHERE phone = ?"))
                    .bind(phone.to_i64());
            found.extend(self.read(select).await?);
        }
        rows::all(found)
    }

    async fn client_numbers(&mut self, keys: &[ClientPhone], _lock: bool) -> Result<Vec<ClientNumber>> {
        let mut found: Vec<rows::ClientNumberRow> = Vec::with_capacity(keys.len());
        for (client, phone) in keys {
            let select = sqlx::query_as(concat!(
                "SELECT ",
                client_number_columns!(),
                " FROM client_numbers WHERE phone = ? AND client_id = ?"
            ))
            .bind(phone.to_i64())
            .bind(client);
            found.extend(self.read(select).await?);
        }
        rows::all(found)
    }

    async fn insert_client_numbers(&mut self, rows: &[&ClientNumber]) -> Result<()> {
        self.write_client_numbers(
            rows,
            "INSERT INTO client_numbers (client_id, phone, validated_at, failed_checks, blocked_until, block_reason) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .await
    }

    async fn update_client_numbers(&mut self, rows: &[&ClientNumber]) -> Result<()> {
        self.write_client_numbers(
            rows,
            "UPDATE client_numbers SET validated_at = ?3, failed_checks = ?4, blocked_until = ?5, block_reason = ?6 \
             WHERE client_id = ?1 AND phone = ?2",
        )
        .await
    }

    async fn lock_live(
        &mut self,
        keys: &[ClientPhone],
        known: impl Fn(PhoneNumber) -> bool + Send + Sync,
    ) -> Result<Live> {
        let sql = concat!(
            "SELECT ",
            verification_columns!(),
            " FROM verifications WHERE phone = ? AND client_id = ? AND status = 'pending'"
        );
        let blocks = concat!(
            "SELECT ",
            client_number_columns!(),
            " FROM client_numbers WHERE phone = ? AND client_id = ? AND blocked_until IS NOT NULL"
        );
        let mut found: Vec<rows::VerificationRow> = Vec::new();
        let mut blocked: Vec<rows::ClientNumberRow> = Vec::new();
        for (client, phone) in keys {
            let select = sqlx::query_as(blocks).bind(phone.to_i64()).bind(client);
            blocked.extend(select.fetch_optional(&mut *self.tx).await?);
            if known(*phone) {
                let select = sqlx::query_as(sql).bind(phone.to_i64()).bind(client);
                found.extend(select.fetch_all(&mut *self.tx).await?);
            }
        }
        Ok(Live { blocked: rows::all(blocked)?, verifications: rows::all(found)? })
    }

    async fn verifications(&mut self, ids: &[Uuid]) -> Result<Vec<Verification>> {
        let mut found: Vec<rows::VerificationRow> = Vec::with_capacity(ids.len());
        for id in ids {
            found.extend(self.read(sqlx::query_as(READ_VERIFICATION).bind(id)).await?);
        }
        rows::all(found)
    }

    async fn lock_verifications(&mut self, ids: &[Uuid]) -> Result<Vec<Verification>> {
        self.verifications(ids).await
    }

    async fn lock_messages(&mut self, ids: &[MessageId]) -> Result<Vec<Message>> {
        let sql =
            concat!("SELECT ", message_columns!(), " FROM messages WHERE verification_id = ? AND seq = ?");
        let mut found: Vec<rows::MessageRow> = Vec::with_capacity(ids.len());
        for id in ids {
            found.extend(self.read(sqlx::query_as(sql).bind(id.verification).bind(id.seq)).await?);
        }
        rows::all(found)
    }

    async fn lock_held(&mut self, ids: &[MessageId]) -> Result<Vec<MessageBundle>> {
        let mut held = Vec::with_capacity(ids.len());
        for message in self.lock_messages(ids).await? {
            let (mut numbers, mut owners) = (
                self.lock_numbers(&[message.phone]).await?,
                self.lock_verifications(&[message.id.verification]).await?,
            );
            if let (Some(number), Some(owner)) = (numbers.pop(), owners.pop()) {
                held.push((number, owner, message));
            }
        }
        Ok(held)
    }

    async fn insert(&mut self, rows: &Written<'_>) -> Result<()> {
        self.insert_numbers(&rows.numbers).await?;
        self.insert_verifications(&rows.verifications).await?;
        self.insert_messages(&rows.messages).await
    }

    async fn update(&mut self, rows: &Written<'_>) -> Result<()> {
        self.update_numbers(&rows.numbers).await?;
        self.update_verifications(&rows.verifications).await?;
        self.update_messages(&rows.messages).await
    }

    async fn read_held(&mut self, _: &[MessageId]) -> Result<Vec<(MessageBundle, RowVersions)>> {
        Err(without_stamps())
    }

    async fn update_unlocked(&mut self, _: &Versioned<'_>) -> Result<RowVersion> {
        Err(without_stamps())
    }

    async fn overdue(&mut self, limit: u32, now: Timestamp) -> Result<Vec<Uuid>> {
        // Oldest first, by the index verifications_overdue.
        let sql = "SELECT id FROM verifications WHERE status = 'pending' AND expires_at <= ? ORDER BY expires_at LIMIT ?";
        Ok(sqlx::query_scalar(sql).bind(now).bind(limit).fetch_all(&mut *self.tx).await?)
    }

    async fn lapsed(&mut self, limit: u32, now: Timestamp) -> Result<Vec<MessageId>> {
        // Oldest first, by the index messages_leases.
        let sql =
            "SELECT verification_id, seq FROM messages WHERE lease_until <= ? ORDER BY lease_until LIMIT ?";
        let found = sqlx::query(sql).bind(now).bind(limit).fetch_all(&mut *self.tx).await?;
        found
            .iter()
            .map(|row| Ok(MessageId { verification: row.try_get(0)?, seq: row.try_get(1)? }))
            .collect()
    }

    async fn rollback(self) -> Result<()> {
        Ok(self.tx.rollback().await?)
    }

    async fn commit(self) -> Result<()> {
        Ok(self.tx.commit().await?)
    }
}
