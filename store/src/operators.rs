//! What operators do and see, as the databases keep it. Most statements are the same for both.

use async_trait::async_trait;
use sqlx::FromRow;
use uuid::Uuid;

use super::StoreError;
use super::rows::corrupt;
use crate::StoredSample;
use hulak_common::audit::AuditEntry;
use hulak_common::phone::PhoneNumber;
use hulak_common::staff::{BlockEverywhere, NewSession, NumberFile, Operator, Search};
use hulak_common::time::Timestamp;
use hulak_common::usage::{Day, Usage, UsageSum};
use hulak_common::verification::{Message, Verification};
use hulak_common::worker_registry::{Pause, WorkerRecord, WorkerState};

/// The part of the database that is for operators. Its calls see all clients.
#[async_trait]
pub trait OperatorStore {
    /// Opens a session of the console.
    async fn open_session(&self, session: &NewSession) -> Result<(), StoreError>;
    /// Who holds the session with this hash: nobody, once it or its key is over.
    async fn session(&self, hash: &[u8; 32], now: Timestamp) -> Result<Option<Operator>, StoreError>;
    /// Ends a session.
    async fn close_session(&self, hash: &[u8; 32]) -> Result<(), StoreError>;

    /// Writes down what an operator does.
    async fn audit(&self, entry: &AuditEntry) -> Result<(), StoreError>;
    /// What operators did, the newest first: older than `before`, at most `limit`.
    async fn audit_log(&self, before: Option<Uuid>, limit: u32) -> Result<Vec<AuditEntry>, StoreError>;

    /// Verifications with the names of their clients, the newest first.
    async fn search(&self, search: Search, limit: u32) -> Result<Vec<(String, Verification)>, StoreError>;
    /// The messages of a verification, in order.
    async fn messages(&self, verification: Uuid) -> Result<Vec<Message>, StoreError>;
    /// All that is known of a number.
    async fn number_file(&self, phone: PhoneNumber) -> Result<NumberFile, StoreError>;
    /// Blocks a number for all clients, or lifts that block.
    async fn block_everywhere(&self, block: &BlockEverywhere) -> Result<(), StoreError>;

    /// Stops sending. Who was first stays.
    async fn pause(&self, pause: &Pause) -> Result<(), StoreError>;
    /// Lets sending go on.
    async fn resume(&self) -> Result<(), StoreError>;
    /// Whether sending is stopped.
    async fn paused(&self) -> Result<Option<Pause>, StoreError>;

    /// Keeps what a worker says of itself, if it is in the registry, and tells whether sending is stopped.
    async fn report(&self, worker: Uuid, state: &WorkerState) -> Result<bool, StoreError>;
    /// The workers that were heard of lately.
    async fn workers(&self) -> Result<Vec<WorkerRecord>, StoreError>;
    /// How many messages are due and wait for a worker: counted up to `limit`.
    async fn waiting_count(&self, limit: u32, now: Timestamp) -> Result<u64, StoreError>;

    /// Keeps a process's counters.
    async fn put_sample(&self, sample: &StoredSample) -> Result<(), StoreError>;
    /// The counters of all processes from a moment on, the oldest first: after `(at, process)`, at most `limit`.
    async fn samples(&self, after: (Timestamp, Uuid), limit: u32) -> Result<Vec<StoredSample>, StoreError>;

    /// Adds up the messages of verifications made so long ago that none of them can change any more: at most `slices`
    /// minutes. Answers how many. Any number of processes may do it at once; nothing is counted twice.
    async fn roll_up(&self, slices: u32, now: Timestamp) -> Result<u32, StoreError>;
    /// What the messages of each client and day come to, from a day on: the newest day first, by client. Exact: what is
    /// not added up yet is looked at.
    async fn usage(&self, from: Day) -> Result<Vec<Usage>, StoreError>;
    /// Deletes what is too old to be looked at: sessions, samples, the record.
    async fn forget_operators(&self, limit: u32, now: Timestamp) -> Result<(), StoreError>;
}

/// How long the record of what operators did is kept.
pub(super) const AUDIT_KEPT_DAYS: u64 = 400;

pub(super) const OPEN_SESSION: &str =
    "INSERT INTO operator_sessions (hash, key_hash, expires_at) VALUES ($1, $2, $3)";
/// With its key, which may have been revoked a moment ago.
pub(super) const SESSION: &str = "SELECT k.hash, k.prefix, c.name FROM operator_sessions s \
     JOIN api_keys k ON k.hash = s.key_hash JOIN clients c ON c.id = k.client_id \
     WHERE s.hash = $1 AND s.expires_at > $2 AND k.revoked_at IS NULL AND k.operator";
pub(super) const CLOSE_SESSION: &str = "DELETE FROM operator_sessions WHERE hash = $1";

pub(super) const AUDIT: &str =
    "INSERT INTO audit_log (id, at, who, key_prefix, act, what) VALUES ($1, $2, $3, $4, $5, $6)";
pub(super) const AUDIT_LOG: &str = "SELECT id, at, who, key_prefix, act, what FROM audit_log WHERE id < $1 \
     ORDER BY id DESC LIMIT $2";

/// By the index verifications_of_number.
pub(super) const SEARCH_PHONE: &str =
    "SELECT id FROM verifications WHERE phone = $1 ORDER BY id DESC LIMIT $2";
pub(super) const CLIENT_NAMES: &str = "SELECT id, name FROM clients";
pub(super) const MESSAGES: &str = concat!(
    "SELECT ",
    super::rows::message_columns!(),
    " FROM messages WHERE verification_id = $1 ORDER BY seq"
);
pub(super) const NUMBER: &str =
    concat!("SELECT ", super::rows::number_columns!(), " FROM numbers WHERE phone = $1");
pub(super) const CLIENT_NUMBERS: &str =
    concat!("SELECT ", super::rows::client_number_columns!(), " FROM client_numbers WHERE phone = $1");
/// One row, so its lock is in everybody's order. Whoever is just inserting the number is waited for; whoever inserts it
/// after this tries again and finds it.
pub(super) const BLOCK_EVERYWHERE: &str = "INSERT INTO numbers \
     (phone, otp_count, ambiguous_count, asked, blocked_until, block_reason) VALUES ($1, 0, 0, '', $2, $3) \
     ON CONFLICT (phone) DO UPDATE SET blocked_until = excluded.blocked_until, block_reason = excluded.block_reason";
pub(super) const UNBLOCK_EVERYWHERE: &str =
    "UPDATE numbers SET blocked_until = NULL, block_reason = NULL WHERE phone = $1";

pub(super) const PAUSE: &str =
    "INSERT INTO pauses (one, since, who, reason) VALUES (1, $1, $2, $3) ON CONFLICT (one) DO NOTHING";
pub(super) const RESUME: &str = "DELETE FROM pauses WHERE one = 1";
pub(super) const PAUSED: &str = "SELECT since, who, reason FROM pauses WHERE one = 1";

pub(super) const REPORT: &str = "UPDATE workers SET state = $2 WHERE id = $1";
pub(super) const WORKERS: &str = "SELECT id, seen_at, state FROM workers";
/// By the index messages_waiting.
pub(super) const WAITING_COUNT: &str = "SELECT count(*) FROM \
     (SELECT 1 FROM messages WHERE state = 'queued' AND due_at <= $1 LIMIT $2) AS waiting";

pub(super) const PUT_SAMPLE: &str =
    "INSERT INTO samples (at, process, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
pub(super) const SAMPLES: &str = "SELECT at, process, body FROM samples WHERE (at, process) > ($1, $2) \
     ORDER BY at, process LIMIT $3";

/// Days in Nepal, by the moment when the gateway answered. A part count that an older release did not keep counts as one.
macro_rules! usage_of {
    ($ids:literal) => {
        concat!(
            "SELECT (m.updated_at + 20700000) / 86400000 AS day, v.client_id, \
             CAST(sum(CASE WHEN m.route = 'gateway' AND m.state = 'sent' THEN 1 ELSE 0 END) AS bigint) AS messages, \
             CAST(sum(CASE WHEN m.route = 'gateway' AND m.state = 'sent' THEN coalesce(m.parts, 1) ELSE 0 END) AS bigint) \
             AS parts, \
             CAST(sum(CASE WHEN m.route = 'gateway' THEN m.ambiguous * coalesce(m.parts, 1) ELSE 0 END) AS bigint) \
             AS uncertain, \
             CAST(sum(CASE WHEN m.route = 'gateway' AND m.state = 'failed' THEN 1 ELSE 0 END) AS bigint) AS failed, \
             CAST(sum(CASE WHEN m.route <> 'gateway' AND m.state = 'sent' THEN 1 ELSE 0 END) AS bigint) AS unbilled \
             FROM messages m JOIN verifications v ON v.id = m.verification_id WHERE ",
            $ids,
            " GROUP BY 1, 2"
        )
    };
}
/// By the primary keys, which sort by time.
pub(super) const USAGE_BETWEEN: &str = usage_of!("m.verification_id >= $1 AND m.verification_id < $2");
pub(super) const USAGE_SINCE: &str = usage_of!("m.verification_id >= $1");
pub(super) const USAGE_DAYS: &str =
    "SELECT day, client_id, messages, parts, uncertain, failed, unbilled FROM usage_days WHERE day >= $1";
pub(super) const ADD_USAGE: &str = "INSERT INTO usage_days AS d \
     (day, client_id, messages, parts, uncertain, failed, unbilled) VALUES ($1, $2, $3, $4, $5, $6, $7) \
     ON CONFLICT (day, client_id) DO UPDATE SET messages = d.messages + excluded.messages, \
     parts = d.parts + excluded.parts, uncertain = d.uncertain + excluded.uncertain, \
     failed = d.failed + excluded.failed, unbilled = d.unbilled + excluded.unbilled";
/// Whoever moves it on from where it stood adds the rows; everybody else has come too late.
pub(super) const ADVANCE: &str = "UPDATE usage_progress SET until = $2 WHERE one = 1 AND until = $1";
pub(super) const BEGIN_PROGRESS: &str =
    "INSERT INTO usage_progress (one, until) VALUES (1, $1) ON CONFLICT (one) DO NOTHING";
pub(super) const PROGRESS: &str = "SELECT until FROM usage_progress WHERE one = 1";
pub(super) const STILL_OPEN: &str = "SELECT count(*) FROM messages \
     WHERE verification_id >= $1 AND verification_id < $2 AND state IN ('queued', 'sending')";
pub(super) const NEXT_VERIFICATION: &str = "SELECT id FROM verifications WHERE id >= $1 ORDER BY id LIMIT 1";

/// The first id of its kind that a moment can have.
pub(super) fn first_id(at: Timestamp) -> Uuid {
    let millis = u128::try_from(at.as_millis()).unwrap_or(0);
    Uuid::from_u128(millis << 80)
}

/// The moment in an id.
pub(super) fn moment_of(id: Uuid) -> Timestamp {
    Timestamp::from_millis(i64::try_from(id.as_u128() >> 80).unwrap_or(i64::MAX))
}

/// Adds rows of one client and day together, and names the clients.
pub(super) fn add_up(rows: Vec<UsageRow>, names: &[(Uuid, String)]) -> Vec<Usage> {
    let mut sums = std::collections::BTreeMap::<_, UsageSum>::new();
    for row in rows {
        let name = names.iter().find(|(id, _)| *id == row.client_id).map_or("?", |(_, name)| name);
        let key = (std::cmp::Reverse(row.day), name.to_owned(), row.client_id);
        *sums.entry(key).or_default() += row.sum();
    }
    let usage = |((day, client_name, client), sum): ((std::cmp::Reverse<i64>, _, _), _)| Usage {
        day: Day::from_number(day.0),
        client,
        client_name,
        sum,
    };
    sums.into_iter().map(usage).filter(|usage| usage.sum != UsageSum::default()).collect()
}

#[derive(Debug, Clone, FromRow)]
pub(super) struct UsageRow {
    pub(super) day: i64,
    pub(super) client_id: Uuid,
    pub(super) messages: i64,
    pub(super) parts: i64,
    pub(super) uncertain: i64,
    pub(super) failed: i64,
    pub(super) unbilled: i64,
}

impl UsageRow {
    fn sum(&self) -> UsageSum {
        let Self { messages, parts, uncertain, failed, unbilled, .. } = *self;
        UsageSum { messages, parts, uncertain, failed, unbilled }
    }
}

#[derive(FromRow)]
pub(super) struct OperatorRow {
    hash: Vec<u8>,
    prefix: String,
    name: String,
}

impl TryFrom<OperatorRow> for Operator {
    type Error = StoreError;
    fn try_from(row: OperatorRow) -> Result<Self, StoreError> {
        let key = row.hash.try_into().map_err(|_| corrupt("hash"))?;
        Ok(Self { key, prefix: row.prefix, name: row.name })
    }
}

#[derive(FromRow)]
pub(super) struct AuditRow {
    id: Uuid,
    at: Timestamp,
    who: String,
    key_prefix: String,
    act: String,
    what: String,
}

impl TryFrom<AuditRow> for AuditEntry {
    type Error = StoreError;
    fn try_from(row: AuditRow) -> Result<Self, StoreError> {
        let AuditRow { id, at, who, key_prefix, act, what } = row;
        Ok(Self { id, at, who, key_prefix, act: act.parse().map_err(|_| corrupt("act"))?, what })
    }
}

#[derive(FromRow)]
pub(super) struct PauseRow {
    since: Timestamp,
    who: String,
    reason: String,
}

impl From<PauseRow> for Pause {
    fn from(row: PauseRow) -> Self {
        Self { since: row.since, by: row.who, reason: row.reason }
    }
}

#[derive(FromRow)]
pub(super) struct WorkerRow {
    id: Uuid,
    seen_at: Timestamp,
    state: String,
}

impl From<WorkerRow> for WorkerRecord {
    fn from(row: WorkerRow) -> Self {
        // Of another release it may be anything; it is for people to look at.
        Self { id: row.id, seen_at: row.seen_at, state: serde_json::from_str(&row.state).ok() }
    }
}

#[derive(FromRow)]
pub(super) struct SampleRow {
    at: Timestamp,
    process: Uuid,
    body: String,
}

impl From<SampleRow> for StoredSample {
    fn from(row: SampleRow) -> Self {
        Self { process: row.process, at: row.at, body: row.body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hulak_common::rng::Rng;

    #[test]
    fn ids_and_moments_agree() {
        let at = Timestamp::from_millis(1_800_000_000_123);
        let id = Rng::seeded(1).uuid_v7(at);
        assert_eq!(moment_of(id), at);
        let next = Timestamp::from_millis(at.as_millis() + 1);
        assert!(first_id(at) <= id && id < first_id(next));
    }
}
