//! Makes a database that looks as after a year of work: everything in it has ended.

use std::path::Path;
use std::time::Duration;

use hulak_common::clock::{Clock as _, DatabaseClock, Stopwatch};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::numbers::{nth, nth_sql};
use crate::{BenchError, machine};

/// Bytes of disk for each verification, with its number, its message, their indexes, and the log of writing them.
const ROOM: u64 = 2_000;
/// Rows of one statement.
const CHUNK: u64 = 500_000;
/// What lies between the first and the last verification, in milliseconds: half a year.
const SPAN: i64 = 182 * 24 * 3_600 * 1_000;
/// Neighbours in time are no neighbours in number: a large prime.
const STRIDE: u64 = 15_485_863;
const VACUUMED: [&str; 4] = ["numbers", "client_numbers", "verifications", "messages"];

/// Whether there is room to fill the tables, before anything else takes its time.
///
/// # Errors
/// When there is not.
pub fn fits(verifications: u64, directory: &Path) -> Result<(), BenchError> {
    let (needed, free) = (verifications * ROOM, machine::free(directory)?);
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

/// Fills the tables, and says how long that took.
///
/// # Errors
/// When the database refuses.
pub async fn fill(
    url: &str,
    verifications: u64,
    numbers: u64,
    tell: impl Fn(&str),
) -> Result<Duration, BenchError> {
    let watch = Stopwatch::start();
    let mut database = PgConnection::connect(url).await?;
    // Nothing of this is lost by a crash that would not be made anew; the measurements do without this.
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
            // Built from numbers of our own alone.
            let series = format!("{sql} FROM generate_series({first}::bigint, {last}::bigint) AS n");
            sqlx::raw_sql(AssertSqlSafe(series)).execute(&mut database).await?;
            first = last + 1;
            tell(&format!("{what}: {first} of {total}, {:.0?}", watch.elapsed()));
        }
    }
    same_numbers(&mut database, numbers).await?;
    for table in VACUUMED {
        sqlx::raw_sql(AssertSqlSafe(format!("VACUUM ANALYZE {table}"))).execute(&mut database).await?;
    }
    // What requests look into is in memory after a day of them. Being filled in first, it was pushed out by what came after it.
    for table in ["numbers", "client_numbers"] {
        let read = format!("SELECT count(t) FROM {table} AS t");
        sqlx::raw_sql(AssertSqlSafe(read)).execute(&mut database).await?;
    }
    sqlx::raw_sql("CHECKPOINT").execute(&mut database).await?;
    database.close().await?;
    Ok(watch.elapsed())
}

/// Whether the numbers made by SQL are those that the load asks for: else none of its requests would meet an old one.
async fn same_numbers(database: &mut PgConnection, numbers: u64) -> Result<(), BenchError> {
    let some = (0..numbers).step_by(usize::try_from(numbers / 1_000).unwrap_or(1).max(1));
    let some: Vec<i64> = some.map(|n| 9_770_000_000_000 + nth(n).cast_signed()).collect();
    let sql = "SELECT count(*) FROM numbers WHERE phone = ANY($1)";
    let found: i64 = sqlx::query_scalar(sql).bind(&some).fetch_one(database).await?;
    if usize::try_from(found).ok() == Some(some.len()) {
        return Ok(());
    }
    Err(BenchError::Setup(format!("{found} of {} numbers are as the load asks for them", some.len())))
}

/// How large the database is.
///
/// # Errors
/// When it does not say.
pub async fn size(url: &str) -> Result<i64, BenchError> {
    let mut database = PgConnection::connect(url).await?;
    Ok(sqlx::query_scalar("SELECT pg_database_size(current_database())").fetch_one(&mut database).await?)
}

/// Takes out what a sample has added, but for its numbers, so that the next one finds what this one found. Rows that were only
/// ended would be vacuumed one by one, and leave a hole on every page for the next sample's rows to fill.
///
/// # Errors
/// When the database refuses.
pub async fn take_out_new(url: &str) -> Result<(), BenchError> {
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

/// When the n-th was made, which id it has (version 7, so that ids sort by time), and for which number.
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

/// Two of three are approved, the others expired.
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
