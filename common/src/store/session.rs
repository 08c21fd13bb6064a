//! What the decisions need of a database: a transaction that locks, loads and saves rows.

use std::future::Future;

use uuid::Uuid;

use super::account_session::AccountSession;
use super::page_session::PageSession;
use super::{Connections, KeyOwner, List, Load, NewKey, StoreError};
use crate::allowance::{Allowance, AllowanceKey};
use crate::client::{ClientRecord, ClientSettings, KeyRecord, SettingsChange};
use crate::idempotency::KeptAnswer;
use crate::job::MessageId;
use crate::number::{ClientNumber, Number, NumberReport};
use crate::phone::PhoneNumber;
use crate::time::Timestamp;
use crate::verification::{Message, Verification};

pub(super) type Result<T> = std::result::Result<T, StoreError>;

/// A client's number, as a key.
pub(super) type ClientPhone = (Uuid, PhoneNumber);

/// Where sessions come from.
pub(super) trait Backend: Send + Sync + std::fmt::Debug + 'static {
    /// A transaction of this database.
    type Session: Session;

    /// Opens a transaction that can lock and write.
    fn begin(&self) -> impl Future<Output = Result<Self::Session>> + Send;

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

/// One transaction. Whoever drops it without [`Session::commit`] has changed nothing.
///
/// Locks are taken in one order everywhere, which is why no two transactions wait for each other in a circle: allowances,
/// numbers, clients' numbers, verifications, messages, accounts, groups, pages; within each, sorted by key or number. Every `lock_…` sorts by itself.
pub(super) trait Session: AccountSession + PageSession + Send {
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
    /// Inserts numbers; [`StoreError::Conflict`] when another transaction was first.
    fn insert_numbers(&mut self, rows: &[&Number]) -> impl Future<Output = Result<()>> + Send;
    /// Writes locked numbers back.
    fn update_numbers(&mut self, rows: &[&Number]) -> impl Future<Output = Result<()>> + Send;

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

    /// Locks the pending verifications of these numbers.
    fn lock_live(&mut self, phones: &[PhoneNumber])
    -> impl Future<Output = Result<Vec<Verification>>> + Send;
    /// Reads verifications, without locking.
    fn verifications(&mut self, ids: &[Uuid]) -> impl Future<Output = Result<Vec<Verification>>> + Send;
    /// Locks verifications.
    fn lock_verifications(&mut self, ids: &[Uuid]) -> impl Future<Output = Result<Vec<Verification>>> + Send;
    /// Inserts verifications; [`StoreError::Conflict`] when one with the same key is pending.
    fn insert_verifications(&mut self, rows: &[&Verification]) -> impl Future<Output = Result<()>> + Send;
    /// Writes locked verifications back.
    fn update_verifications(&mut self, rows: &[&Verification]) -> impl Future<Output = Result<()>> + Send;

    /// The receivers of messages, without locking.
    fn receivers(
        &mut self,
        ids: &[MessageId],
    ) -> impl Future<Output = Result<Vec<(MessageId, PhoneNumber)>>> + Send;
    /// Locks messages.
    fn lock_messages(&mut self, ids: &[MessageId]) -> impl Future<Output = Result<Vec<Message>>> + Send;
    /// Inserts messages.
    fn insert_messages(&mut self, rows: &[&Message]) -> impl Future<Output = Result<()>> + Send;
    /// Writes locked messages back.
    fn update_messages(&mut self, rows: &[&Message]) -> impl Future<Output = Result<()>> + Send;

    /// Pending verifications past their time, oldest first, without locking.
    fn overdue(&mut self, limit: u32, now: Timestamp) -> impl Future<Output = Result<Vec<Uuid>>> + Send;
    /// Messages whose lease has run out, oldest first, without locking.
    fn lapsed(&mut self, limit: u32, now: Timestamp) -> impl Future<Output = Result<Vec<MessageId>>> + Send;

    /// Undoes it all, and makes the connection fit for the next transaction.
    fn rollback(self) -> impl Future<Output = Result<()>> + Send;

    /// Makes it all true.
    fn commit(self) -> impl Future<Output = Result<()>> + Send;
}
