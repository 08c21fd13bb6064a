//! Numbers, verifications and messages together. On PostgreSQL one statement each, because every way to the database and back
//! is time for which the locks are held and the next batch waits.

use std::sync::LazyLock;

use sqlx::postgres::PgRow;
use sqlx::{Row as _, query, query_as};
use uuid::Uuid;

use crate::error::{Result, StoreError};
use crate::postgres::{Ctid, PgTransaction};
use crate::requests::claims::{MessageBundle, RowVersion};
use crate::sqlite::SqliteTransaction;
use crate::tables::client_numbers::{ClientNumberRow, ClientPhone, client_number_columns};
use crate::tables::messages::{MessageRow, MessagesTable as _, message_columns};
use crate::tables::numbers::{NumberRow, NumbersTable as _, number_columns};
use crate::tables::verifications::{VerificationRow, VerificationsTable as _, verification_columns};
use crate::tables::{
    Parameters, PgStatement, SideBySide as _, Table as _, Write, all, all_written, assignments, names, split,
    sqlite_insert, sqlite_update,
};
use hulak_common::job::MessageId;
use hulak_common::phone::PhoneNumber;
use hulak_common::phone_record::{ClientNumber, Number};
use hulak_common::verification::{Message, Verification};

/// The versions of a [`MessageBundle`]: the number's, the verification's and the message's.
pub(crate) type RowVersions = [RowVersion; 3];

/// What clients have to do with numbers.
#[derive(Default)]
pub(crate) struct Live {
    /// Those that were blocked, perhaps until a time that has passed.
    pub(crate) blocked: Vec<ClientNumber>,
    /// Those that are pending.
    pub(crate) verifications: Vec<Verification>,
}

/// Rows to be written together, each once.
#[derive(Default)]
pub(crate) struct Written<'a> {
    pub(crate) numbers: Vec<&'a Number>,
    pub(crate) verifications: Vec<&'a Verification>,
    pub(crate) messages: Vec<&'a Message>,
}

impl Written<'_> {
    fn len(&self) -> usize {
        self.numbers.len() + self.verifications.len() + self.messages.len()
    }
}

/// Rows to be written together that are not locked, each with the version that it was read with. Each table's are sorted as
/// locks are: by number, then by id.
pub(crate) struct Versioned<'a> {
    pub(crate) rows: Written<'a>,
    pub(crate) numbers: Vec<RowVersion>,
    pub(crate) verifications: Vec<RowVersion>,
    pub(crate) messages: Vec<RowVersion>,
}

/// A message's number and verification never change, so they may be looked up before anything is locked. Then, number by number,
/// locks are taken in their order: each look needs what the one before it found, so no plan can turn them round.
const PG_LOCK: &str = concat!(
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

/// One look-up for each, whatever the planner knows of the tables. Nothing is locked, and the order is of no account: what is
/// written of it afterwards is guarded by the versions.
const PG_READ: &str = concat!(
    "SELECT n.*, v.*, m.* FROM (SELECT unnest($1::uuid[]) AS id, unnest($2::int[]) AS seq) AS u \
     CROSS JOIN LATERAL (SELECT ",
    message_columns!(),
    ", xmin::text, ctid FROM messages WHERE verification_id = u.id AND seq = u.seq) AS m CROSS JOIN LATERAL (SELECT ",
    verification_columns!(),
    ", xmin::text, ctid FROM verifications WHERE id = m.verification_id) AS v CROSS JOIN LATERAL (SELECT ",
    number_columns!(),
    ", xmin::text, ctid FROM numbers WHERE phone = m.phone) AS n"
);

/// Locks come after the numbers', by number, which is how the keys are given. One look for each: whatever the planner knows of
/// the table, that goes by an index on the number, while all at once it may read all that is pending. No look at all for a
/// number without a row of its own, which is written before the first verification; and whether a client has blocked a number
/// is in the index client_numbers_blocked, which next to no row is in.
const PG_LOCK_LIVE: &str = concat!(
    "SELECT c.*, v.* FROM (SELECT unnest($1::uuid[]) AS client, unnest($2::bigint[]) AS number, \
     unnest($3::boolean[]) AS known) AS u LEFT JOIN LATERAL (SELECT ",
    client_number_columns!(),
    " FROM client_numbers WHERE phone = u.number AND client_id = u.client AND blocked_until IS NOT NULL) AS c ON true \
     LEFT JOIN LATERAL (SELECT ",
    verification_columns!(),
    " FROM verifications WHERE u.known AND phone = u.number AND client_id = u.client AND status = 'pending' \
     ORDER BY id FOR UPDATE) AS v ON true WHERE c.phone IS NOT NULL OR v.phone IS NOT NULL"
);
const SQLITE_LIVE: &str = concat!(
    "SELECT ",
    verification_columns!(),
    " FROM verifications WHERE phone = ? AND client_id = ? AND status = 'pending'"
);
const SQLITE_BLOCKED: &str = concat!(
    "SELECT ",
    client_number_columns!(),
    " FROM client_numbers WHERE phone = ? AND client_id = ? AND blocked_until IS NOT NULL"
);

/// Answers how many rows were inserted. The first two parameters are how many numbers and verifications there are to insert.
///
/// Numbers come first: DO NOTHING waits for a concurrent insert of the same one, and the count then tells that it won. (A refusal by
/// the key would be cheaper, but PostgreSQL would write the number to its log.) The parts of a statement run in any order, so
/// each asks for the count of the one before it; one that is short keeps the others from writing anything. The unique index
/// `verifications_live` refuses a second pending row with the same key.
static PG_INSERT: LazyLock<String> = LazyLock::new(|| {
    let mut bound = Parameters(2);
    format!(
        "WITH n AS (INSERT INTO numbers ({}) SELECT * FROM {} ORDER BY phone ON CONFLICT DO NOTHING RETURNING 1), \
         v AS (INSERT INTO verifications ({}) SELECT * FROM {} WHERE (SELECT count(*) FROM n) = $1 RETURNING 1), \
         m AS (INSERT INTO messages ({}) SELECT * FROM {} WHERE (SELECT count(*) FROM v) = $2 RETURNING 1) {PG_COUNT}",
        names::<Number>(),
        bound.rows::<Number>(Write::Insert),
        names::<Verification>(),
        bound.rows::<Verification>(Write::Insert),
        names::<Message>(),
        bound.rows::<Message>(Write::Insert),
    )
});

/// Answers how many rows were changed.
///
/// All are locked, so the order does not matter. A verification is guarded by its version besides: one that moved on since
/// it was read is a conflict.
static PG_UPDATE: LazyLock<String> = LazyLock::new(|| {
    let mut bound = Parameters(0);
    format!(
        "WITH n AS (UPDATE numbers t SET {} FROM {} WHERE t.phone = u.phone RETURNING 1), \
         v AS (UPDATE verifications t SET {} FROM {} WHERE t.id = u.id AND t.version <= u.version RETURNING 1), \
         m AS (UPDATE messages t SET {} FROM {} \
         WHERE t.verification_id = u.verification_id AND t.seq = u.seq RETURNING 1) {PG_COUNT}",
        assignments::<Number>(),
        bound.rows::<Number>(Write::Update),
        assignments::<Verification>(),
        bound.rows::<Verification>(Write::Update),
        assignments::<Message>(),
        bound.rows::<Message>(Write::Update),
    )
});

/// Answers how many rows were changed, and by which transaction: `xmin` of each from now on. The first three parameters are how
/// many numbers, verifications and messages there are to change, the next three the `xmin` that each was read with.
///
/// Nothing is locked before, so it is here, in the order of locks: numbers as they come, which is sorted; then
/// verifications, when all numbers are written; then messages. A transaction that waits for a row looks at its `xmin` again
/// after the wait. When one was written by another transaction since, the statement fails as a whole. It can only do so by what
/// it cannot read as a number, so that is what it says; PostgreSQL writes it to its log.
static PG_UPDATE_UNLOCKED: LazyLock<String> = LazyLock::new(|| update_unlocked(false));

/// The same for rows that were read a moment ago: three more parameters say where each is stored, so none is searched for. What
/// has moved since is not found there, or found with another `xmin` or key, and the statement fails as above.
///
/// Keys are compared in a way that no index helps with: the planner takes a row at a known place to cost a page from the disk,
/// and an index for being in memory.
static PG_UPDATE_IN_PLACE: LazyLock<String> = LazyLock::new(|| update_unlocked(true));

fn update_unlocked(in_place: bool) -> String {
    let mut bound = Parameters(if in_place { 9 } else { 6 });
    let (at, is) = if in_place { ("t.ctid = u.place AND ", "IS NOT DISTINCT FROM") } else { ("", "=") };
    let numbers = versioned(bound.rows::<Number>(Write::Update), 1, in_place);
    let verifications = versioned(bound.rows::<Verification>(Write::Update), 2, in_place);
    let messages = versioned(bound.rows::<Message>(Write::Update), 3, in_place);
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
         END, pg_current_xact_id()::xid::text FROM ({PG_COUNT} AS rows) AS done",
        assignments::<Number>(),
        assignments::<Verification>(),
        assignments::<Message>(),
    )
}

/// Rows with the versions that are bound after the three counts, and with where they are stored after those. A transaction's
/// number is an unsigned one of 32 bits, which PostgreSQL compares with the same bits as a signed one.
fn versioned(rows: String, nth: usize, in_place: bool) -> String {
    let (stamps, places) = (3 + nth, 6 + nth);
    let places = if in_place { format!("unnest(${places}::tid[]) AS place, ") } else { String::new() };
    rows.replacen("(SELECT ", &format!("(SELECT {places}unnest(${stamps}::int[]) AS stamp, "), 1)
}

const PG_COUNT: &str =
    "SELECT (SELECT count(*) FROM n) + (SELECT count(*) FROM v) + (SELECT count(*) FROM m)";

/// What the decisions need of numbers, verifications and messages together.
pub(crate) trait Bundles: Send {
    /// Reads the clients' numbers that are blocked, and locks the pending verifications of all; the numbers that are known are
    /// locked already, and the others can have none.
    fn lock_live(
        &mut self,
        keys: &[ClientPhone],
        known: impl Fn(PhoneNumber) -> bool + Send + Sync,
    ) -> impl Future<Output = Result<Live>> + Send;
    /// Locks messages with all that they belong to; those that are not there are absent.
    fn lock_bundles(&mut self, ids: &[MessageId]) -> impl Future<Output = Result<Vec<MessageBundle>>> + Send;
    /// Reads the same without locking, as of one moment.
    fn read_bundles(
        &mut self,
        ids: &[MessageId],
    ) -> impl Future<Output = Result<Vec<(MessageBundle, RowVersions)>>> + Send;
    /// Inserts rows; [`StoreError::Conflict`] when another transaction was first with a number, or when a verification with
    /// the same key is pending.
    fn insert(&mut self, rows: &Written<'_>) -> impl Future<Output = Result<()>> + Send;
    /// Writes locked rows back.
    fn update(&mut self, rows: &Written<'_>) -> impl Future<Output = Result<()>> + Send;
    /// Writes rows back that are not locked, all or none, and gives the version that they have then. [`StoreError::Conflict`]
    /// when another transaction has written one of them since it was read.
    fn update_unlocked(&mut self, rows: &Versioned<'_>) -> impl Future<Output = Result<RowVersion>> + Send;
}

impl Bundles for PgTransaction {
    async fn lock_live(
        &mut self,
        keys: &[ClientPhone],
        known: impl Fn(PhoneNumber) -> bool + Send + Sync,
    ) -> Result<Live> {
        let known: Vec<bool> = keys.iter().map(|(_, phone)| known(*phone)).collect();
        let (clients, phones): (Vec<Uuid>, Vec<i64>) =
            keys.iter().map(|(client, phone)| (*client, phone.to_i64())).unzip();
        let mut live = Live::default();
        let select = query(PG_LOCK_LIVE).bind(clients).bind(phones).bind(known);
        for row in select.fetch_all(&mut *self.tx).await? {
            if row.try_get::<Option<Uuid>, _>(0)?.is_some() {
                live.blocked.push(ClientNumberRow::at(&row, 0)?.try_into()?);
            }
            if row.try_get::<Option<Uuid>, _>(ClientNumberRow::COLUMNS)?.is_some() {
                live.verifications.push(VerificationRow::at(&row, ClientNumberRow::COLUMNS)?.try_into()?);
            }
        }
        Ok(live)
    }

    async fn lock_bundles(&mut self, ids: &[MessageId]) -> Result<Vec<MessageBundle>> {
        let (owners, seqs) = split(ids);
        let found = query(PG_LOCK).bind(owners).bind(seqs).fetch_all(&mut *self.tx).await?;
        found.iter().map(|row| bundle(row, 0)).collect()
    }

    async fn read_bundles(&mut self, ids: &[MessageId]) -> Result<Vec<(MessageBundle, RowVersions)>> {
        let (owners, seqs) = split(ids);
        let found = query(PG_READ).bind(owners).bind(seqs).fetch_all(&mut *self.tx).await?;
        found.iter().map(|row| Ok((bundle(row, VERSION)?, versions(row)?))).collect()
    }

    async fn insert(&mut self, rows: &Written<'_>) -> Result<()> {
        let counts = query(PG_INSERT.as_str()).bind(count(rows.numbers.len()));
        let statement = bind_all(counts.bind(count(rows.verifications.len())), rows, Write::Insert);
        write(self, statement, rows).await
    }

    async fn update(&mut self, rows: &Written<'_>) -> Result<()> {
        write(self, bind_all(query(PG_UPDATE.as_str()), rows, Write::Update), rows).await
    }

    async fn update_unlocked(&mut self, versioned: &Versioned<'_>) -> Result<RowVersion> {
        let versions = [&versioned.numbers, &versioned.verifications, &versioned.messages];
        let places: Option<Vec<Vec<Ctid>>> =
            versions.iter().map(|versions| versions.iter().map(|version| version.place).collect()).collect();
        let sql = if places.is_some() { &PG_UPDATE_IN_PLACE } else { &PG_UPDATE_UNLOCKED };
        let mut statement = query(sql.as_str());
        for versions in versions {
            statement = statement.bind(count(versions.len()));
        }
        for versions in versions {
            let writers: Vec<i32> = versions.iter().map(|version| version.writer.cast_signed()).collect();
            statement = statement.bind(writers);
        }
        for places in places.into_iter().flatten() {
            statement = statement.bind(places);
        }
        match bind_all(statement, &versioned.rows, Write::Update).fetch_one(&mut *self.tx).await {
            Ok(answer) => Ok(RowVersion { writer: writer(&answer, 1)?, place: None }),
            // That is how it says so, see there.
            Err(sqlx::Error::Database(refused)) if refused.code().as_deref() == Some("22P02") => {
                Err(StoreError::Conflict(refused.message().to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// How many columns say where a row is stored and who wrote it.
const VERSION: usize = 2;

/// The rows of three tables side by side, each followed by so many other columns.
fn bundle(row: &PgRow, gap: usize) -> Result<MessageBundle> {
    let verification = NumberRow::COLUMNS + gap;
    let message = verification + VerificationRow::COLUMNS + gap;
    Ok((
        NumberRow::at(row, 0)?.try_into()?,
        VerificationRow::at(row, verification)?.try_into()?,
        MessageRow::at(row, message)?.try_into()?,
    ))
}

/// Each table's columns are followed by its row's version.
fn versions(row: &PgRow) -> Result<RowVersions> {
    let version = |column| {
        Ok::<_, StoreError>(RowVersion { writer: writer(row, column)?, place: row.try_get(column + 1)? })
    };
    let number = NumberRow::COLUMNS;
    let verification = number + VERSION + VerificationRow::COLUMNS;
    let message = verification + VERSION + MessageRow::COLUMNS;
    Ok([version(number)?, version(verification)?, version(message)?])
}

fn writer(row: &PgRow, column: usize) -> Result<u32> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|_| StoreError::Corrupt(format!("{text} is no transaction")))
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

fn bind_all<'q>(statement: PgStatement<'q>, rows: &Written<'q>, write: Write) -> PgStatement<'q> {
    let statement = Number::bind_arrays(statement, &rows.numbers, write);
    let statement = Verification::bind_arrays(statement, &rows.verifications, write);
    Message::bind_arrays(statement, &rows.messages, write)
}

async fn write(tx: &mut PgTransaction, statement: PgStatement<'_>, rows: &Written<'_>) -> Result<()> {
    if rows.len() == 0 {
        return Ok(());
    }
    let written: i64 = statement.fetch_one(&mut *tx.tx).await?.try_get(0)?;
    all_written(u64::try_from(written).unwrap_or_default(), rows.len())
}

static SQLITE_WRITE: LazyLock<[(String, String); 3]> = LazyLock::new(|| {
    [
        (sqlite_insert::<Number>(), sqlite_update::<Number>()),
        (sqlite_insert::<Verification>(), sqlite_update::<Verification>()),
        (sqlite_insert::<Message>(), sqlite_update::<Message>()),
    ]
});

/// Never called: SQLite has one writer, which has everything locked.
fn without_versions() -> StoreError {
    StoreError::Conflict("rows have no versions here".to_owned())
}

impl Bundles for SqliteTransaction {
    async fn lock_live(
        &mut self,
        keys: &[ClientPhone],
        known: impl Fn(PhoneNumber) -> bool + Send + Sync,
    ) -> Result<Live> {
        let mut found: Vec<VerificationRow> = Vec::new();
        let mut blocked: Vec<ClientNumberRow> = Vec::new();
        for (client, phone) in keys {
            let select = query_as(SQLITE_BLOCKED).bind(phone.to_i64()).bind(client);
            blocked.extend(select.fetch_optional(&mut *self.tx).await?);
            if known(*phone) {
                let select = query_as(SQLITE_LIVE).bind(phone.to_i64()).bind(client);
                found.extend(select.fetch_all(&mut *self.tx).await?);
            }
        }
        Ok(Live { blocked: all(blocked)?, verifications: all(found)? })
    }

    async fn lock_bundles(&mut self, ids: &[MessageId]) -> Result<Vec<MessageBundle>> {
        let mut bundles = Vec::with_capacity(ids.len());
        for message in self.lock_messages(ids).await? {
            let number = self.lock_numbers(&[message.phone]).await?.pop();
            let verification = self.lock_verifications(&[message.id.verification]).await?.pop();
            bundles.extend(number.zip(verification).map(|(number, owner)| (number, owner, message)));
        }
        Ok(bundles)
    }

    async fn read_bundles(&mut self, _: &[MessageId]) -> Result<Vec<(MessageBundle, RowVersions)>> {
        Err(without_versions())
    }

    async fn insert(&mut self, rows: &Written<'_>) -> Result<()> {
        let [(numbers, _), (verifications, _), (messages, _)] = &*SQLITE_WRITE;
        self.write(&rows.numbers, numbers, Write::Insert).await?;
        self.write(&rows.verifications, verifications, Write::Insert).await?;
        self.write(&rows.messages, messages, Write::Insert).await
    }

    async fn update(&mut self, rows: &Written<'_>) -> Result<()> {
        let [(_, numbers), (_, verifications), (_, messages)] = &*SQLITE_WRITE;
        self.write(&rows.numbers, numbers, Write::Update).await?;
        self.write(&rows.verifications, verifications, Write::Update).await?;
        self.write(&rows.messages, messages, Write::Update).await
    }

    async fn update_unlocked(&mut self, _: &Versioned<'_>) -> Result<RowVersion> {
        Err(without_versions())
    }
}
