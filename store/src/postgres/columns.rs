//! The statements that write numbers, verifications and messages together: their columns, each with its type, in the order in
//! which [`super::held`] binds them.

use std::sync::LazyLock;

/// A column and its type.
type Column = (&'static str, &'static str);

const NUMBER: &[Column] = &[
    ("phone", "bigint"),
    ("otp_count", "bigint"),
    ("ambiguous_count", "bigint"),
    ("last_sent_at", "bigint"),
    ("paced_until", "bigint"),
    ("asked", "text"),
];

const VERIFICATION_ID: &[Column] = &[("id", "uuid")];
const VERIFICATION_ORIGIN: &[Column] = &[
    ("client_id", "uuid"),
    ("phone", "bigint"),
    ("purpose", "text"),
    ("account_id", "uuid"),
    ("session", "text"),
    ("locale", "text"),
    ("app_hash", "text"),
    ("origin", "text"),
    ("metadata", "text"),
    ("salt", "bytea"),
    ("key_id", "bigint"),
    ("code_length", "int"),
    ("created_at", "bigint"),
    ("app_name", "text"),
];
const VERIFICATION_STATE: &[Column] = &[
    ("status", "text"),
    ("epoch", "int"),
    ("epoch_started_at", "bigint"),
    ("checks_remaining", "int"),
    ("resend_after", "bigint"),
    ("expires_at", "bigint"),
    ("delivery", "text"),
    ("messages", "int"),
    ("last_sent_at", "bigint"),
    ("next_attempt_at", "bigint"),
    ("error", "text"),
    ("gateway_code", "int"),
    ("ended_at", "bigint"),
    ("updated_at", "bigint"),
    ("version", "bigint"),
    ("history", "text"),
];

const MESSAGE_ID: &[Column] = &[("verification_id", "uuid"), ("seq", "int")];
const MESSAGE_ORIGIN: &[Column] =
    &[("phone", "bigint"), ("epoch", "int"), ("route", "text"), ("created_at", "bigint")];
const MESSAGE_STATE: &[Column] = &[
    ("state", "text"),
    ("attempts", "int"),
    ("ambiguous", "int"),
    ("due_at", "bigint"),
    ("publish_at", "bigint"),
    ("publishes", "int"),
    ("claim", "uuid"),
    ("lease_until", "bigint"),
    ("error", "text"),
    ("gateway_code", "int"),
    ("updated_at", "bigint"),
    ("parts", "smallint"),
];

/// Answers how many rows were inserted. The first two parameters are how many numbers and verifications there are to insert.
///
/// Numbers come first: DO NOTHING waits for a concurrent insert of the same one, and the count then tells that it won. (A refusal by
/// the key would be cheaper, but PostgreSQL would write the number to its log.) The parts of a statement run in any order, so
/// each asks for the count of the one before it; one that is short keeps the others from writing anything. The unique index
/// `verifications_live` refuses a second pending row with the same key.
pub(super) static INSERT: LazyLock<String> = LazyLock::new(|| {
    let verification = [VERIFICATION_ID, VERIFICATION_ORIGIN, VERIFICATION_STATE].concat();
    let message = [MESSAGE_ID, MESSAGE_ORIGIN, MESSAGE_STATE].concat();
    let mut bound = Bound(2);
    format!(
        "WITH n AS (INSERT INTO numbers ({}) SELECT * FROM {} ORDER BY phone ON CONFLICT DO NOTHING RETURNING 1), \
         v AS (INSERT INTO verifications ({}) SELECT * FROM {} WHERE (SELECT count(*) FROM n) = $1 RETURNING 1), \
         m AS (INSERT INTO messages ({}) SELECT * FROM {} WHERE (SELECT count(*) FROM v) = $2 RETURNING 1) {COUNT}",
        names(NUMBER),
        bound.rows(NUMBER),
        names(&verification),
        bound.rows(&verification),
        names(&message),
        bound.rows(&message),
    )
});

/// Answers how many rows were changed.
///
/// All are locked, so the order does not matter. A verification is guarded by its version besides: one that moved on since
/// it was read is a conflict.
pub(super) static UPDATE: LazyLock<String> = LazyLock::new(|| {
    let mut bound = Bound(0);
    format!(
        "WITH n AS (UPDATE numbers t SET {} FROM {} WHERE t.phone = u.phone RETURNING 1), \
         v AS (UPDATE verifications t SET {} FROM {} WHERE t.id = u.id AND t.version <= u.version RETURNING 1), \
         m AS (UPDATE messages t SET {} FROM {} \
         WHERE t.verification_id = u.verification_id AND t.seq = u.seq RETURNING 1) {COUNT}",
        assignments(&NUMBER[1..]),
        bound.rows(NUMBER),
        assignments(VERIFICATION_STATE),
        bound.rows(&[VERIFICATION_ID, VERIFICATION_STATE].concat()),
        assignments(MESSAGE_STATE),
        bound.rows(&[MESSAGE_ID, MESSAGE_STATE].concat()),
    )
});

/// Answers how many rows were changed, and by which transaction: `xmin` of each from now on. The first three parameters are how
/// many numbers, verifications and messages there are to change, the next three the `xmin` that each was read with.
///
/// Nothing is locked before, so it is here, in the order of locks: numbers as they come, which is sorted; then
/// verifications, when all numbers are written; then messages. Whoever waits for a row looks at its `xmin` again after it. When
/// one was written by somebody else since, the statement fails as a whole. It can only do so by what it cannot read as a
/// number, so that is what it says; PostgreSQL writes it to its log.
pub(super) static UPDATE_UNLOCKED: LazyLock<String> = LazyLock::new(|| update_unlocked(false));

/// The same for rows that were read a moment ago: three more parameters say where each is stored, so none is searched for. What
/// has moved since is not found there, or found with another `xmin` or key, and the statement fails as above.
///
/// Keys are compared in a way that no index helps with: the planner takes a row at a known place to cost a page from the disk,
/// and an index for being in memory.
pub(super) static UPDATE_IN_PLACE: LazyLock<String> = LazyLock::new(|| update_unlocked(true));

fn update_unlocked(in_place: bool) -> String {
    let mut bound = Bound(if in_place { 9 } else { 6 });
    let (at, is) = if in_place { ("t.ctid = u.place AND ", "IS NOT DISTINCT FROM") } else { ("", "=") };
    let mut rows =
        |nth: usize, columns: &[Column]| bound.stamped(3 + nth, in_place.then_some(6 + nth), columns);
    let numbers = rows(1, NUMBER);
    let verifications = rows(2, &[VERIFICATION_ID, VERIFICATION_STATE].concat());
    let messages = rows(3, &[MESSAGE_ID, MESSAGE_STATE].concat());
    format!(
        "WITH n AS (UPDATE numbers t SET {} FROM {numbers} \
         WHERE {at}t.phone {is} u.phone AND t.xmin = u.stamp RETURNING 1), \
         v AS (UPDATE verifications t SET {} FROM {verifications} \
         WHERE {at}t.id {is} u.id AND t.xmin = u.stamp AND (SELECT count(*) FROM n) = $1 RETURNING 1), \
         m AS (UPDATE messages t SET {} FROM {messages} \
         WHERE {at}t.verification_id {is} u.verification_id AND t.seq {is} u.seq AND t.xmin = u.stamp \
         AND (SELECT count(*) FROM v) = $2 RETURNING 1) \
         SELECT CASE WHEN rows = $1 + $2 + $3 THEN rows \
         ELSE ('a row was written by somebody else meanwhile, so this is tried again; rows that were not: ' || rows)::bigint \
         END, pg_current_xact_id()::xid::text FROM ({COUNT} AS rows) AS done",
        assignments(&NUMBER[1..]),
        assignments(VERIFICATION_STATE),
        assignments(MESSAGE_STATE),
    )
}

const COUNT: &str = "SELECT (SELECT count(*) FROM n) + (SELECT count(*) FROM v) + (SELECT count(*) FROM m)";

/// How many parameters a statement has so far.
struct Bound(usize);

impl Bound {
    /// The rows of which each column is an array, as a table `u`.
    fn rows(&mut self, columns: &[Column]) -> String {
        let column = |(name, kind): &Column| {
            self.0 += 1;
            format!("unnest(${}::{kind}[]) AS {name}", self.0)
        };
        format!("(SELECT {}) AS u", columns.iter().map(column).collect::<Vec<_>>().join(", "))
    }

    /// The same with the stamps that are bound at one place, and where the rows are stored at the other. A transaction's number
    /// is an unsigned one of 32 bits, which PostgreSQL compares with the same bits as a signed one.
    fn stamped(&mut self, stamps: usize, places: Option<usize>, columns: &[Column]) -> String {
        let places = places.map_or(String::new(), |at| format!("unnest(${at}::tid[]) AS place, "));
        let stamps = format!("(SELECT {places}unnest(${stamps}::int[]) AS stamp, ");
        self.rows(columns).replacen("(SELECT ", &stamps, 1)
    }
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn assignments(columns: &[Column]) -> String {
    columns.iter().map(|(name, _)| format!("{name} = u.{name}")).collect::<Vec<_>>().join(", ")
}
