//! Numbers, verifications and messages together, on PostgreSQL: one statement each, because every way to the database and back
//! is time for which the locks are held and the next batch waits.

use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{Row as _, query};
use uuid::Uuid;

use super::super::rows::{
    ClientNumberRow, MessageRow, NumberRow, SideBySide as _, VerificationRow, client_number_columns,
    message_columns, number_columns, verification_columns,
};
use super::super::session::{ClientPhone, Held, Live, Result, Written};
use super::session::{PgSession, all_written, column, split};
use crate::job::MessageId;
use crate::number::Number;
use crate::verification::{Message, Verification};

type Statement = Query<'static, Postgres, PgArguments>;

pub(super) async fn lock_held(session: &mut PgSession, ids: &[MessageId]) -> Result<Vec<Held>> {
    // A message's number and owner never change, so they may be looked up before anything is locked. Then, number by number,
    // locks are taken in their order: each look needs what the one before it found, so no plan can turn them round.
    let sql = concat!(
        "SELECT n.*, v.*, m.* FROM (SELECT m.phone AS number, m.verification_id AS owner, m.seq AS nth \
         FROM UNNEST($1::uuid[], $2::int[]) AS u (id, seq) \
         JOIN messages m ON m.verification_id = u.id AND m.seq = u.seq ORDER BY 1, 2, 3) AS u \
         CROSS JOIN LATERAL (SELECT ",
        number_columns!(),
        " FROM numbers WHERE phone = u.number FOR UPDATE) AS n CROSS JOIN LATERAL (SELECT ",
        verification_columns!(),
        " FROM verifications WHERE id = u.owner AND phone = n.phone FOR UPDATE) AS v CROSS JOIN LATERAL (SELECT ",
        message_columns!(),
        " FROM messages WHERE verification_id = v.id AND seq = u.nth FOR UPDATE) AS m"
    );
    let (owners, seqs) = split(ids);
    let found = query(sql).bind(owners).bind(seqs).fetch_all(&mut *session.tx).await?;
    found.iter().map(held).collect()
}

fn held(row: &PgRow) -> Result<Held> {
    let number = NumberRow::at(row, 0)?;
    let verification = VerificationRow::at(row, NumberRow::COLUMNS)?;
    let message = MessageRow::at(row, NumberRow::COLUMNS + VerificationRow::COLUMNS)?;
    Ok((number.try_into()?, verification.try_into()?, message.try_into()?))
}

pub(super) async fn lock_live(session: &mut PgSession, keys: &[ClientPhone]) -> Result<Live> {
    // Locks come after the numbers', by number, which is how the keys are given. One look for each: whatever the planner
    // knows of the table, that goes by an index on the number, while all at once it may read all that is pending.
    let sql = concat!(
        "SELECT c.*, v.* FROM UNNEST($1::uuid[], $2::bigint[]) AS u (client, number) LEFT JOIN LATERAL (SELECT ",
        client_number_columns!(),
        " FROM client_numbers WHERE phone = u.number AND client_id = u.client) AS c ON true LEFT JOIN LATERAL (SELECT ",
        verification_columns!(),
        " FROM verifications WHERE phone = u.number AND client_id = u.client AND status = 'pending' \
         ORDER BY id FOR UPDATE) AS v ON true WHERE c.phone IS NOT NULL OR v.phone IS NOT NULL"
    );
    let (clients, phones): (Vec<Uuid>, Vec<i64>) =
        keys.iter().map(|(client, phone)| (*client, phone.to_i64())).unzip();
    let mut live = Live::default();
    for row in query(sql).bind(clients).bind(phones).fetch_all(&mut *session.tx).await? {
        if row.try_get::<Option<Uuid>, _>(0)?.is_some() {
            live.client_numbers.push(ClientNumberRow::at(&row, 0)?.try_into()?);
        }
        if row.try_get::<Option<Uuid>, _>(ClientNumberRow::COLUMNS)?.is_some() {
            live.verifications.push(VerificationRow::at(&row, ClientNumberRow::COLUMNS)?.try_into()?);
        }
    }
    Ok(live)
}

pub(super) async fn insert(session: &mut PgSession, rows: &Written<'_>) -> Result<()> {
    // Numbers come first: DO NOTHING waits for a concurrent insert of the same one, and the count then tells that it won. The
    // parts of a statement run in any order, so each asks for the count of the one before it; one that is short keeps the
    // others from writing anything. The unique index verifications_live refuses a second pending row with the same key.
    let sql = concat!(
        "WITH n AS (INSERT INTO numbers (phone, otp_count, ambiguous_count, last_sent_at, paced_until, asked) \
         SELECT * FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[]) ORDER BY 1 \
         ON CONFLICT DO NOTHING RETURNING 1), v AS (INSERT INTO verifications (",
        verification_columns!(),
        ") SELECT * FROM UNNEST($7::uuid[], $8::uuid[], $9::bigint[], $10::text[], $11::uuid[], $12::text[], $13::text[], $14::text[], \
         $15::text[], $16::text[], $17::bytea[], $18::bigint[], $19::int[], $20::bigint[], $21::text[], $22::int[], \
         $23::bigint[], $24::int[], $25::bigint[], $26::bigint[], $27::text[], $28::int[], $29::bigint[], $30::bigint[], \
         $31::text[], $32::int[], $33::bigint[], $34::bigint[], $35::bigint[], $36::text[], $37::text[]) \
         WHERE (SELECT count(*) FROM n) = $56 RETURNING 1), m AS (INSERT INTO messages (",
        message_columns!(),
        ") SELECT * FROM UNNEST($38::uuid[], $39::int[], $40::bigint[], $41::int[], $42::text[], $43::text[], $44::int[], $45::int[], \
         $46::bigint[], $47::bigint[], $48::int[], $49::uuid[], $50::bigint[], $51::text[], $52::int[], $53::bigint[], \
         $54::bigint[], $55::smallint[]) \
         WHERE (SELECT count(*) FROM v) = $57 RETURNING 1) \
         SELECT (SELECT count(*) FROM n) + (SELECT count(*) FROM v) + (SELECT count(*) FROM m)"
    );
    let statement =
        bind_messages(bind_new(bind_numbers(query(sql), &rows.numbers), &rows.verifications), &rows.messages)
            .bind(count(rows.numbers.len()))
            .bind(count(rows.verifications.len()));
    write(session, statement, rows).await
}

pub(super) async fn update(session: &mut PgSession, rows: &Written<'_>) -> Result<()> {
    // All are locked, so the order does not matter. A verification is guarded by its version besides: one that moved on since it
    // was read is a conflict.
    let sql = "WITH n AS (UPDATE numbers n SET otp_count = u.otp_count, ambiguous_count = u.ambiguous_count, \
         last_sent_at = u.last_sent_at, paced_until = u.paced_until, asked = u.asked \
         FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[]) \
         AS u (phone, otp_count, ambiguous_count, last_sent_at, paced_until, asked) WHERE n.phone = u.phone RETURNING 1), \
         v AS (UPDATE verifications v SET status = u.status, epoch = u.epoch, epoch_started_at = u.epoch_started_at, \
         checks_remaining = u.checks_remaining, resend_after = u.resend_after, expires_at = u.expires_at, \
         delivery = u.delivery, messages = u.messages, last_sent_at = u.last_sent_at, \
         next_attempt_at = u.next_attempt_at, error = u.error, gateway_code = u.gateway_code, \
         ended_at = u.ended_at, updated_at = u.updated_at, version = u.version, history = u.history \
         FROM UNNEST($7::uuid[], $8::text[], $9::int[], $10::bigint[], $11::int[], $12::bigint[], $13::bigint[], $14::text[], \
         $15::int[], $16::bigint[], $17::bigint[], $18::text[], $19::int[], $20::bigint[], $21::bigint[], $22::bigint[], \
         $23::text[]) \
         AS u (id, status, epoch, epoch_started_at, checks_remaining, resend_after, expires_at, delivery, messages, \
         last_sent_at, next_attempt_at, error, gateway_code, ended_at, updated_at, version, history) \
         WHERE v.id = u.id AND v.version <= u.version RETURNING 1), \
         m AS (UPDATE messages m SET state = u.state, attempts = u.attempts, ambiguous = u.ambiguous, \
         due_at = u.due_at, publish_at = u.publish_at, publishes = u.publishes, claim = u.claim, \
         lease_until = u.lease_until, error = u.error, gateway_code = u.gateway_code, updated_at = u.updated_at, \
         parts = u.parts FROM UNNEST($24::uuid[], $25::int[], $26::bigint[], $27::int[], $28::text[], $29::text[], $30::int[], $31::int[], \
         $32::bigint[], $33::bigint[], $34::int[], $35::uuid[], $36::bigint[], $37::text[], $38::int[], $39::bigint[], \
         $40::bigint[], $41::smallint[]) \
         AS u (verification_id, seq, phone, epoch, route, state, attempts, ambiguous, due_at, publish_at, publishes, claim, \
         lease_until, error, gateway_code, created_at, updated_at, parts) \
         WHERE m.verification_id = u.verification_id AND m.seq = u.seq RETURNING 1) \
         SELECT (SELECT count(*) FROM n) + (SELECT count(*) FROM v) + (SELECT count(*) FROM m)";
    let statement = bind_messages(
        bind_changed(bind_numbers(query(sql), &rows.numbers), &rows.verifications),
        &rows.messages,
    );
    write(session, statement, rows).await
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

async fn write(session: &mut PgSession, statement: Statement, rows: &Written<'_>) -> Result<()> {
    if rows.len() == 0 {
        return Ok(());
    }
    let written: i64 = statement.fetch_one(&mut *session.tx).await?.try_get(0)?;
    all_written(u64::try_from(written).unwrap_or_default(), rows.len())
}

fn bind_numbers(statement: Statement, rows: &[&Number]) -> Statement {
    statement
        .bind(column(rows, |row| row.phone.to_i64()))
        .bind(column(rows, |row| row.otp_count))
        .bind(column(rows, |row| row.ambiguous_count))
        .bind(column(rows, |row| row.last_sent_at))
        .bind(column(rows, |row| row.paced_until))
        .bind(column(rows, |row| row.asked.to_string()))
}

fn bind_new(statement: Statement, rows: &[&Verification]) -> Statement {
    let statement = statement
        .bind(column(rows, |row| row.id))
        .bind(column(rows, |row| row.key.client))
        .bind(column(rows, |row| row.key.phone.to_i64()))
        .bind(column(rows, |row| row.key.purpose.as_str()))
        .bind(column(rows, |row| row.key.account))
        .bind(column(rows, |row| row.key.session.clone()))
        .bind(column(rows, |row| row.locale.as_str()))
        .bind(column(rows, |row| row.app_hash.clone()))
        .bind(column(rows, |row| row.origin.clone()))
        .bind(column(rows, |row| row.metadata.clone()))
        .bind(column(rows, |row| row.salt.0.to_vec()))
        .bind(column(rows, |row| row.key_id.to_i64()))
        .bind(column(rows, |row| i32::from(row.code_length.digits())))
        .bind(column(rows, |row| row.created_at));
    bind_state(statement, rows)
        .bind(column(rows, |row| row.app_name.clone()))
        .bind(column(rows, |row| row.history.as_str().to_owned()))
}

fn bind_changed(statement: Statement, rows: &[&Verification]) -> Statement {
    bind_state(statement.bind(column(rows, |row| row.id)), rows)
        .bind(column(rows, |row| row.history.as_str().to_owned()))
}

/// What changes in a verification's life, but for its history.
fn bind_state(statement: Statement, rows: &[&Verification]) -> Statement {
    statement
        .bind(column(rows, |row| row.status.as_str()))
        .bind(column(rows, |row| row.epoch))
        .bind(column(rows, |row| row.epoch_started_at))
        .bind(column(rows, |row| row.checks_remaining))
        .bind(column(rows, |row| row.resend_after))
        .bind(column(rows, |row| row.expires_at))
        .bind(column(rows, |row| row.delivery.as_str()))
        .bind(column(rows, |row| row.messages))
        .bind(column(rows, |row| row.last_sent_at))
        .bind(column(rows, |row| row.next_attempt_at))
        .bind(column(rows, |row| row.error.map(|error| error.code.as_str())))
        .bind(column(rows, |row| row.error.and_then(|error| error.gateway_code)))
        .bind(column(rows, |row| row.ended_at))
        .bind(column(rows, |row| row.updated_at))
        .bind(column(rows, |row| row.version))
}

fn bind_messages(statement: Statement, rows: &[&Message]) -> Statement {
    statement
        .bind(column(rows, |row| row.id.verification))
        .bind(column(rows, |row| row.id.seq))
        .bind(column(rows, |row| row.phone.to_i64()))
        .bind(column(rows, |row| row.epoch))
        .bind(column(rows, |row| row.route.as_str()))
        .bind(column(rows, |row| row.state.as_str()))
        .bind(column(rows, |row| row.attempts))
        .bind(column(rows, |row| row.ambiguous))
        .bind(column(rows, |row| row.due_at))
        .bind(column(rows, |row| row.publish_at))
        .bind(column(rows, |row| row.publishes))
        .bind(column(rows, |row| row.claim))
        .bind(column(rows, |row| row.lease_until))
        .bind(column(rows, |row| row.error.map(|error| error.code.as_str())))
        .bind(column(rows, |row| row.error.and_then(|error| error.gateway_code)))
        .bind(column(rows, |row| row.created_at))
        .bind(column(rows, |row| row.updated_at))
        .bind(column(rows, |row| row.parts))
}
