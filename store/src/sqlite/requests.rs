//! What is kept about requests on SQLite: quotas of clients and addresses, and kept answers.

use sqlx::{SqliteConnection, query, query_as};

use super::super::rows;
use super::super::transaction::Result;
use super::transaction::SqliteTransaction;
use hulak_common::hosted_page::REMEMBERED;
use hulak_common::idempotency::{KEPT, KeptAnswer};
use hulak_common::rate_limit::{Allowance, AllowanceKey};
use hulak_common::time::Timestamp;

pub(super) async fn lock_allowances(
    session: &mut SqliteTransaction,
    keys: &[AllowanceKey],
) -> Result<Vec<Allowance>> {
    let mut found: Vec<rows::AllowanceRow> = Vec::with_capacity(keys.len());
    for key in keys {
        let select = query_as("SELECT key, full_at FROM allowances WHERE key = ?").bind(key.as_str());
        found.extend(select.fetch_optional(&mut *session.tx).await?);
    }
    Ok(found.into_iter().map(Into::into).collect())
}

pub(super) async fn insert_allowances(session: &mut SqliteTransaction, rows: &[&Allowance]) -> Result<()> {
    for row in rows {
        let sql = "INSERT INTO allowances (key, full_at) VALUES (?, ?)";
        session.write(query(sql).bind(row.key.as_str()).bind(row.full_at)).await?;
    }
    Ok(())
}

pub(super) async fn update_allowances(session: &mut SqliteTransaction, rows: &[&Allowance]) -> Result<()> {
    for row in rows {
        let sql = "UPDATE allowances SET full_at = ?2 WHERE key = ?1";
        session.write(query(sql).bind(row.key.as_str()).bind(row.full_at)).await?;
    }
    Ok(())
}

pub(super) async fn answers(session: &mut SqliteTransaction, scopes: &[[u8; 32]]) -> Result<Vec<KeptAnswer>> {
    let mut found: Vec<rows::AnswerRow> = Vec::with_capacity(scopes.len());
    for scope in scopes {
        let select = query_as("SELECT scope, body, answer, created_at FROM answers WHERE scope = ?")
            .bind(scope.as_slice());
        found.extend(select.fetch_optional(&mut *session.tx).await?);
    }
    rows::all(found)
}

pub(super) async fn keep_answers(
    session: &mut SqliteTransaction,
    rows: &[&KeptAnswer],
    since: Timestamp,
) -> Result<()> {
    for row in rows {
        // One that is too old to count makes room; another one is a conflict, as the count tells.
        let sql = "INSERT INTO answers (scope, body, answer, created_at) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (scope) DO UPDATE SET body = excluded.body, answer = excluded.answer, \
             created_at = excluded.created_at WHERE answers.created_at <= ?5";
        let insert = query(sql)
            .bind(row.scope.as_slice())
            .bind(row.body.as_slice())
            .bind(&row.answer)
            .bind(row.created_at)
            .bind(since);
        session.write(insert).await?;
    }
    Ok(())
}

pub(super) async fn forget(
    connection: &mut SqliteConnection,
    limit: i64,
    now: Timestamp,
) -> std::result::Result<(), sqlx::Error> {
    let allowances = "DELETE FROM allowances WHERE key IN \
         (SELECT key FROM allowances WHERE full_at <= ?2 ORDER BY full_at LIMIT ?1)";
    let full = now.as_millis().saturating_mul(1_000);
    query(allowances).bind(limit).bind(full).execute(&mut *connection).await?;
    let answers = "DELETE FROM answers WHERE scope IN \
         (SELECT scope FROM answers WHERE created_at <= ?2 ORDER BY created_at LIMIT ?1)";
    query(answers).bind(limit).bind(now - KEPT).execute(&mut *connection).await?;
    for pages in [
        "DELETE FROM pages WHERE id IN (SELECT id FROM pages WHERE expires_at <= ?2 ORDER BY expires_at LIMIT ?1)",
        "DELETE FROM page_codes WHERE verification_id IN \
         (SELECT verification_id FROM page_codes WHERE expires_at <= ?2 ORDER BY expires_at LIMIT ?1)",
    ] {
        query(pages).bind(limit).bind(now - REMEMBERED).execute(&mut *connection).await?;
    }
    Ok(())
}
