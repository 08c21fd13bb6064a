//! Messages on PostgreSQL.

use sqlx::Row as _;

use super::super::rows::{self, message_columns};
use super::super::transaction::Result;
use super::transaction::{PgTransaction, split};
use hulak_common::job::MessageId;
use hulak_common::time::Timestamp;
use hulak_common::verification::Message;

fn id(row: &sqlx::postgres::PgRow) -> Result<MessageId> {
    Ok(MessageId { verification: row.try_get(0)?, seq: row.try_get(1)? })
}

pub(super) async fn lock(session: &mut PgTransaction, ids: &[MessageId]) -> Result<Vec<Message>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    // Locks come last in the lock order, by number.
    let sql = concat!(
        "SELECT ",
        message_columns!(),
        " FROM messages m JOIN (SELECT unnest($1::uuid[]) AS owner, unnest($2::int[]) AS nth) AS u \
         ON m.verification_id = u.owner AND m.seq = u.nth ORDER BY m.phone, m.verification_id, m.seq FOR UPDATE OF m"
    );
    let (owners, seqs) = split(ids);
    let found = sqlx::query_as(sql).bind(owners).bind(seqs).fetch_all(&mut *session.tx).await?;
    rows::all::<rows::MessageRow, _>(found)
}

pub(super) async fn lapsed(
    session: &mut PgTransaction,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<MessageId>> {
    // Oldest first, by the index messages_leases.
    let sql =
        "SELECT verification_id, seq FROM messages WHERE lease_until <= $1 ORDER BY lease_until LIMIT $2";
    let found = sqlx::query(sql).bind(now).bind(i64::from(limit)).fetch_all(&mut *session.tx).await?;
    found.iter().map(id).collect()
}
