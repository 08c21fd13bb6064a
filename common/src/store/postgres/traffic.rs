//! Messages on PostgreSQL.

use sqlx::Row as _;

use super::super::rows::{self, message_columns};
use super::super::session::Result;
use super::session::{PgSession, all_written, column, split};
use crate::job::MessageId;
use crate::phone::PhoneNumber;
use crate::time::Timestamp;
use crate::verification::Message;

fn id(row: &sqlx::postgres::PgRow) -> Result<MessageId> {
    Ok(MessageId { verification: row.try_get(0)?, seq: row.try_get(1)? })
}

pub(super) async fn receivers(
    session: &mut PgSession,
    ids: &[MessageId],
) -> Result<Vec<(MessageId, PhoneNumber)>> {
    let sql = "SELECT m.verification_id, m.seq, m.phone FROM UNNEST($1::uuid[], $2::int[]) AS u (id, seq) \
         JOIN messages m ON m.verification_id = u.id AND m.seq = u.seq";
    let (owners, seqs) = split(ids);
    let found = sqlx::query(sql).bind(owners).bind(seqs).fetch_all(&mut *session.tx).await?;
    found.iter().map(|row| Ok((id(row)?, rows::phone(row.try_get(2)?)?))).collect()
}

pub(super) async fn lock(session: &mut PgSession, ids: &[MessageId]) -> Result<Vec<Message>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    // Locks come last in the lock order, by number.
    let sql = concat!(
        "SELECT ",
        message_columns!(),
        " FROM messages m JOIN UNNEST($1::uuid[], $2::int[]) AS u (owner, nth) \
         ON m.verification_id = u.owner AND m.seq = u.nth ORDER BY m.phone, m.verification_id, m.seq FOR UPDATE OF m"
    );
    let (owners, seqs) = split(ids);
    let found = sqlx::query_as(sql).bind(owners).bind(seqs).fetch_all(&mut *session.tx).await?;
    rows::all::<rows::MessageRow, _>(found)
}

pub(super) async fn insert(session: &mut PgSession, rows: &[&Message]) -> Result<()> {
    let sql = concat!(
        "INSERT INTO messages (",
        message_columns!(),
        ") SELECT * FROM UNNEST($1::uuid[], $2::int[], $3::bigint[], $4::int[], $5::text[], $6::text[], $7::int[], \
         $8::int[], $9::bigint[], $10::bigint[], $11::int[], $12::uuid[], $13::bigint[], $14::text[], $15::int[], \
         $16::bigint[], $17::bigint[], $18::smallint[])"
    );
    write(session, rows, sql).await
}

pub(super) async fn update(session: &mut PgSession, rows: &[&Message]) -> Result<()> {
    let sql = "UPDATE messages m SET state = u.state, attempts = u.attempts, ambiguous = u.ambiguous, \
         due_at = u.due_at, publish_at = u.publish_at, publishes = u.publishes, claim = u.claim, \
         lease_until = u.lease_until, error = u.error, gateway_code = u.gateway_code, updated_at = u.updated_at, \
         parts = u.parts \
         FROM UNNEST($1::uuid[], $2::int[], $3::bigint[], $4::int[], $5::text[], $6::text[], $7::int[], \
         $8::int[], $9::bigint[], $10::bigint[], $11::int[], $12::uuid[], $13::bigint[], $14::text[], $15::int[], \
         $16::bigint[], $17::bigint[], $18::smallint[]) AS u (verification_id, seq, phone, epoch, route, state, attempts, ambiguous, \
         due_at, publish_at, publishes, claim, lease_until, error, gateway_code, created_at, updated_at, parts) \
         WHERE m.verification_id = u.verification_id AND m.seq = u.seq";
    write(session, rows, sql).await
}

async fn write(session: &mut PgSession, rows: &[&Message], sql: &'static str) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let done = sqlx::query(sql)
        .bind(column(rows, |row: &Message| row.id.verification))
        .bind(column(rows, |row: &Message| row.id.seq))
        .bind(column(rows, |row: &Message| row.phone.to_i64()))
        .bind(column(rows, |row: &Message| row.epoch))
        .bind(column(rows, |row: &Message| row.route.as_str()))
        .bind(column(rows, |row: &Message| row.state.as_str()))
        .bind(column(rows, |row: &Message| row.attempts))
        .bind(column(rows, |row: &Message| row.ambiguous))
        .bind(column(rows, |row: &Message| row.due_at))
        .bind(column(rows, |row: &Message| row.publish_at))
        .bind(column(rows, |row: &Message| row.publishes))
        .bind(column(rows, |row: &Message| row.claim))
        .bind(column(rows, |row: &Message| row.lease_until))
        .bind(column(rows, |row: &Message| row.error.map(|error| error.code.as_str())))
        .bind(column(rows, |row: &Message| row.error.and_then(|error| error.gateway_code)))
        .bind(column(rows, |row: &Message| row.created_at))
        .bind(column(rows, |row: &Message| row.updated_at))
        .bind(column(rows, |row: &Message| row.parts))
        .execute(&mut *session.tx)
        .await?;
    all_written(&done, rows.len())
}

pub(super) async fn lapsed(session: &mut PgSession, limit: u32, now: Timestamp) -> Result<Vec<MessageId>> {
    // Oldest first, by the index messages_leases.
    let sql =
        "SELECT verification_id, seq FROM messages WHERE lease_until <= $1 ORDER BY lease_until LIMIT $2";
    let found = sqlx::query(sql).bind(now).bind(i64::from(limit)).fetch_all(&mut *session.tx).await?;
    found.iter().map(id).collect()
}
