//! `messages`: the SMS of a verification, and the outbox: `publish_at` is when a relay publishes the row.

use sqlx::{query, query_as};
use uuid::Uuid;

use crate::error::{Result, StoreError};
use crate::postgres::PgTransaction;
use crate::sqlite::SqliteTransaction;
use crate::store::{Database, Store, change, read};
use crate::tables::{all, delivery_error, gateway_error, parse, phone, split};
use hulak_common::job::MessageId;
use hulak_common::time::Timestamp;
use hulak_common::verification::Message;

table! {
    "messages", message_columns (pub(crate)), MessageRow of Message;
    Key verification_id: Uuid as "uuid" = |row| row.id.verification,
    Key seq: i32 as "int" = |row| row.id.seq,
    Fixed phone: i64 as "bigint" = |row| row.phone.to_i64(),
    Fixed epoch: i32 as "int" = |row| row.epoch,
    Fixed route: String as "text" = |row| row.route.as_str(),
    State state: String as "text" = |row| row.state.as_str(),
    State attempts: i32 as "int" = |row| row.attempts,
    State ambiguous: i32 as "int" = |row| row.ambiguous,
    State due_at: Timestamp as "bigint" = |row| row.due_at,
    State publish_at: Option<Timestamp> as "bigint" = |row| row.publish_at,
    State publishes: i32 as "int" = |row| row.publishes,
    State claim: Option<Uuid> as "uuid" = |row| row.claim,
    State lease_until: Option<Timestamp> as "bigint" = |row| row.lease_until,
    State error: Option<String> as "text" = |row| row.error.map(|error| error.code.as_str()),
    State gateway_code: Option<i32> as "int" = |row| row.error.and_then(|error| error.gateway_code?.to_number()),
    Fixed created_at: Timestamp as "bigint" = |row| row.created_at,
    State updated_at: Timestamp as "bigint" = |row| row.updated_at,
    State parts: Option<i16> as "smallint" = |row| row.parts,
    State gateway_error: Option<String> as "text" = |row| gateway_error(row.error),
}

impl TryFrom<MessageRow> for Message {
    type Error = StoreError;
    fn try_from(row: MessageRow) -> Result<Self> {
        Ok(Self {
            id: MessageId { verification: row.verification_id, seq: row.seq },
            phone: phone(row.phone)?,
            epoch: row.epoch,
            route: parse(&row.route, "route")?,
            state: parse(&row.state, "state")?,
            attempts: row.attempts,
            ambiguous: row.ambiguous,
            due_at: row.due_at,
            publish_at: row.publish_at,
            publishes: row.publishes,
            claim: row.claim,
            lease_until: row.lease_until,
            error: delivery_error(row.error, row.gateway_code, row.gateway_error)?,
            parts: row.parts,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// How long a message that a relay has taken is left to it.
const RELAY_GRACE_MS: i64 = 5_000;
/// How long after the broker's first confirm a message is published again; doubles with each. Well below the default of
/// `HULAK_MAX_BACKLOG_AGE`: a job that got lost is no sign that the workers are behind.
const CONFIRMED_MS: i64 = 30_000;

/// Locks come last in the lock order, by number.
const PG_LOCK: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM messages m JOIN (SELECT unnest($1::uuid[]) AS owner, unnest($2::int[]) AS nth) AS u \
     ON m.verification_id = u.owner AND m.seq = u.nth ORDER BY m.phone, m.verification_id, m.seq FOR UPDATE OF m"
);
const SQLITE_READ: &str =
    concat!("SELECT ", message_columns!(), " FROM messages WHERE verification_id = ? AND seq = ?");
/// Oldest first, by the index messages_leases.
const LAPSED: &str =
    "SELECT verification_id, seq FROM messages WHERE lease_until <= $1 ORDER BY lease_until LIMIT $2";
const OF_VERIFICATION: &str =
    concat!("SELECT ", message_columns!(), " FROM messages WHERE verification_id = $1 ORDER BY seq");

/// Oldest first; SKIP LOCKED lets many relays work side by side, each on rows of its own. A row taken is out of the outbox for
/// a moment: if this relay dies before the broker has it, another takes it then.
/// MATERIALIZED: looked up once, or a plan that looks again takes more than the limit.
const PG_TAKE_DUE: &str = "WITH due AS MATERIALIZED (SELECT verification_id, seq FROM messages \
     WHERE publish_at <= $2 ORDER BY publish_at LIMIT $1 FOR UPDATE SKIP LOCKED) \
     UPDATE messages m SET publish_at = $2 + $3 FROM due \
     WHERE m.verification_id = due.verification_id AND m.seq = due.seq \
     RETURNING m.verification_id, m.seq";
/// Oldest first. There is one writer, so no other relay can take the same rows.
const SQLITE_TAKE_DUE: &str = "UPDATE messages SET publish_at = ?2 + ?3 WHERE (verification_id, seq) IN \
     (SELECT verification_id, seq FROM messages WHERE publish_at <= ?2 ORDER BY publish_at LIMIT ?1) \
     RETURNING verification_id, seq";

/// Only while the message waits for a worker now: a later due time has its own publish time, a claim has none. That is asked
/// again of a row that another transaction was writing, after the wait for it. Rows are found first, and then written where
/// they are stored, in the order of the other transactions on messages, so that two of these never wait for each other in a
/// circle. When another transaction holds a row for longer than a statement may take, the relay publishes copies of this
/// chunk, which are harmless.
/// "Not null" is said in a way that does not bring the index messages_outbox to the planner's mind: statistics from when it was
/// empty would have it read all of the index.
const PG_CONFIRM: &str = "UPDATE messages m SET publishes = m.publishes + 1, \
     publish_at = c.at + $4 * power(2, least(m.publishes, 6))::bigint \
     FROM (SELECT m.place, u.at FROM (SELECT unnest($1::uuid[]) AS id, unnest($2::int[]) AS seq, \
             unnest($3::bigint[]) AS at) AS u \
         CROSS JOIN LATERAL (SELECT ctid AS place, phone FROM messages WHERE verification_id = u.id AND seq = u.seq \
             AND coalesce(publish_at, 0) > 0 AND due_at <= u.at) AS m \
         ORDER BY m.phone, u.id, u.seq) AS c \
     WHERE m.ctid = c.place AND coalesce(m.publish_at, 0) > 0 AND m.due_at <= c.at";
/// As above; there is one writer.
const SQLITE_CONFIRM: &str = "UPDATE messages SET publishes = publishes + 1, publish_at = ?3 + ?4 * (1 << min(publishes, 6)) \
     WHERE verification_id = ?1 AND seq = ?2 AND publish_at IS NOT NULL AND due_at <= ?3";
/// One look at the end of the index messages_waiting.
const WAITING_SINCE: &str = "SELECT due_at FROM messages WHERE state = 'queued' AND due_at <= $1 AND route = 'gateway' ORDER BY due_at LIMIT 1";
/// By the index messages_waiting.
const RETRYING: &str = "SELECT count(*), min(due_at) FROM \
     (SELECT due_at FROM messages WHERE state = 'queued' AND due_at > $1 AND attempts > 0 AND route = 'gateway' \
     ORDER BY due_at LIMIT $2) AS retried";
/// By the index messages_waiting.
const WAITING_COUNT: &str = "SELECT count(*) FROM \
     (SELECT 1 FROM messages WHERE state = 'queued' AND due_at <= $1 AND route = 'gateway' LIMIT $2) AS waiting";

fn id((verification, seq): (Uuid, i32)) -> MessageId {
    MessageId { verification, seq }
}

/// What the decisions need of messages. They are inserted and updated with numbers and verifications, see
/// [`crate::tables::bundles`].
pub(crate) trait MessagesTable: Send {
    /// Locks messages.
    fn lock_messages(&mut self, ids: &[MessageId]) -> impl Future<Output = Result<Vec<Message>>> + Send;
    /// Messages whose lease has run out, oldest first, without locking.
    fn lapsed(&mut self, limit: u32, now: Timestamp) -> impl Future<Output = Result<Vec<MessageId>>> + Send;
}

impl MessagesTable for PgTransaction {
    async fn lock_messages(&mut self, ids: &[MessageId]) -> Result<Vec<Message>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let (owners, seqs) = split(ids);
        all::<MessageRow, _>(query_as(PG_LOCK).bind(owners).bind(seqs).fetch_all(&mut *self.tx).await?)
    }

    async fn lapsed(&mut self, limit: u32, now: Timestamp) -> Result<Vec<MessageId>> {
        let select = query_as(LAPSED).bind(now).bind(i64::from(limit));
        Ok(select.fetch_all(&mut *self.tx).await?.into_iter().map(id).collect())
    }
}

impl MessagesTable for SqliteTransaction {
    async fn lock_messages(&mut self, ids: &[MessageId]) -> Result<Vec<Message>> {
        let mut found: Vec<MessageRow> = Vec::with_capacity(ids.len());
        for id in ids {
            let select = query_as(SQLITE_READ).bind(id.verification).bind(id.seq);
            found.extend(select.fetch_optional(&mut *self.tx).await?);
        }
        all(found)
    }

    async fn lapsed(&mut self, limit: u32, now: Timestamp) -> Result<Vec<MessageId>> {
        let select = query_as(LAPSED).bind(now).bind(i64::from(limit));
        Ok(select.fetch_all(&mut *self.tx).await?.into_iter().map(id).collect())
    }
}

impl Store {
    /// Takes up to `limit` messages whose publishing is due, and puts the others off their track for a moment.
    pub async fn take_due(&self, limit: u32, now: Timestamp) -> Result<Vec<MessageId>> {
        let taken = change!(self, [PG_TAKE_DUE, SQLITE_TAKE_DUE], i64::from(limit), now, RELAY_GRACE_MS)?;
        Ok(taken.into_iter().map(id).collect())
    }

    /// Notes that the broker has these, so that the relay leaves them alone for a while. Each comes with the time of its
    /// publishing: a message whose due time came later has been tried since, and is the relay's again.
    pub async fn confirm_published(&self, confirmed: &[(MessageId, Timestamp)]) -> Result<()> {
        match &self.database {
            Database::Postgres(database) => {
                let (ids, times): (Vec<MessageId>, Vec<Timestamp>) = confirmed.iter().copied().unzip();
                let (owners, seqs) = split(&ids);
                let update = query(PG_CONFIRM).bind(owners).bind(seqs).bind(times).bind(CONFIRMED_MS);
                database.execute(update).await.map(drop)
            }
            Database::Sqlite(database) => {
                let mut transaction = database.begin().await?;
                for (id, published_at) in confirmed {
                    let update = query(SQLITE_CONFIRM).bind(id.verification).bind(id.seq);
                    let update = update.bind(*published_at).bind(CONFIRMED_MS);
                    update.execute(&mut *transaction.tx).await?;
                }
                transaction.commit().await
            }
        }
    }

    /// Since when the message that has waited longest has been waiting for a worker; `None` when none waits. Time before
    /// a message's due time (a pace, a pause before another try) is not waiting, and what sends nothing is no backlog.
    pub async fn waiting_since(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        Ok(read!(self, WAITING_SINCE, now)?.pop().map(|(due_at,)| due_at))
    }

    /// How many messages are due and wait for a worker: counted up to `limit`, without those that send nothing.
    pub async fn waiting_count(&self, limit: u32, now: Timestamp) -> Result<u64> {
        let count: Option<(i64,)> = read!(self, WAITING_COUNT, now, i64::from(limit))?.pop();
        Ok(count.and_then(|(count,)| u64::try_from(count).ok()).unwrap_or(0))
    }

    /// How many messages wait for another try at the gateway, counted up to `limit`, and when the first of them is due.
    pub async fn retrying(&self, limit: u32, now: Timestamp) -> Result<(u64, Option<Timestamp>)> {
        let found: Option<(i64, Option<Timestamp>)> = read!(self, RETRYING, now, i64::from(limit))?.pop();
        Ok(found.map_or((0, None), |(count, due_at)| (u64::try_from(count).unwrap_or(0), due_at)))
    }

    /// The messages of a verification, in order.
    pub async fn messages(&self, verification: Uuid) -> Result<Vec<Message>> {
        all::<MessageRow, _>(read!(self, OF_VERIFICATION, verification)?)
    }
}
