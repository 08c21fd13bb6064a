//! `answers`: first answers to requests with an `Idempotency-Key`, to be given again.

use sqlx::{query, query_as};

use crate::error::{Result, StoreError};
use crate::postgres::PgTransaction;
use crate::sqlite::SqliteTransaction;
use crate::tables::{Table as _, Write, all, all_written, corrupt};
use hulak_common::idempotency::KeptAnswer;
use hulak_common::time::Timestamp;

table! {
    "answers", answer_columns, AnswerRow of KeptAnswer;
    Key scope: Vec<u8> as "bytea" = |row| row.scope.as_slice(),
    State body: Vec<u8> as "bytea" = |row| row.body.as_slice(),
    State answer: String as "text" = |row| row.answer.as_str(),
    State created_at: Timestamp as "bigint" = |row| row.created_at,
}

impl TryFrom<AnswerRow> for KeptAnswer {
    type Error = StoreError;
    fn try_from(row: AnswerRow) -> Result<Self> {
        Ok(Self {
            scope: row.scope.try_into().map_err(|_| corrupt("scope"))?,
            body: row.body.try_into().map_err(|_| corrupt("body"))?,
            answer: row.answer,
            created_at: row.created_at,
        })
    }
}

const PG_READ: &str = concat!("SELECT ", answer_columns!(), " FROM answers WHERE scope = ANY($1)");
/// Waits for a concurrent insert of the same scope; the count then tells that it won. One that is too old to count makes room.
const PG_KEEP: &str = "INSERT INTO answers AS a (scope, body, answer, created_at) \
     SELECT * FROM (SELECT unnest($1::bytea[]), unnest($2::bytea[]), unnest($3::text[]), unnest($4::bigint[])) AS u \
     ORDER BY 1 \
     ON CONFLICT (scope) DO UPDATE SET body = excluded.body, answer = excluded.answer, \
     created_at = excluded.created_at WHERE a.created_at <= $5";
const SQLITE_READ: &str = concat!("SELECT ", answer_columns!(), " FROM answers WHERE scope = ?");
/// One that is too old to count makes room; another one is a conflict, as the count tells.
const SQLITE_KEEP: &str = "INSERT INTO answers (scope, body, answer, created_at) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (scope) DO UPDATE SET body = excluded.body, answer = excluded.answer, \
     created_at = excluded.created_at WHERE answers.created_at <= ?5";

/// What the decisions need of kept answers.
pub(crate) trait AnswersTable: Send {
    /// Reads kept answers, without locking.
    fn answers(&mut self, scopes: &[[u8; 32]]) -> impl Future<Output = Result<Vec<KeptAnswer>>> + Send;
    /// Keeps answers, in place of those from before `since`; [`StoreError::Conflict`] when another transaction was first.
    fn keep_answers(
        &mut self,
        rows: &[&KeptAnswer],
        since: Timestamp,
    ) -> impl Future<Output = Result<()>> + Send;
}

impl AnswersTable for PgTransaction {
    async fn answers(&mut self, scopes: &[[u8; 32]]) -> Result<Vec<KeptAnswer>> {
        if scopes.is_empty() {
            return Ok(Vec::new());
        }
        let scopes: Vec<_> = scopes.iter().map(|scope| scope.to_vec()).collect();
        all::<AnswerRow, _>(query_as(PG_READ).bind(scopes).fetch_all(&mut *self.tx).await?)
    }

    async fn keep_answers(&mut self, rows: &[&KeptAnswer], since: Timestamp) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let insert = KeptAnswer::bind_arrays(query(PG_KEEP), rows, Write::Insert).bind(since);
        all_written(insert.execute(&mut *self.tx).await?.rows_affected(), rows.len())
    }
}

impl AnswersTable for SqliteTransaction {
    async fn answers(&mut self, scopes: &[[u8; 32]]) -> Result<Vec<KeptAnswer>> {
        let mut found: Vec<AnswerRow> = Vec::with_capacity(scopes.len());
        for scope in scopes {
            found.extend(query_as(SQLITE_READ).bind(scope.as_slice()).fetch_optional(&mut *self.tx).await?);
        }
        all(found)
    }

    async fn keep_answers(&mut self, rows: &[&KeptAnswer], since: Timestamp) -> Result<()> {
        for row in rows {
            let insert = KeptAnswer::bind_row(query(SQLITE_KEEP), row, Write::Insert).bind(since);
            self.write_one(insert).await?;
        }
        Ok(())
    }
}
