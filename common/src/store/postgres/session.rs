//! One transaction on PostgreSQL: numbers, clients' numbers, and verifications. Messages are in [`super::traffic`].

use sqlx::postgres::PgQueryResult;
use uuid::Uuid;

use super::super::rows::{self, client_number_columns, number_columns, verification_columns};
use super::super::session::{ClientPhone, Result, Session};
use super::{Lease, StoreError};
use crate::allowance::{Allowance, AllowanceKey};
use crate::client::ClientSettings;
use crate::idempotency::KeptAnswer;
use crate::job::MessageId;
use crate::number::{ClientNumber, Number};
use crate::phone::PhoneNumber;
use crate::time::Timestamp;
use crate::verification::{Message, Verification};

pub(super) const READ_VERIFICATIONS: &str =
    concat!("SELECT ", verification_columns!(), " FROM verifications WHERE id = ANY($1)");

/// A transaction. Dropping it without its end closes the connection, which rolls it back.
#[derive(Debug)]
pub(crate) struct PgSession {
    pub(in crate::store) tx: Lease,
}

impl PgSession {
    pub(super) async fn begin(mut tx: Lease) -> Result<Self> {
        sqlx::raw_sql("BEGIN").execute(&mut *tx).await?;
        Ok(Self { tx })
    }
}

/// Fewer rows than given means that another transaction was there first.
pub(super) fn all_written(result: &PgQueryResult, rows: usize) -> Result<()> {
    if result.rows_affected() == rows as u64 {
        Ok(())
    } else {
        Err(StoreError::Conflict(format!("{} of {rows} rows were written", result.rows_affected())))
    }
}

pub(super) fn split(ids: &[MessageId]) -> (Vec<Uuid>, Vec<i32>) {
    ids.iter().map(|id| (id.verification, id.seq)).unzip()
}

/// One array per column.
pub(super) fn column<R, T>(rows: &[&R], value: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(|row| value(row)).collect()
}

impl Session for PgSession {
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
        // Locks come first in the lock order, by number.
        let found = sqlx::query_as(concat!(
            "SELECT ",
            number_columns!(),
            " FROM numbers WHERE phone = ANY($1) ORDER BY phone FOR UPDATE"
        ))
        .bind(phones.iter().map(|phone| phone.to_i64()).collect::<Vec<_>>())
        .fetch_all(&mut *self.tx)
        .await?;
        rows::all::<rows::NumberRow, _>(found)
    }

    async fn insert_numbers(&mut self, rows: &[&Number]) -> Result<()> {
        // DO NOTHING waits for a concurrent insert of the same number; the count then tells that it won.
        self.write_numbers(
            rows,
            "INSERT INTO numbers (phone, otp_count, ambiguous_count, last_sent_at, paced_until, asked) \
             SELECT * FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[]) \
             ORDER BY 1 ON CONFLICT DO NOTHING",
        )
        .await
    }

    async fn update_numbers(&mut self, rows: &[&Number]) -> Result<()> {
        self.write_numbers(
            rows,
            "UPDATE numbers n SET otp_count = u.otp_count, ambiguous_count = u.ambiguous_count, \
             last_sent_at = u.last_sent_at, paced_until = u.paced_until, asked = u.asked \
             FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[]) \
             AS u (phone, otp_count, ambiguous_count, last_sent_at, paced_until, asked) WHERE n.phone = u.phone",
        )
        .await
    }

    async fn client_numbers(&mut self, keys: &[ClientPhone], lock: bool) -> Result<Vec<ClientNumber>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let (clients, phones): (Vec<Uuid>, Vec<i64>) =
            keys.iter().map(|(client, phone)| (*client, phone.to_i64())).unzip();
        // Locks come after the numbers' and before the verifications', by number.
        let sql = if lock {
            concat!(
                "SELECT ",
                client_number_columns!(),
                " FROM UNNEST($1::uuid[], $2::bigint[]) AS u (client_id, phone) \
                 JOIN client_numbers c USING (client_id, phone) ORDER BY phone, client_id FOR UPDATE OF c"
            )
        } else {
            concat!(
                "SELECT ",
                client_number_columns!(),
                " FROM UNNEST($1::uuid[], $2::bigint[]) AS u (client_id, phone) \
                 JOIN client_numbers c USING (client_id, phone)"
            )
        };
        let found = sqlx::query_as(sql).bind(clients).bind(phones).fetch_all(&mut *self.tx).await?;
        rows::all::<rows::ClientNumberRow, _>(found)
    }

    async fn insert_client_numbers(&mut self, rows: &[&ClientNumber]) -> Result<()> {
        // DO NOTHING waits for a concurrent insert of the same row; the count then tells that it won.
        self.write_client_numbers(
            rows,
            "INSERT INTO client_numbers \
             (client_id, phone, validated_at, failed_checks, blocked_until, block_reason) \
             SELECT * FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::text[]) \
             ORDER BY 2, 1 ON CONFLICT DO NOTHING",
        )
        .await
    }

    async fn update_client_numbers(&mut self, rows: &[&ClientNumber]) -> Result<()> {
        self.write_client_numbers(
            rows,
            "UPDATE client_numbers c SET validated_at = u.validated_at, failed_checks = u.failed_checks, \
             blocked_until = u.blocked_until, block_reason = u.block_reason \
             FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::text[]) \
             AS u (client_id, phone, validated_at, failed_checks, blocked_until, block_reason) \
             WHERE c.phone = u.phone AND c.client_id = u.client_id",
        )
        .await
    }

    async fn lock_live(&mut self, phones: &[PhoneNumber]) -> Result<Vec<Verification>> {
        // Locks come after the numbers', by number, which is how they are given. One look for each number: whatever the
        // planner knows of the table, that goes by an index on the number, while all at once, or with the rest of a key,
        // it may read all that is pending, or all that a client has.
        let sql = concat!(
            "SELECT ",
            verification_columns!(),
            " FROM UNNEST($1::bigint[]) AS u (number) CROSS JOIN LATERAL (SELECT * FROM verifications \
             WHERE phone = u.number AND status = 'pending' ORDER BY id FOR UPDATE) AS v"
        );
        let phones: Vec<i64> = phones.iter().map(|phone| phone.to_i64()).collect();
        let found = sqlx::query_as(sql).bind(phones).fetch_all(&mut *self.tx).await?;
        rows::all::<rows::VerificationRow, _>(found)
    }

    async fn verifications(&mut self, ids: &[Uuid]) -> Result<Vec<Verification>> {
        let found = sqlx::query_as(READ_VERIFICATIONS).bind(ids).fetch_all(&mut *self.tx).await?;
        rows::all::<rows::VerificationRow, _>(found)
    }

    async fn lock_verifications(&mut self, ids: &[Uuid]) -> Result<Vec<Verification>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        // Locks come after the numbers', by number.
        let sql = concat!(
            "SELECT ",
            verification_columns!(),
            " FROM verifications WHERE id = ANY($1) ORDER BY phone, id FOR UPDATE"
        );
        let found = sqlx::query_as(sql).bind(ids).fetch_all(&mut *self.tx).await?;
        rows::all::<rows::VerificationRow, _>(found)
    }

    async fn insert_verifications(&mut self, rows: &[&Verification]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        // The unique index verifications_live refuses a second pending row with the same key: a conflict, tried again.
        let sql = concat!(
            "INSERT INTO verifications (",
            verification_columns!(),
            ") SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::uuid[], $6::text[], $7::text[], \
             $8::text[], $9::text[], $10::text[], $11::bytea[], $12::bigint[], $13::int[], $14::bigint[], $15::text[], \
             $16::int[], $17::bigint[], $18::int[], $19::bigint[], $20::bigint[], $21::text[], $22::int[], $23::bigint[], \
             $24::bigint[], $25::text[], $26::int[], $27::bigint[], $28::bigint[], $29::bigint[], $30::text[], $31::text[])"
        );
        let done = sqlx::query(sql)
            .bind(column(rows, |row: &Verification| row.id))
            .bind(column(rows, |row: &Verification| row.key.client))
            .bind(column(rows, |row: &Verification| row.key.phone.to_i64()))
            .bind(column(rows, |row: &Verification| row.key.purpose.as_str()))
            .bind(column(rows, |row: &Verification| row.key.account))
            .bind(column(rows, |row: &Verification| row.key.session.clone()))
            .bind(column(rows, |row: &Verification| row.locale.as_str()))
            .bind(column(rows, |row: &Verification| row.app_hash.clone()))
            .bind(column(rows, |row: &Verification| row.origin.clone()))
            .bind(column(rows, |row: &Verification| row.metadata.clone()))
            .bind(column(rows, |row: &Verification| row.salt.0.to_vec()))
            .bind(column(rows, |row: &Verification| row.key_id.to_i64()))
            .bind(column(rows, |row: &Verification| i32::from(row.code_length.digits())))
            .bind(column(rows, |row: &Verification| row.created_at))
            .bind(column(rows, |row: &Verification| row.status.as_str()))
            .bind(column(rows, |row: &Verification| row.epoch))
            .bind(column(rows, |row: &Verification| row.epoch_started_at))
            .bind(column(rows, |row: &Verification| row.checks_remaining))
            .bind(column(rows, |row: &Verification| row.resend_after))
            .bind(column(rows, |row: &Verification| row.expires_at))
            .bind(column(rows, |row: &Verification| row.delivery.as_str()))
            .bind(column(rows, |row: &Verification| row.messages))
            .bind(column(rows, |row: &Verification| row.last_sent_at))
            .bind(column(rows, |row: &Verification| row.next_attempt_at))
            .bind(column(rows, |row: &Verification| row.error.map(|error| error.code.as_str())))
            .bind(column(rows, |row: &Verification| row.error.and_then(|error| error.gateway_code)))
            .bind(column(rows, |row: &Verification| row.ended_at))
            .bind(column(rows, |row: &Verification| row.updated_at))
            .bind(column(rows, |row: &Verification| row.version))
            .bind(column(rows, |row: &Verification| row.app_name.clone()))
            .bind(rows.iter().map(|row| row.history.as_str()).collect::<Vec<_>>())
            .execute(&mut *self.tx)
            .await?;
        all_written(&done, rows.len())
    }

    async fn update_verifications(&mut self, rows: &[&Verification]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        // Guarded by the version besides the lock: a row that moved on since it was read is a conflict.
        let sql = "UPDATE verifications v SET status = u.status, epoch = u.epoch, epoch_started_at = u.epoch_started_at, \
             checks_remaining = u.checks_remaining, resend_after = u.resend_after, expires_at = u.expires_at, \
             delivery = u.delivery, messages = u.messages, last_sent_at = u.last_sent_at, \
             next_attempt_at = u.next_attempt_at, error = u.error, gateway_code = u.gateway_code, \
             ended_at = u.ended_at, updated_at = u.updated_at, version = u.version, history = u.history \
             FROM UNNEST($1::uuid[], $2::text[], $3::int[], $4::bigint[], $5::int[], $6::bigint[], $7::bigint[], \
             $8::text[], $9::int[], $10::bigint[], $11::bigint[], $12::text[], $13::int[], $14::bigint[], $15::bigint[], \
             $16::bigint[], $17::text[]) AS u (id, status, epoch, epoch_started_at, checks_remaining, resend_after, expires_at, \
             delivery, messages, last_sent_at, next_attempt_at, error, gateway_code, ended_at, updated_at, version, \
             history) \
             WHERE v.id = u.id AND v.version <= u.version";
        let done = sqlx::query(sql)
            .bind(column(rows, |row: &Verification| row.id))
            .bind(column(rows, |row: &Verification| row.status.as_str()))
            .bind(column(rows, |row: &Verification| row.epoch))
            .bind(column(rows, |row: &Verification| row.epoch_started_at))
            .bind(column(rows, |row: &Verification| row.checks_remaining))
            .bind(column(rows, |row: &Verification| row.resend_after))
            .bind(column(rows, |row: &Verification| row.expires_at))
            .bind(column(rows, |row: &Verification| row.delivery.as_str()))
            .bind(column(rows, |row: &Verification| row.messages))
            .bind(column(rows, |row: &Verification| row.last_sent_at))
            .bind(column(rows, |row: &Verification| row.next_attempt_at))
            .bind(column(rows, |row: &Verification| row.error.map(|error| error.code.as_str())))
            .bind(column(rows, |row: &Verification| row.error.and_then(|error| error.gateway_code)))
            .bind(column(rows, |row: &Verification| row.ended_at))
            .bind(column(rows, |row: &Verification| row.updated_at))
            .bind(column(rows, |row: &Verification| row.version))
            .bind(rows.iter().map(|row| row.history.as_str()).collect::<Vec<_>>())
            .execute(&mut *self.tx)
            .await?;
        all_written(&done, rows.len())
    }

    async fn receivers(&mut self, ids: &[MessageId]) -> Result<Vec<(MessageId, PhoneNumber)>> {
        super::traffic::receivers(self, ids).await
    }

    async fn lock_messages(&mut self, ids: &[MessageId]) -> Result<Vec<Message>> {
        super::traffic::lock(self, ids).await
    }

    async fn insert_messages(&mut self, rows: &[&Message]) -> Result<()> {
        super::traffic::insert(self, rows).await
    }

    async fn update_messages(&mut self, rows: &[&Message]) -> Result<()> {
        super::traffic::update(self, rows).await
    }

    async fn overdue(&mut self, limit: u32, now: Timestamp) -> Result<Vec<Uuid>> {
        // Oldest first, by the index verifications_overdue.
        let sql = "SELECT id FROM verifications WHERE status = 'pending' AND expires_at <= $1 \
             ORDER BY expires_at LIMIT $2";
        Ok(sqlx::query_scalar(sql).bind(now).bind(i64::from(limit)).fetch_all(&mut *self.tx).await?)
    }

    async fn lapsed(&mut self, limit: u32, now: Timestamp) -> Result<Vec<MessageId>> {
        super::traffic::lapsed(self, limit, now).await
    }

    async fn commit(mut self) -> Result<()> {
        sqlx::raw_sql("COMMIT").execute(&mut *self.tx).await?;
        self.tx.finish();
        Ok(())
    }

    async fn rollback(mut self) -> Result<()> {
        sqlx::raw_sql("ROLLBACK").execute(&mut *self.tx).await?;
        self.tx.finish();
        Ok(())
    }
}

impl PgSession {
    async fn write_numbers(&mut self, rows: &[&Number], sql: &'static str) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let done = sqlx::query(sql)
            .bind(column(rows, |row: &Number| row.phone.to_i64()))
            .bind(column(rows, |row: &Number| row.otp_count))
            .bind(column(rows, |row: &Number| row.ambiguous_count))
            .bind(column(rows, |row: &Number| row.last_sent_at))
            .bind(column(rows, |row: &Number| row.paced_until))
            .bind(column(rows, |row: &Number| row.asked.to_string()))
            .execute(&mut *self.tx)
            .await?;
        all_written(&done, rows.len())
    }

    async fn write_client_numbers(&mut self, rows: &[&ClientNumber], sql: &'static str) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let done = sqlx::query(sql)
            .bind(column(rows, |row: &ClientNumber| row.client))
            .bind(column(rows, |row: &ClientNumber| row.phone.to_i64()))
            .bind(column(rows, |row: &ClientNumber| row.validated_at))
            .bind(column(rows, |row: &ClientNumber| row.failed_checks.to_string()))
            .bind(column(rows, |row: &ClientNumber| row.blocked_until))
            .bind(column(rows, |row: &ClientNumber| row.block_reason.clone()))
            .execute(&mut *self.tx)
            .await?;
        all_written(&done, rows.len())
    }
}
