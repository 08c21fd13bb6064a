//! `allowances`: what is left of the quotas of clients and addresses. A quota that is whole has no row.

use sqlx::{query, query_as};

use crate::error::Result;
use crate::postgres::PgTransaction;
use crate::sqlite::SqliteTransaction;
use crate::tables::{Table as _, Write, all_written, sqlite_insert, sqlite_update};
use hulak_common::rate_limit::{Allowance, AllowanceKey};
use std::sync::LazyLock;

table! {
    "allowances", allowance_columns, AllowanceRow of Allowance;
    Key key: String as "text" = |row| row.key.as_str(),
    State full_at: i64 as "bigint" = |row| row.full_at,
}

impl From<AllowanceRow> for Allowance {
    fn from(row: AllowanceRow) -> Self {
        Self { key: AllowanceKey::from_store(row.key), full_at: row.full_at }
    }
}

/// Locks come before all others, by key.
const PG_LOCK: &str =
    concat!("SELECT ", allowance_columns!(), " FROM allowances WHERE key = ANY($1) ORDER BY key FOR UPDATE");
/// DO NOTHING waits for a concurrent insert of the same key; the count then tells that it won.
const PG_INSERT: &str = "INSERT INTO allowances (key, full_at) \
     SELECT * FROM (SELECT unnest($1::text[]), unnest($2::bigint[])) AS u ORDER BY 1 ON CONFLICT DO NOTHING";
/// The rows are locked, so the order does not matter.
const PG_UPDATE: &str = "UPDATE allowances a SET full_at = u.full_at \
     FROM (SELECT unnest($1::text[]) AS key, unnest($2::bigint[]) AS full_at) AS u WHERE a.key = u.key";
const SQLITE_READ: &str = concat!("SELECT ", allowance_columns!(), " FROM allowances WHERE key = ?");
static SQLITE_INSERT: LazyLock<String> = LazyLock::new(sqlite_insert::<Allowance>);
static SQLITE_UPDATE: LazyLock<String> = LazyLock::new(sqlite_update::<Allowance>);

/// What the decisions need of allowances.
pub(crate) trait AllowancesTable: Send {
    /// Locks what is left of quotas; those that are whole are absent.
    fn lock_allowances(
        &mut self,
        keys: &[AllowanceKey],
    ) -> impl Future<Output = Result<Vec<Allowance>>> + Send;
    /// Inserts allowances; [`crate::StoreError::Conflict`] when another transaction was first.
    fn insert_allowances(&mut self, rows: &[&Allowance]) -> impl Future<Output = Result<()>> + Send;
    /// Writes locked allowances back.
    fn update_allowances(&mut self, rows: &[&Allowance]) -> impl Future<Output = Result<()>> + Send;
}

impl AllowancesTable for PgTransaction {
    async fn lock_allowances(&mut self, keys: &[AllowanceKey]) -> Result<Vec<Allowance>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<_> = keys.iter().map(|key| key.as_str().to_owned()).collect();
        let found: Vec<AllowanceRow> = query_as(PG_LOCK).bind(keys).fetch_all(&mut *self.tx).await?;
        Ok(found.into_iter().map(Into::into).collect())
    }

    async fn insert_allowances(&mut self, rows: &[&Allowance]) -> Result<()> {
        pg_write(self, rows, PG_INSERT, Write::Insert).await
    }

    async fn update_allowances(&mut self, rows: &[&Allowance]) -> Result<()> {
        pg_write(self, rows, PG_UPDATE, Write::Update).await
    }
}

async fn pg_write(
    tx: &mut PgTransaction,
    rows: &[&Allowance],
    sql: &'static str,
    write: Write,
) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let done = Allowance::bind_arrays(query(sql), rows, write).execute(&mut *tx.tx).await?;
    all_written(done.rows_affected(), rows.len())
}

impl AllowancesTable for SqliteTransaction {
    async fn lock_allowances(&mut self, keys: &[AllowanceKey]) -> Result<Vec<Allowance>> {
        let mut found: Vec<AllowanceRow> = Vec::with_capacity(keys.len());
        for key in keys {
            found.extend(query_as(SQLITE_READ).bind(key.as_str()).fetch_optional(&mut *self.tx).await?);
        }
        Ok(found.into_iter().map(Into::into).collect())
    }

    async fn insert_allowances(&mut self, rows: &[&Allowance]) -> Result<()> {
        self.write(rows, &SQLITE_INSERT, Write::Insert).await
    }

    async fn update_allowances(&mut self, rows: &[&Allowance]) -> Result<()> {
        self.write(rows, &SQLITE_UPDATE, Write::Update).await
    }
}
