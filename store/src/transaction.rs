//! What the decisions need of a database: a transaction that locks, loads and saves rows.

use std::future::Future;

use uuid::Uuid;

use super::account_session::AccountSession;
use super::page_session::PageSession;
use super::{Connections, KeyOwner, List, Load, StoreError};
use hulak_common::client::NewKey;
use hulak_common::client::{ClientRecord, ClientSettings, KeyRecord, SettingsChange};
use hulak_common::idempotency::KeptAnswer;
use hulak_common::job::MessageId;
use hulak_common::phone::PhoneNumber;
use hulak_common::phone_record::{ClientNumber, Number, NumberReport};
use hulak_common::rate_limit::{Allowance, AllowanceKey};
use hulak_common::time::Timestamp;
use hulak_common::verification::{Message, Verification};

pub(super) type Result<T> = std::result::Result<T, StoreError>;

/// A client's number, as a key.
pub(super) type ClientPhone = (Uuid, PhoneNumber);

/// A message with its verification and its number.
pub(super) type MessageBundle = (Number, Verification, Message);

/// By which a transaction tells whether anybody has written a row since it was read, and where it then stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowVersion {
    /// The transaction that wrote it.
    pub(super) writer: u32,
    /// Where it is stored, if that is known.
    pub(super) place: Option<Ctid>,
}

/// Where this version of a row is stored, as the database says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ctid(pub(super) [u8; 6]);

/// The stamps of what is [`MessageBundle`]: the number's, the verification's and the message's.
pub(super) type RowVersions = [RowVersion; 3];

/// What clients have to do with numbers.
#[derive(Default)]
pub(super) struct Live {
    /// Those that were blocked, perhaps until a time that has passed.
    pub(super) blocked: Vec<ClientNumber>,
    /// Those that are pending.
    pub(super) verifications: Vec<Verification>,
}

/// Rows to be written together, each once.
#[derive(Default)]
pub(super) struct Written<'a> {
    pub(super) numbers: Vec<&'a Number>,
    pub(super) verifications: Vec<&'a Verification>,
    pub(super) messages: Vec<&'a Message>,
}

impl Written<'_> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.numbers.len() + self.verifications.len() + self.messages.len()
    }
}

/// Rows to be written together that are not locked, each with the stamp that it was read with. Each table's are sorted as
/// locks are: by number, then by id.
pub(super) struct Versioned<'a> {
    pub(super) rows: Written<'a>,
    pub(super) numbers: Vec<RowVersion>,
    pub(super) verifications: Vec<RowVersion>,
    pub(super) messages: Vec<RowVersion>,
}

/// Where sessions come from.
pub(super) trait Backend: Send + Sync + std::fmt::Debug + 'static {
    /// A transaction of this database.
    type Transaction: Transaction;

    /// Whether rows have stamps, so that what is not locked can be written safely.
    const STAMPS: bool;

    /// Opens a transaction that can lock and write.
    fn begin(&self) -> impl Future<Output = Result<Self::Transaction>> + Send;
    /// Opens a session in which each statement is a transaction.
    fn autocommit(&self) -> impl Future<Output = Result<Self::Transaction>> + Send;

    // What needs no decision; see the calls of the same names in [`super::Store`].
    fn migrate(&self) -> impl Future<Output = Result<()>> + Send;
    fn time(&self) -> impl Future<Output = Result<Timestamp>> + Send;
    fn verifications(&self, ids: &[Uuid]) -> impl Future<Output = Result<Vec<Verification>>> + Send;
    fn number(&self, client: Uuid, phone: PhoneNumber) -> impl Future<Output = Result<NumberReport>> + Send;
    fn take_due(&self, limit: u32, now: Timestamp) -> impl Future<Output = Result<Vec<MessageId>>> + Send;
    fn confirm_published(
        &self,
        confirmed: &[(MessageId, Timestamp)],
    ) -> impl Future<Output = Result<()>> + Send;
    fn waiting_since(&self, now: Timestamp) -> impl Future<Output = Result<Option<Timestamp>>> + Send;
    fn load(&self, now: Timestamp) -> impl Future<Output = Result<Load>> + Send;
    fn connections(&self) -> Connections;
    fn heartbeat(&self, worker: Uuid, now: Timestamp) -> impl Future<Output = Result<u32>> + Send;
    fn list(&self, list: &List, now: Timestamp) -> impl Future<Output = Result<Vec<Verification>>> + Send;
    fn forget(&self, limit: u32, now: Timestamp) -> impl Future<Output = Result<()>> + Send;
    fn leave(&self, worker: Uuid) -> impl Future<Output = Result<()>> + Send;
    fn install_key(
        &self,
        key: &NewKey,
        id: Uuid,
        now: Timestamp,
    ) -> impl Future<Output = Result<Uuid>> + Send;
    fn find_key(&self, hash: &[u8; 32]) -> impl Future<Output = Result<Option<KeyOwner>>> + Send;
    fn keys(&self) -> impl Future<Output = Result<Vec<KeyRecord>>> + Send;
    fn revoke_key(
        &self,
        hash: &[u8; 32],
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<Timestamp>>> + Send;
    fn clients(&self) -> impl Future<Output = Result<Vec<ClientRecord>>> + Send;
    fn change_client(
        &self,
        name: &str,
        change: &SettingsChange,
    ) -> impl Future<Output = Result<Option<ClientRecord>>> + Send;
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// One transaction. Whoever drops it without [`Transaction::commit`] has changed nothing.
///
/// Locks are taken in one order everywhere, which is why no two transactions wait for each other in a circle: allowances,
/// numbers, clients' numbers, verifications, messages, accounts, groups, pages; within each, sorted by key or number. Every `lock_…` sorts by itself.
pub(super) trait Transaction: AccountSession + PageSession + Send {
    /// Reads the settings of those clients that have limits of their own, without locking.
    fn own_limits(
        &mut self,
        clients: &[Uuid],
    ) -> impl Future<Output = Result<Vec<(Uuid, ClientSettings)>>> + Send;

    /// Locks what is left of quotas; those that are whole are absent.
    fn lock_allowances(
        &mut self,
        keys: &[AllowanceKey],
    ) -> impl Future<Output = Result<Vec<Allowance>>> + Send;
    /// Inserts allowances; [`StoreError::Conflict`] when another transaction was first.
    fn insert_allowances(&mut self, rows: &[&Allowance]) -> impl Future<Output = Result<()>> + Send;
    /// Writes locked allowances back.
    fn update_allowances(&mut self, rows: &[&Allowance]) -> impl Future<Output = Result<()>> + Send;

    /// Reads kept answers, without locking.
    fn answers(&mut self, scopes: &[[u8; 32]]) -> impl Future<Output = Result<Vec<KeptAnswer>>> + Send;
    /// Keeps answers, in place of those from before `since`; [`StoreError::Conflict`] when another transaction was
    /// first.
    fn keep_answers(
        &mut self,
        rows: &[&KeptAnswer],
        since: Timestamp,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Locks the numbers there are; those never seen are absent.
    fn lock_numbers(&mut self, phones: &[PhoneNumber]) -> impl Future<Output = Result<Vec<Number>>> + Send;
    /// Reads clients' numbers, locking them when `lock`; those never seen are absent.
    fn client_numbers(
        &mut self,
        keys: &[ClientPhone],
        lock: bool,
    ) -> impl Future<Output = Result<Vec<ClientNumber>>> + Send;
    /// Inserts clients' numbers; [`StoreError::Conflict`] when another transaction was first.
    fn insert_client_numbers(&mut self, rows: &[&ClientNumber]) -> impl Future<Output = Result<()>> + Send;
    /// Writes locked clients' numbers back.
    fn update_client_numbers(&mut self, rows: &[&ClientNumber]) -> impl Future<Output = Result<()>> + Send;

    /// Reads the clients' numbers that are blocked, and locks the pending verifications of all; the numbers that are known are
    /// locked already, and the others can have none.
    fn lock_live(
        &mut self,
        keys: &[ClientPhone],
        known: impl Fn(PhoneNumber) -> bool + Send + Sync,
    ) -> impl Future<Output = Result<Live>> + Send;
    /// Reads verifications, without locking.
    fn verifications(&mut self, ids: &[Uuid]) -> impl Future<Output = Result<Vec<Verification>>> + Send;
    /// Locks verifications.
    fn lock_verifications(&mut self, ids: &[Uuid]) -> impl Future<Output = Result<Vec<Verification>>> + Send;
    /// Locks messages.
    fn lock_messages(&mut self, ids: &[MessageId]) -> impl Future<Output = Result<Vec<Message>>> + Send;
    /// Locks messages with all that they belong to; those that are not there are absent.
    fn lock_held(&mut self, ids: &[MessageId]) -> impl Future<Output = Result<Vec<MessageBundle>>> + Send;
    /// Reads the same without locking, as of one moment.
    fn read_held(
        &mut self,
        ids: &[MessageId],
    ) -> impl Future<Output = Result<Vec<(MessageBundle, RowVersions)>>> + Send;

    /// Inserts rows; [`StoreError::Conflict`] when another transaction was first with a number, or when a verification with
    /// the same key is pending.
    fn insert(&mut self, rows: &Written<'_>) -> impl Future<Output = Result<()>> + Send;
    /// Writes locked rows back.
    fn update(&mut self, rows: &Written<'_>) -> impl Future<Output = Result<()>> + Send;
    /// Writes rows back that are not locked, all or none, and gives the stamp that they have then. [`StoreError::Conflict`]
    /// when somebody has written one of them since it was read.
    fn update_unlocked(&mut self, rows: &Versioned<'_>) -> impl Future<Output = Result<RowVersion>> + Send;

    /// Pending verifications past their time, oldest first, without locking.
    fn overdue(&mut self, limit: u32, now: Timestamp) -> impl Future<Output = Result<Vec<Uuid>>> + Send;
    /// Messages whose lease has run out, oldest first, without locking.
    fn lapsed(&mut self, limit: u32, now: Timestamp) -> impl Future<Output = Result<Vec<MessageId>>> + Send;

    /// Undoes it all, and makes the connection fit for the next transaction.
    fn rollback(self) -> impl Future<Output = Result<()>> + Send;

    /// Makes it all true.
    fn commit(self) -> impl Future<Output = Result<()>> + Send;
}
