//! The seam to the database: one set of decisions (`decide`), two places that keep the rows.
//!
//! The hot calls take batches, because a commit shared by a hundred requests costs about as much as a commit for one.
//! Every answer is per item: one item's trouble never fails its neighbours.

mod account_session;
mod accounts;
mod changes;
mod claims;
mod clients;
mod decide;
mod error;
mod list;
mod monitor;
mod operators;
mod page_session;
mod pages;
mod postgres;
mod rows;
mod runner;
mod sqlite;
mod transaction;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hulak_runtime::metrics::CheckResult;
use uuid::Uuid;

use hulak_common::account::Account;
use hulak_common::client::{ClientRecord, ClientSettings, KeyRecord, NewKey, SettingsChange};
use hulak_common::code::{Code, CodeLength};
use hulak_common::idempotency::Remember;
use hulak_common::job::{MessageId, StatusEvent};
use hulak_common::limits::LimitReached;
use hulak_common::phone::PhoneNumber;
use hulak_common::phone_record::NumberReport;
use hulak_common::time::Timestamp;
use hulak_common::verification::{LiveKey, Locale, Route, Verification};

pub use accounts::{
    AccountChanged, AccountConflict, AccountList, AccountPatch, AccountStore, GroupPut, GroupRef, NewAccount,
    PutGroup,
};
pub use changes::{Block, Cancel, Canceled, Ended, Resend, Resent};
pub use claims::{AsClaimed, Claim, Claimed, Grant, Outcome, Record, Recorded};
pub use error::StoreError;
pub use list::List;
pub use monitor::{Health, Monitor};
pub use operators::OperatorStore;
pub use pages::{Exchange, Exchanged, NewPage, PageApproval, PageMade, PageStore, Spent};
pub use postgres::Postgres;
pub use runner::Database;
pub use sqlite::Sqlite;

/// A request for a code, parsed and allowed by its credential.
#[derive(Debug, Clone)]
pub struct Create {
    /// The id and salt that a new verification will have.
    pub id: Uuid,
    /// See [`Create::id`].
    pub salt: hulak_common::code::Salt,
    /// What makes it the live one.
    pub key: LiveKey,
    /// Language of its messages.
    pub locale: Locale,
    /// Android SMS Retriever hash.
    pub app_hash: Option<String>,
    /// Web origin its messages are bound to.
    pub origin: Option<String>,
    /// The client application's own name in its messages, as [`hulak_common::sms_template::app_name`] reads it.
    pub app_name: Option<String>,
    /// The caller's own data, a JSON object as text.
    pub metadata: String,
    /// Where its messages go.
    pub route: Route,
    /// Where the person is, for the address's quota.
    pub address: Option<IpAddr>,
    /// How its answer is kept, when it may come twice.
    pub remember: Option<Remember<Created>>,
}

impl Create {
    /// A request with nothing but what it needs: in English, by the gateway, without metadata.
    #[must_use]
    pub fn new(id: Uuid, salt: hulak_common::code::Salt, key: LiveKey) -> Self {
        Self {
            id,
            salt,
            key,
            locale: Locale::En,
            app_hash: None,
            origin: None,
            app_name: None,
            metadata: "{}".to_owned(),
            route: Route::Gateway,
            address: None,
            remember: None,
        }
    }
}

/// What became of a [`Create`].
#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    /// A new verification with its first message.
    New(Verification),
    /// The live one, with another message added, or with its last one still on its way.
    Again {
        /// It.
        verification: Verification,
        /// Whether a message was added.
        added: bool,
    },
    /// The live one, unchanged: it is too early for another message.
    Live(Verification),
    /// The number is blocked within this client.
    Blocked {
        /// Until when.
        until: Timestamp,
    },
    /// The account cannot have this number.
    Account(AccountConflict),
    /// A limit is reached; nothing was changed.
    Limited(LimitReached),
    /// It came before, and was answered like this.
    Answered(String),
    /// Its idempotency key was used for another request.
    KeyReused,
}

impl Created {
    /// The message to publish, if this made one.
    #[must_use]
    pub fn to_publish(&self) -> Option<MessageId> {
        match self {
            Self::New(verification) | Self::Again { verification, added: true } => {
                Some(verification.newest_message())
            }
            _ => None,
        }
    }
}

/// A code to check.
#[derive(Debug, Clone)]
pub struct Check {
    /// Whose verification it must be.
    pub client: Uuid,
    /// Which.
    pub id: Uuid,
    /// What was typed.
    pub code: Code,
    /// How its answer is kept, when it may come twice.
    pub remember: Option<Remember<Checked>>,
}

/// What became of a [`Check`].
#[derive(Debug, Clone, PartialEq)]
pub enum Checked {
    /// It was right, and the first to be.
    Approved(Verification),
    /// The same, for an account, as it is from now on.
    ApprovedFor(Verification, Box<Account>),
    /// It was right, but the account cannot have this number any more.
    Account(AccountConflict),
    /// It was wrong.
    Incorrect(Verification),
    /// It is not digits of the right length; nothing was spent.
    Malformed(CodeLength),
    /// Too late.
    Expired,
    /// Somebody was first.
    AlreadyApproved,
    /// It was taken back.
    Canceled,
    /// The verification has failed, or the number's budget is spent.
    TooMany(LimitReached),
    /// This client has no such verification.
    NotFound,
    /// The secret its codes were made with is not known here.
    UnknownKey,
    /// It came before, and was answered like this.
    Answered(String),
    /// Its idempotency key was used for another request.
    KeyReused,
}

impl Checked {
    /// What the metrics count it as.
    const fn result(&self) -> CheckResult {
        match self {
            Self::Approved(_) | Self::ApprovedFor(..) => CheckResult::Approved,
            Self::Account(_) => CheckResult::AccountConflict,
            Self::Incorrect(_) => CheckResult::Incorrect,
            Self::Malformed(_) => CheckResult::Malformed,
            Self::Expired => CheckResult::Expired,
            Self::AlreadyApproved => CheckResult::AlreadyApproved,
            Self::Canceled => CheckResult::Canceled,
            Self::TooMany(_) => CheckResult::TooMany,
            Self::NotFound => CheckResult::NotFound,
            Self::UnknownKey => CheckResult::UnknownKey,
            Self::Answered(_) => CheckResult::Replayed,
            Self::KeyReused => CheckResult::KeyReused,
        }
    }
}

/// What a sweep of the reaper did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Verifications that expired.
    pub expired: usize,
    /// Claims whose lease had run out.
    pub leases: usize,
    /// Whether there was more than one sweep takes.
    pub more: bool,
}

/// How much is to be done, and by how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Messages that are due to be published by a relay, up to [`Load::MOST`].
    pub outbox: u32,
    /// Workers that live.
    pub workers: u32,
}

impl Load {
    /// Counting ends here: beyond it only the trouble counts, and counting costs.
    pub const MOST: u32 = 10_000;
}

/// A process's counters at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSample {
    /// The process, with a new id at every start.
    pub process: Uuid,
    /// When.
    pub at: Timestamp,
    /// The counters, as text.
    pub body: String,
}

/// What the connections to the database do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// They work.
    pub busy: u32,
    /// They wait for work.
    pub idle: u32,
}

impl Connections {
    /// Those of some pools together.
    fn of<'a, D: sqlx::Database>(pools: impl IntoIterator<Item = &'a sqlx::Pool<D>>) -> Self {
        pools.into_iter().fold(Self { busy: 0, idle: 0 }, |sum, pool| {
            let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
            // Read one after the other, while both move.
            Self { busy: sum.busy + pool.size().saturating_sub(idle), idle: sum.idle + idle }
        })
    }
}

/// Answers, and the changes that pollers want to hear of.
#[derive(Debug)]
pub struct Batch<T> {
    /// One answer per item, in order.
    pub answers: Vec<Result<T, Arc<StoreError>>>,
    /// What changed.
    pub events: Vec<StatusEvent>,
}

impl<T> Batch<T> {
    fn done((answers, events): (Vec<T>, Vec<StatusEvent>)) -> Self {
        Self { answers: answers.into_iter().map(Ok).collect(), events }
    }

    fn failed(items: usize, error: StoreError) -> Self {
        let error = Arc::new(error);
        Self { answers: (0..items).map(|_| Err(Arc::clone(&error))).collect(), events: Vec::new() }
    }
}

/// Who an API key belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOwner {
    /// The client application; also the `aud` of its approval tokens.
    pub client: Uuid,
    /// Its name.
    pub client_name: String,
    /// Whether it is an operator's key.
    pub operator: bool,
    /// What is set for the client.
    pub settings: ClientSettings,
}

/// The database.
#[async_trait]
pub trait Store: AccountStore + OperatorStore + PageStore + Send + Sync + std::fmt::Debug + 'static {
    /// Brings the schema up to date, under a lock so that many may try at once. A newer schema is an error.
    async fn migrate(&self) -> Result<(), StoreError>;
    /// What the database's clock says, for [`hulak_common::clock::Clock::calibrate`].
    async fn time(&self) -> Result<Timestamp, StoreError>;

    /// Records requests for codes.
    async fn create(&self, batch: &[Create], now: Timestamp) -> Batch<Created>;
    /// Checks codes. There is no other way to `approved`.
    async fn check(&self, batch: &[Check], now: Timestamp) -> Batch<Checked>;
    /// Sends a code again.
    async fn resend(&self, batch: &[Resend], now: Timestamp) -> Batch<Resent>;
    /// Takes verifications back.
    async fn cancel(&self, batch: &[Cancel], now: Timestamp) -> Batch<Canceled>;
    /// Reads verifications of a client.
    async fn verifications(&self, batch: &[(Uuid, Uuid)]) -> Batch<Option<Verification>>;
    /// Reads a number.
    async fn number(&self, client: Uuid, phone: PhoneNumber) -> Result<NumberReport, StoreError>;

    /// Claims messages for sending.
    async fn claim(&self, batch: &[Claim], now: Timestamp) -> Batch<Claimed>;
    /// Writes outcomes down.
    async fn record(&self, batch: &[Record], now: Timestamp) -> Batch<Recorded>;

    /// Takes up to `limit` messages whose publishing is due, and puts the others off their track for a moment.
    async fn take_due(&self, limit: u32, now: Timestamp) -> Result<Vec<MessageId>, StoreError>;
    /// Notes that the broker has these, so that the relay leaves them alone for a while. Each comes with the time of its publishing:
    /// a message whose due time came later has been tried since, and is the relay's again.
    async fn confirm_published(&self, confirmed: &[(MessageId, Timestamp)]) -> Result<(), StoreError>;
    /// Expires verifications and takes back claims, a bounded number of each.
    async fn reap(&self, limit: u32, now: Timestamp) -> Result<(Reaped, Vec<StatusEvent>), StoreError>;

    /// Since when the message that has waited longest has been waiting for a worker; `None` when none waits. Time before
    /// a message's due time (a pace, a pause before another try) is not waiting.
    async fn waiting_since(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError>;

    /// How much is to be done, and by how many.
    async fn load(&self, now: Timestamp) -> Result<Load, StoreError>;
    /// What the connections to the database do.
    fn connections(&self) -> Connections;

    /// Lists a client's verifications.
    async fn list(&self, list: &List, now: Timestamp) -> Result<Vec<Verification>, StoreError>;
    /// Blocks a number within a client, or lifts the block, which also forgets its wrong codes.
    async fn block(&self, block: &Block, now: Timestamp) -> Result<(), StoreError>;
    /// Deletes up to `limit` of what no longer counts: quotas that are whole again, answers too old to be
    /// given again, pages that ended long ago.
    async fn forget(&self, limit: u32, now: Timestamp) -> Result<(), StoreError>;

    /// Says that a worker lives, and answers how many do.
    async fn heartbeat(&self, worker: Uuid, now: Timestamp) -> Result<u32, StoreError>;
    /// Says that a worker is leaving.
    async fn leave(&self, worker: Uuid) -> Result<(), StoreError>;

    /// Installs a key; doing it again changes nothing. Answers the client's id.
    async fn install_key(&self, key: &NewKey, id: Uuid, now: Timestamp) -> Result<Uuid, StoreError>;
    /// Finds who holds the key with this hash.
    async fn find_key(&self, hash: &[u8; 32]) -> Result<Option<KeyOwner>, StoreError>;
    /// Every key there is or was, by the names of their clients, the oldest first.
    async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError>;
    /// Revokes the key with this hash, and answers since when it is revoked; `None` when there is no such key.
    async fn revoke_key(&self, hash: &[u8; 32], now: Timestamp) -> Result<Option<Timestamp>, StoreError>;
    /// Every client, by name.
    async fn clients(&self) -> Result<Vec<ClientRecord>, StoreError>;
    /// Changes a client's settings, and answers what they are now; `None` when there is no client of that name.
    async fn change_client(
        &self,
        name: &str,
        change: &SettingsChange,
    ) -> Result<Option<ClientRecord>, StoreError>;

    /// Closes the connections.
    async fn close(&self);
}

/// A worker that has not been heard of for this long is dead.
pub const WORKER_TTL: Duration = Duration::from_secs(3);

/// How long a dead worker is remembered.
const WORKER_FORGOTTEN: Duration = Duration::from_secs(60);

/// How long a message that a relay has taken is left to it.
const RELAY_GRACE_MS: i64 = 5_000;
/// How long after the broker's first confirm a message is published again; doubles with each. Well below the default of
/// `HULAK_MAX_BACKLOG_AGE`: a job that got lost is no sign that the workers are behind.
const CONFIRMED_MS: i64 = 30_000;

/// Hands each asker the row it asked for, when it is its client's.
fn deal(batch: &[(Uuid, Uuid)], found: Result<Vec<Verification>, StoreError>) -> Batch<Option<Verification>> {
    let answers = match found {
        Ok(rows) => {
            let rows: std::collections::HashMap<_, _> = rows.into_iter().map(|row| (row.id, row)).collect();
            let pick =
                |(client, id): &(Uuid, Uuid)| rows.get(id).filter(|row| row.key.client == *client).cloned();
            batch.iter().map(|item| Ok(pick(item))).collect()
        }
        Err(error) => {
            let error = Arc::new(error);
            batch.iter().map(|_| Err(Arc::clone(&error))).collect()
        }
    };
    Batch { answers, events: Vec::new() }
}
