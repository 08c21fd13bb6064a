//! Numbers, verifications and messages together, on PostgreSQL: one statement each, because every way to the database and back
//! is time for which the locks are held and the next batch waits.

use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{Row as _, query};
use uuid::Uuid;

use super::super::StoreError;
use super::super::rows::{
    ClientNumberRow, MessageRow, NumberRow, SideBySide as _, VerificationRow, client_number_columns,
    message_columns, number_columns, verification_columns,
};
use super::super::transaction::{
    ClientPhone, Ctid, Live, MessageBundle, Result, RowVersion, RowVersions, Versioned, Written,
};
use super::columns::{INSERT, UPDATE, UPDATE_IN_PLACE, UPDATE_UNLOCKED};
use super::transaction::{PgTransaction, all_written, column, nullable, split};
use hulak_common::job::MessageId;
use hulak_common::phone::PhoneNumber;
use hulak_common::phone_record::Number;
use hulak_common::verification::{Message, Verification};

type Statement = Query<'static, Postgres, PgArguments>;

pub(super) async fn lock_held(session: &mut PgTransaction, ids: &[MessageId]) -> Result<Vec<MessageBundle>> {
    // A message's number and owner never change, so they may be looked up before anything is locked. Then, number by number,
    // locks are taken in their order: each look needs what the one before it found, so no plan can turn them round.
    let sql = concat!(
        "SELECT n.*, v.*, m.* FROM (SELECT m.phone AS number, m.verification_id AS owner, m.seq AS nth \
         FROM (SELECT unnest($1::uuid[]) AS id, unnest($2::int[]) AS seq) AS u \
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

pub(super) async fn read_held(
    session: &mut PgTransaction,
    ids: &[MessageId],
) -> Result<Vec<(MessageBundle, RowVersions)>> {
    // One look-up for each, whatever the planner knows of the tables. Nothing is locked, and the order is of no account: what is
    // written of it afterwards is guarded by the stamps.
    let sql = concat!(
        "SELECT n.*, v.*, m.* FROM (SELECT unnest($1::uuid[]) AS id, unnest($2::int[]) AS seq) AS u \
         CROSS JOIN LATERAL (SELECT ",
        message_columns!(),
        ", xmin::text, ctid FROM messages WHERE verification_id = u.id AND seq = u.seq) AS m CROSS JOIN LATERAL (SELECT ",
        verification_columns!(),
        ", xmin::text, ctid FROM verifications WHERE id = m.verification_id) AS v CROSS JOIN LATERAL (SELECT ",
        number_columns!(),
        ", xmin::text, ctid FROM numbers WHERE phone = m.phone) AS n"
    );
    let (owners, seqs) = split(ids);
    let found = query(sql).bind(owners).bind(seqs).fetch_all(&mut *session.tx).await?;
    found.iter().map(held_with_stamps).collect()
}

/// How many columns say where a row stands and who wrote it.
const STAMP: usize = 2;

/// Each table's columns are followed by its row's stamp.
fn held_with_stamps(row: &PgRow) -> Result<(MessageBundle, RowVersions)> {
    let verification = NumberRow::COLUMNS + STAMP;
    let message = verification + VerificationRow::COLUMNS + STAMP;
    let held = (
        NumberRow::at(row, 0)?.try_into()?,
        VerificationRow::at(row, verification)?.try_into()?,
        MessageRow::at(row, message)?.try_into()?,
    );
    let stamp = |column| {
        Ok::<_, StoreError>(RowVersion { writer: writer(row, column)?, place: row.try_get(column + 1)? })
    };
    let stamps =
        [stamp(verification - STAMP)?, stamp(message - STAMP)?, stamp(message + MessageRow::COLUMNS)?];
    Ok((held, stamps))
}

fn held(row: &PgRow) -> Result<MessageBundle> {
    let number = NumberRow::at(row, 0)?;
    let verification = VerificationRow::at(row, NumberRow::COLUMNS)?;
    let message = MessageRow::at(row, NumberRow::COLUMNS + VerificationRow::COLUMNS)?;
    Ok((number.try_into()?, verification.try_into()?, message.try_into()?))
}

pub(super) async fn lock_live(
    session: &mut PgTransaction,
    keys: &[ClientPhone],
    known: impl Fn(PhoneNumber) -> bool,
) -> Result<Live> {
    // Locks come after the numbers', by number, which is how the keys are given. One look for each: whatever the planner
    // knows of the table, that goes by an index on the number, while all at once it may read all that is pending. No look at
    // all for a number without a row of its own, which is written before the first verification; and whether a client has
    // blocked a number is in the index client_numbers_blocked, which next to no row is in.
    let sql = concat!(
        "SELECT c.*, v.* FROM (SELECT unnest($1::uuid[]) AS client, unnest($2::bigint[]) AS number, \
         unnest($3::boolean[]) AS known) AS u LEFT JOIN LATERAL (SELECT ",
        client_number_columns!(),
        " FROM client_numbers WHERE phone = u.number AND client_id = u.client AND blocked_until IS NOT NULL) AS c ON true \
         LEFT JOIN LATERAL (SELECT ",
        verification_columns!(),
        " FROM verifications WHERE u.known AND phone = u.number AND client_id = u.client AND status = 'pending' \
         ORDER BY id FOR UPDATE) AS v ON true WHERE c.phone IS NOT NULL OR v.phone IS NOT NULL"
    );
    let known: Vec<bool> = keys.iter().map(|(_, phone)| known(*phone)).collect();
    let (clients, phones): (Vec<Uuid>, Vec<i64>) =
        keys.iter().map(|(client, phone)| (*client, phone.to_i64())).unzip();
    let mut live = Live::default();
    for row in query(sql).bind(clients).bind(phones).bind(known).fetch_all(&mut *session.tx).await? {
        if row.try_get::<Option<Uuid>, _>(0)?.is_some() {
            live.blocked.push(ClientNumberRow::at(&row, 0)?.try_into()?);
        }
        if row.try_get::<Option<Uuid>, _>(ClientNumberRow::COLUMNS)?.is_some() {
            live.verifications.push(VerificationRow::at(&row, ClientNumberRow::COLUMNS)?.try_into()?);
        }
    }
    Ok(live)
}

pub(super) async fn insert(session: &mut PgTransaction, rows: &Written<'_>) -> Result<()> {
    let counts = query(INSERT.as_str()).bind(count(rows.numbers.len())).bind(count(rows.verifications.len()));
    let statement = bind_new(bind_numbers(counts, &rows.numbers), &rows.verifications);
    let statement = bind_new_messages(statement, &rows.messages);
    write(session, statement, rows).await
}

pub(super) async fn update(session: &mut PgTransaction, rows: &Written<'_>) -> Result<()> {
    write(session, bind_all(query(UPDATE.as_str()), rows), rows).await
}

pub(super) async fn update_unlocked(
    session: &mut PgTransaction,
    stamped: &Versioned<'_>,
) -> Result<RowVersion> {
    let stamps = [&stamped.numbers, &stamped.verifications, &stamped.messages];
    let places: Option<Vec<Vec<Ctid>>> =
        stamps.iter().map(|stamps| stamps.iter().map(|stamp| stamp.place).collect()).collect();
    let sql = if places.is_some() { &UPDATE_IN_PLACE } else { &UPDATE_UNLOCKED };
    let mut statement = query(sql.as_str());
    for stamps in stamps {
        statement = statement.bind(count(stamps.len()));
    }
    for stamps in stamps {
        statement =
            statement.bind(stamps.iter().map(|stamp| stamp.writer.cast_signed()).collect::<Vec<i32>>());
    }
    for places in places.into_iter().flatten() {
        statement = statement.bind(places);
    }
    match bind_all(statement, &stamped.rows).fetch_one(&mut *session.tx).await {
        Ok(answer) => Ok(RowVersion { writer: writer(&answer, 1)?, place: None }),
        // That is how it says so, see there.
        Err(sqlx::Error::Database(refused)) if refused.code().as_deref() == Some("22P02") => {
            Err(StoreError::Conflict(refused.message().to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

fn writer(row: &PgRow, column: usize) -> Result<u32> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|_| StoreError::Corrupt(format!("{text} is no transaction")))
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

async fn write(session: &mut PgTransaction, statement: Statement, rows: &Written<'_>) -> Result<()> {
    if rows.len() == 0 {
        return Ok(());
    }
    let written: i64 = statement.fetch_one(&mut *session.tx).await?.try_get(0)?;
    all_written(u64::try_from(written).unwrap_or_default(), rows.len())
}

fn bind_all(statement: Statement, rows: &Written<'_>) -> Statement {
    let statement = bind_changed(bind_numbers(statement, &rows.numbers), &rows.verifications);
    bind_changed_messages(statement, &rows.messages)
}

fn bind_numbers(statement: Statement, rows: &[&Number]) -> Statement {
    statement
        .bind(column(rows, |row| row.phone.to_i64()))
        .bind(column(rows, |row| row.otp_count))
        .bind(column(rows, |row| row.ambiguous_count))
        .bind(nullable(rows, |row| row.last_sent_at))
        .bind(nullable(rows, |row| row.paced_until))
        .bind(column(rows, |row| row.asked.to_string()))
}

fn bind_new(statement: Statement, rows: &[&Verification]) -> Statement {
    let statement = statement
        .bind(column(rows, |row| row.id))
        .bind(column(rows, |row| row.key.client))
        .bind(column(rows, |row| row.key.phone.to_i64()))
        .bind(column(rows, |row| row.key.purpose.as_str()))
        .bind(nullable(rows, |row| row.key.account))
        .bind(column(rows, |row| row.key.session.clone()))
        .bind(column(rows, |row| row.locale.as_str()))
        .bind(nullable(rows, |row| row.app_hash.clone()))
        .bind(nullable(rows, |row| row.origin.clone()))
        .bind(column(rows, |row| row.metadata.clone()))
        .bind(column(rows, |row| row.salt.0.to_vec()))
        .bind(column(rows, |row| row.key_id.to_i64()))
        .bind(column(rows, |row| i32::from(row.code_length.digits())))
        .bind(column(rows, |row| row.created_at))
        .bind(nullable(rows, |row| row.app_name.clone()));
    bind_state(statement, rows)
}

fn bind_changed(statement: Statement, rows: &[&Verification]) -> Statement {
    bind_state(statement.bind(column(rows, |row| row.id)), rows)
}

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
        .bind(nullable(rows, |row| row.last_sent_at))
        .bind(nullable(rows, |row| row.next_attempt_at))
        .bind(nullable(rows, |row| row.error.map(|error| error.code.as_str())))
        .bind(nullable(rows, |row| row.error.and_then(|error| error.gateway_code?.to_number())))
        .bind(nullable(rows, |row| row.ended_at))
        .bind(column(rows, |row| row.updated_at))
        .bind(column(rows, |row| row.version))
        .bind(column(rows, |row| row.history.as_str().to_owned()))
}

fn bind_new_messages(statement: Statement, rows: &[&Message]) -> Statement {
    let statement = bind_ids(statement, rows)
        .bind(column(rows, |row| row.phone.to_i64()))
        .bind(column(rows, |row| row.epoch))
        .bind(column(rows, |row| row.route.as_str()))
        .bind(column(rows, |row| row.created_at));
    bind_progress(statement, rows)
}

fn bind_changed_messages(statement: Statement, rows: &[&Message]) -> Statement {
    bind_progress(bind_ids(statement, rows), rows)
}

fn bind_ids(statement: Statement, rows: &[&Message]) -> Statement {
    statement.bind(column(rows, |row| row.id.verification)).bind(column(rows, |row| row.id.seq))
}

fn bind_progress(statement: Statement, rows: &[&Message]) -> Statement {
    statement
        .bind(column(rows, |row| row.state.as_str()))
        .bind(column(rows, |row| row.attempts))
        .bind(column(rows, |row| row.ambiguous))
        .bind(column(rows, |row| row.due_at))
        .bind(nullable(rows, |row| row.publish_at))
        .bind(column(rows, |row| row.publishes))
        .bind(nullable(rows, |row| row.claim))
        .bind(nullable(rows, |row| row.lease_until))
        .bind(nullable(rows, |row| row.error.map(|error| error.code.as_str())))
        .bind(nullable(rows, |row| row.error.and_then(|error| error.gateway_code?.to_number())))
        .bind(column(rows, |row| row.updated_at))
        .bind(nullable(rows, |row| row.parts))
}
