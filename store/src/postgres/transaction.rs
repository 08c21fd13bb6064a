//! One transaction on PostgreSQL: numbers, clients' numbers, and verifications. Messages are in [`super::traffic`].

use uuid::Uuid;

use super::super::rows::{self, client_number_columns, number_columns, verification_columns};
use super::super::transaction::{
    ClientPhone, Live, MessageBundle, Result, RowVersion, RowVersions, Transaction, Versioned, Written,
};
use super::StoreError;
use super::pool::PooledConnection;
use hulak_common::client::ClientSettings;
use hulak_common::idempotency::KeptAnswer;
use hulak_common::job::MessageId;
use hulak_common::phone::PhoneNumber;
use hulak_common::phone_record::{ClientNumber, Number};
use hulak_common::rate_limit::{Allowance, AllowanceKey};
use hulak_common::time::Timestamp;
use hulak_common::verification::{Message, Verification};

pub(super) const READ_VERIFICATIONS: &str =
    concat!("SELECT ", verification_columns!(), " FROM verifications WHERE id = ANY($1)");

/// A transaction, or statements that are one each. Dropping it without its end closes the connection, which rolls it back.
#[derive(Debug)]
pub(crate) struct PgTransaction {
    pub(crate) tx: PooledConnection,
    begun: bool,
}

impl PgTransaction {
    pub(super) async fn begin(mut tx: PooledConnection) -> Result<Self> {
        sqlx::raw_sql("BEGIN").execute(&mut *tx).await?;
        Ok(Self { tx, begun: true })
    }

    pub(super) fn autocommit(tx: PooledConnection) -> Self {
        Self { tx, begun: false }
    }

    async fn end(mut self, how: &'static str) -> Result<()> {
        if self.begun {
            sqlx::raw_sql(how).execute(&mut *self.tx).await?;
        }
        self.tx.finish();
        Ok(())
    }
}

/// Fewer rows than given means that another transaction was there first.
pub(super) fn all_written(written: u64, rows: usize) -> Result<()> {
    if written == rows as u64 {
        Ok(())
    } else {
        Err(StoreError::Conflict(format!("{written} of {rows} rows were written")))
    }
}

pub(super) fn split(ids: &[MessageId]) -> (Vec<Uuid>, Vec<i32>) {
    ids.iter().map(|id| (id.verification, id.seq)).unzip()
}

/// One array per column.
pub(super) fn column<R, T>(rows: &[&R], value: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(|row| value(row)).collect()
}

/// The same for one that may be NULL. When all are, the array is empty: `unnest` in a select list gives NULL beside the other columns'
/// elements then, and each array costs as much as it has elements.
pub(super) fn nullable<R, T>(rows: &[&R], value: impl Fn(&R) -> Option<T>) -> Vec<Option<T>> {
    let values: Vec<_> = rows.iter().map(|row| value(row)).collect();
    if values.iter().any(Option::is_some) { values } else { Vec::new() }
}

impl Transaction for PgTransaction {
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
                " FROM (SELECT unnest($1::uuid[]) AS client_id, unnest($2::bigint[]) AS phone) AS u \
                 JOIN client_numbers c USING (client_id, phone) ORDER BY phone, client_id FOR UPDATE OF c"
            )
        } else {
            concat!(
                "SELECT ",
                client_number_columns!(),
                " FROM (SELECT unnest($1::uuid[]) AS client_id, unnest($2::bigint[]) AS phone) AS u \
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
             SELECT * FROM (SELECT unnest($1::uuid[]) AS client_id, unnest($2::bigint[]) AS phone, unnest($3::bigint[]), \
             unnest($4::text[]), unnest($5::bigint[]), unnest($6::text[])) AS u ORDER BY phone, client_id ON CONFLICT DO NOTHING",
        )
        .await
    }

    async fn update_client_numbers(&mut self, rows: &[&ClientNumber]) -> Result<()> {
        self.write_client_numbers(
            rows,
            "UPDATE client_numbers c SET validated_at = u.validated_at, failed_checks = u.failed_checks, \
             blocked_until = u.blocked_until, block_reason = u.block_reason \
             FROM (SELECT unnest($1::uuid[]) AS client_id, unnest($2::bigint[]) AS phone, \
             unnest($3::bigint[]) AS validated_at, unnest($4::text[]) AS failed_checks, \
             unnest($5::bigint[]) AS blocked_until, unnest($6::text[]) AS block_reason) AS u WHERE c.phone = u.phone AND c.client_id = u.client_id",
        )
        .await
    }

    async fn lock_live(
        &mut self,
        keys: &[ClientPhone],
        known: impl Fn(PhoneNumber) -> bool + Send + Sync,
    ) -> Result<Live> {
        super::batch_sql::lock_live(self, keys, known).await
    }

    async fn lock_held(&mut self, ids: &[MessageId]) -> Result<Vec<MessageBundle>> {
        super::batch_sql::lock_held(self, ids).await
    }

    async fn read_held(&mut self, ids: &[MessageId]) -> Result<Vec<(MessageBundle, RowVersions)>> {
        super::batch_sql::read_held(self, ids).await
    }

    async fn insert(&mut self, rows: &Written<'_>) -> Result<()> {
        super::batch_sql::insert(self, rows).await
    }

    async fn update(&mut self, rows: &Written<'_>) -> Result<()> {
        super::batch_sql::update(self, rows).await
    }

    async fn update_unlocked(&mut self, rows: &Versioned<'_>) -> Result<RowVersion> {
        super::batch_sql::update_unlocked(self, rows).await
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

    async fn lock_messages(&mut self, ids: &[MessageId]) -> Result<Vec<Message>> {
        super::traffic::lock(self, ids).await
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

    async fn commit(self) -> Result<()> {
        self.end("COMMIT").await
    }

    async fn rollback(mut self) -> Result<()> {
        // Without a transaction there is nothing to undo, but it may be the line that failed.
        if self.begun || self.tx.answers().await { self.end("ROLLBACK").await } else { Ok(()) }
    }
}

impl PgTransaction {
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
        all_written(done.rows_affected(), rows.len())
    }
}
