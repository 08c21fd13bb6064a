//! Running the statements of [`super::super::operators`] on SQLite.

use sqlx::query::{Query, QueryAs};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{FromRow, query};

use super::super::operators::{ADD_USAGE, ADVANCE, AUDIT_KEPT_DAYS, UsageRow, first_id};
use super::super::transaction::Result;
use super::Sqlite;
use hulak_common::time::Timestamp;

/// What a statement is called with.
type Select<T> = QueryAs<'static, sqlx::Sqlite, T, SqliteArguments>;

impl Sqlite {
    /// All rows of a statement.
    pub(crate) async fn read<T>(&self, select: Select<T>) -> Result<Vec<T>>
    where
        T: Send + Unpin + 'static + for<'r> FromRow<'r, SqliteRow>,
    {
        Ok(select.fetch_all(&self.readers).await?)
    }

    /// Runs a statement that changes something.
    pub(crate) async fn execute(
        &self,
        statement: Query<'static, sqlx::Sqlite, SqliteArguments>,
    ) -> Result<u64> {
        Ok(statement.execute(&self.writer).await?.rows_affected())
    }

    /// Adds rows to the days, and moves the progress on from `from` to `until`; nothing when it stands elsewhere.
    pub(crate) async fn add_usage(
        &self,
        from: Timestamp,
        until: Timestamp,
        rows: Vec<UsageRow>,
    ) -> Result<bool> {
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let advanced = query(ADVANCE).bind(from).bind(until).execute(&mut *tx).await?;
        if advanced.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        for row in rows {
            query(ADD_USAGE)
                .bind(row.day)
                .bind(row.client_id)
                .bind(row.messages)
                .bind(row.parts)
                .bind(row.uncertain)
                .bind(row.failed)
                .bind(row.unbilled)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    pub(crate) async fn forget_operators(&self, limit: i64, now: Timestamp) -> Result<()> {
        use std::time::Duration;
        let hours = |hours: u64| now - Duration::from_secs(3_600 * hours);
        // Of the samples older than an hour one a minute stays; those older than three have been through this.
        let sessions = "DELETE FROM operator_sessions WHERE hash IN \
             (SELECT hash FROM operator_sessions WHERE expires_at <= $2 LIMIT $1)";
        let audit = "DELETE FROM audit_log WHERE id IN \
             (SELECT id FROM audit_log WHERE id < $2 ORDER BY id LIMIT $1)";
        let samples = "DELETE FROM samples WHERE (at, process) IN (SELECT at, process FROM samples \
             WHERE at <= $2 OR (at BETWEEN $3 AND $4 AND at % 60000 <> 0) ORDER BY at LIMIT $1)";
        let oldest = first_id(hours(24 * AUDIT_KEPT_DAYS));
        self.execute(query(sessions).bind(limit).bind(now)).await?;
        self.execute(query(audit).bind(limit).bind(oldest)).await?;
        let samples = query(samples).bind(limit).bind(hours(24)).bind(hours(3)).bind(hours(1));
        self.execute(samples).await.map(drop)
    }
}
