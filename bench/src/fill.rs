//! Fills a database as half a year of work would: all verifications in it have ended.

use std::path::Path;
use std::time::Duration;

use hulak_common::clock::{Clock as _, DatabaseClock, Stopwatch};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::error::BenchError;
use crate::machine;
use crate::phone_numbers::{nth, nth_sql};

/// Bytes on the disk for each verification, with its number, its message, their indexes, and the write-ahead log.
const BYTES_EACH: u64 = 2_000;
/// Rows of one statement.
const CHUNK: u64 = 500_000;
/// From the first to the last verification, in milliseconds: half a year.
const SPAN: i64 = 182 * 24 * 3_600 * 1_000;
/// A large prime: verifications that follow each other are for numbers far apart.
const STRIDE: u64 = 15_485_863;
const VACUUMED: [&str; 4] = ["numbers", "client_numbers", "verifications", "messages"];

/// Checks that the disk has room for the tables, before anything else is started.
///
/// # Errors
/// When it has not.
pub fn fits(verifications: u64, directory: &Path) -> Result<(), BenchError> {
    let (needed, free) = (verifications * BYTES_EACH, machine::free(directory)?);
    if needed <= free {
        return Ok(());
    }
    let gb = |bytes: u64| bytes / 1_000_000_000;
    Err(BenchError::Setup(format!(
        "the scenario grown needs {} GB in {} and {} GB are free: make room, set TMPDIR, or make it smaller with \
         --grown-verifications",
        gb(needed),
        directory.display(),
        gb(free)
    )))
}

/// Fills the tables, and answers how long that took.
///
/// # Errors
/// When the database refuses.
pub async fn fill(
    url: &str,
    verifications: u64,
    numbers: u64,
    progress: impl Fn(&str),
) -> Result<Duration, BenchError> {
    let watch = Stopwatch::start();
    let mut database = PgConnection::connect(url).await?;
    // After a crash all of this would be filled in again. The measurements use connections of their own, which sync.
    sqlx::raw_sql("SET synchronous_commit = off").execute(&mut database).await?;
    let end = DatabaseClock::new().now().as_millis() - 24 * 3_600 * 1_000;
    let each = (verifications / numbers.max(1)).max(1);
    for (what, total, sql) in [
        ("numbers", numbers, numbers_sql(each, end)),
        ("clients' numbers", numbers, client_numbers_sql(end)),
        ("verifications", verifications, verifications_sql(verifications, numbers, end)),
        ("messages", verifications, messages_sql(verifications, numbers, end)),
    ] {
        let mut first = 0;
        while first < total {
            let last = (first + CHUNK).min(total) - 1;
            // Built from integers alone.
            let series = format!("{sql} FROM generate_series({first}::bigint, {last}::bigint) AS n");
            sqlx::raw_sql(AssertSqlSafe(series)).execute(&mut database).await?;
            first = last + 1;
            progress(&format!("{what}: {first} of {total}, {:.0?}", watch.elapsed()));
        }
    }
    same_numbers(&mut database, numbers).await?;
    for table in VACUUMED {
        sqlx::raw_sql(AssertSqlSafe(format!("VACUUM ANALYZE {table}"))).execute(&mut database).await?;
    }
    // In production the tables that requests read are in memory. They were filled first, and the later ones pushed them out.
    for table in ["numbers", "client_numbers"] {
        let read = format!("SELECT count(t) FROM {table} AS t");
        sqlx::raw_sql(AssertSqlSafe(read)).execute(&mut database).await?;
    }
    sqlx::raw_sql("CHECKPOINT").execute(&mut database).await?;
    database.close().await?;
    Ok(watch.elapsed())
}

/// Checks that SQL makes the same numbers as the load: otherwise no request would be for a known number.
async fn same_numbers(database: &mut PgConnection, numbers: u64) -> Result<(), BenchError> {
    let some = (0..numbers).step_by(usize::try_from(numbers / 1_000).unwrap_or(1).max(1));
    let some: Vec<i64> = some.map(|n| 9_770_000_000_000 + nth(n).cast_signed()).collect();
    let sql = "SELECT count(*) FROM numbers WHERE phone = ANY($1)";
    let found: i64 = sqlx::query_scalar(sql).bind(&some).fetch_one(database).await?;
    if usize::try_from(found).ok() == Some(some.len()) {
        return Ok(());
    }
    Err(BenchError::Setup(format!("{found} of {} numbers are those that the load uses", some.len())))
}

/// The size of the database in bytes.
///
/// # Errors
/// When the database refuses.
pub async fn size(url: &str) -> Result<i64, BenchError> {
    let mut database = PgConnection::connect(url).await?;
    Ok(sqlx::query_scalar("SELECT pg_database_size(current_database())").fetch_one(&mut database).await?)
}

/// Removes the rows that a sample has added, except its numbers, so that the next sample finds the same tables. Rows that were
/// only ended would be vacuumed one by one, and leave free space on every page for the next sample's rows.
///
/// # Errors
/// When the database refuses.
pub async fn remove_added(url: &str) -> Result<(), BenchError> {
    let mut database = PgConnection::connect(url).await?;
    for sql in [
        "CREATE TEMP TABLE added AS SELECT id FROM verifications WHERE status = 'pending'",
        "ANALYZE added",
        "DELETE FROM messages USING added WHERE verification_id = added.id",
        "DELETE FROM verifications USING added WHERE verifications.id = added.id",
        "VACUUM ANALYZE messages",
        "VACUUM ANALYZE verifications",
    ] {
        sqlx::raw_sql(sql).execute(&mut database).await?;
    }
    Ok(database.close().await?)
}

fn numbers_sql(each: u64, end: i64) -> String {
    let phone = nth_sql("n");
    format!(
        "INSERT INTO numbers (phone, otp_count, ambiguous_count, last_sent_at, paced_until, asked) \
         SELECT {phone}, {each}, 0, {end}, {end} + 30000, '{end}'"
    )
}

/// Half of the numbers are validated.
fn client_numbers_sql(end: i64) -> String {
    let phone = nth_sql("n");
    format!(
        "INSERT INTO client_numbers (client_id, phone, validated_at, failed_checks) \
         SELECT (SELECT id FROM clients WHERE name = 'default'), {phone}, \
         CASE WHEN n % 2 = 0 THEN {end} END, ''"
    )
}

/// SQL for the n-th verification's time, its id (version 7, so that ids sort by time), and its number.
fn nth_verification(total: u64, numbers: u64, end: i64) -> (String, String, String) {
    let start = end - SPAN;
    let at = format!("({start} + (n::numeric * {SPAN} / {total})::bigint)");
    let id = format!(
        "(substr(encode(int8send({at}), 'hex'), 5) || '7' || substr(md5(n::text), 1, 3) || '8' || \
         substr(md5(n::text), 5, 15))::uuid"
    );
    let number = nth_sql(&format!("n * {STRIDE} % {numbers}"));
    (at, id, number)
}

/// Two of three are approved, the others are expired.
fn verifications_sql(total: u64, numbers: u64, end: i64) -> String {
    let (at, id, phone) = nth_verification(total, numbers, end);
    format!(
        "INSERT INTO verifications (id, client_id, phone, purpose, session, locale, metadata, salt, key_id, \
         code_length, created_at, status, epoch, epoch_started_at, checks_remaining, resend_after, expires_at, \
         delivery, messages, last_sent_at, ended_at, updated_at, version, history) \
         SELECT {id}, (SELECT id FROM clients WHERE name = 'default'), {phone}, 'verify', '', 'en', '{{}}', \
         decode(md5(n::text) || substr(md5((-n)::text), 1, 8), 'hex'), 1, 6, {at}, \
         CASE WHEN n % 3 = 0 THEN 'expired' ELSE 'approved' END, 0, {at}, 5, {at} + 30000, {at} + 300000, \
         'sent', 1, {at} + 60, {at} + 20000, {at} + 20000, 4, \
         '0:n1 10:c1 60:s1 20000:' || CASE WHEN n % 3 = 0 THEN 'expired' ELSE 'approved' END"
    )
}

fn messages_sql(total: u64, numbers: u64, end: i64) -> String {
    let (at, id, phone) = nth_verification(total, numbers, end);
    format!(
        "INSERT INTO messages (verification_id, seq, phone, epoch, route, state, attempts, ambiguous, due_at, \
         publishes, claim, created_at, updated_at, parts) \
         SELECT {id}, 1, {phone}, 0, 'gateway', 'sent', 1, 0, {at}, 1, md5(n::text)::uuid, {at}, {at} + 60, 1"
    )
}
