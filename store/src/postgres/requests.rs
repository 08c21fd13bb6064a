//! What is kept about requests on PostgreSQL: quotas of clients and addresses, and kept answers.

use sqlx::postgres::PgConnection;
use sqlx::query_as;

use super::super::rows;
use super::super::transaction::Result;
use super::transaction::{PgTransaction, all_written, column};
use hulak_common::hosted_page::REMEMBERED;
use hulak_common::idempotency::{KEPT, KeptAnswer};
use hulak_common::rate_limit::{Allowance, AllowanceKey};
use hulak_common::time::Timestamp;

pub(super) async fn lock_allowances(
    session: &mut PgTransaction,
    keys: &[AllowanceKey],
) -> Result<Vec<Allowance>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    // Locks come before all others, by key.
    let sql = "SELECT key, full_at FROM allowances WHERE key = ANY($1) ORDER BY key FOR UPDATE";
    let keys: Vec<_> = keys.iter().map(|key| key.as_str().to_owned()).collect();
    let found: Vec<rows::AllowanceRow> = query_as(sql).bind(keys).fetch_all(&mut *session.tx).await?;
    Ok(found.into_iter().map(Into::into).collect())
}

pub(super) async fn insert_allowances(session: &mut PgTransaction, rows: &[&Allowance]) -> Result<()> {
    // DO NOTHING waits for a concurrent insert of the same key; the count then tells that it won.
    let sql = "INSERT INTO allowances (key, full_at) \
         SELECT * FROM (SELECT unnest($1::text[]), unnest($2::bigint[])) AS u ORDER BY 1 ON CONFLICT DO NOTHING";
    write_allowances(session, rows, sql).await
}

pub(super) async fn update_allowances(session: &mut PgTransaction, rows: &[&Allowance]) -> Result<()> {
    let sql = "UPDATE allowances a SET full_at = u.full_at \
         FROM (SELECT unnest($1::text[]) AS key, unnest($2::bigint[]) AS full_at) AS u WHERE a.key = u.key";
    write_allowances(session, rows, sql).await
}

async fn write_allowances(session: &mut PgTransaction, rows: &[&Allowance], sql: &'static str) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let done = sqlx::query(sql)
        .bind(column(rows, |row: &Allowance| row.key.as_str().to_owned()))
        .bind(column(rows, |row: &Allowance| row.full_at))
        .execute(&mut *session.tx)
        .await?;
    all_written(done.rows_affected(), rows.len())
}

pub(super) async fn answers(session: &mut PgTransaction, scopes: &[[u8; 32]]) -> Result<Vec<KeptAnswer>> {
    if scopes.is_empty() {
        return Ok(Vec::new());
    }
    let scopes: Vec<_> = scopes.iter().map(|scope| scope.to_vec()).collect();
    let found =
        query_as("SELECT scope, body, answer, created_at FROM answers WHERE scope = ANY($1)").bind(scopes);
    rows::all::<rows::AnswerRow, _>(found.fetch_all(&mut *session.tx).await?)
}

pub(super) async fn keep_answers(
    session: &mut PgTransaction,
    rows: &[&KeptAnswer],
    since: Timestamp,
) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    // Waits for a concurrent insert of the same scope; the count then tells that it won. One that is too old to count
    // makes room.
    let sql = "INSERT INTO answers AS a (scope, body, answer, created_at) \
         SELECT * FROM (SELECT unnest($1::bytea[]), unnest($2::bytea[]), unnest($3::text[]), unnest($4::bigint[])) AS u \
         ORDER BY 1 \
         ON CONFLICT (scope) DO UPDATE SET body = excluded.body, answer = excluded.answer, \
         created_at = excluded.created_at WHERE a.created_at <= $5";
    let done = sqlx::query(sql)
        .bind(column(rows, |row: &KeptAnswer| row.scope.to_vec()))
        .bind(column(rows, |row: &KeptAnswer| row.body.to_vec()))
        .bind(column(rows, |row: &KeptAnswer| row.answer.clone()))
        .bind(column(rows, |row: &KeptAnswer| row.created_at))
        .bind(since)
        .execute(&mut *session.tx)
        .await?;
    all_written(done.rows_affected(), rows.len())
}

pub(super) async fn forget(
    connection: &mut PgConnection,
    limit: i64,
    now: Timestamp,
) -> std::result::Result<(), sqlx::Error> {
    // Whatever another process is just deleting or using is left to it.
    let allowances = "DELETE FROM allowances WHERE key IN (SELECT key FROM allowances WHERE full_at <= $2 \
         ORDER BY full_at LIMIT $1 FOR UPDATE SKIP LOCKED)";
    let full = now.as_millis().saturating_mul(1_000);
    sqlx::query(allowances).bind(limit).bind(full).execute(&mut *connection).await?;
    let answers = "DELETE FROM answers WHERE scope IN (SELECT scope FROM answers WHERE created_at <= $2 \
         ORDER BY created_at LIMIT $1 FOR UPDATE SKIP LOCKED)";
    sqlx::query(answers).bind(limit).bind(now - KEPT).execute(&mut *connection).await?;
    for pages in [
        "DELETE FROM pages WHERE id IN (SELECT id FROM pages WHERE expires_at <= $2 \
         ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)",
        "DELETE FROM page_codes WHERE verification_id IN (SELECT verification_id FROM page_codes \
         WHERE expires_at <= $2 ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)",
    ] {
        sqlx::query(pages).bind(limit).bind(now - REMEMBERED).execute(&mut *connection).await?;
    }
    Ok(())
}
