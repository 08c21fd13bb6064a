//! The decisions, written once for both databases: load and lock, decide in memory, write back.

/// Decisions about one item each: what is rare or made by hand gains nothing from batches.
macro_rules! each {
    ($name:ident, $one:ident: $item:ty => $answer:ty) => {
        pub(crate) async fn $name<S: Transaction>(
            tx: &mut S,
            _rules: &Rules,
            batch: &[$item],
            now: Timestamp,
        ) -> Result<Answers<$answer>> {
            let mut answers = Vec::with_capacity(batch.len());
            for item in batch {
                answers.push($one(tx, item, now).await?);
            }
            Ok((answers, Effects::default()))
        }
    };
}

// After the macro, which they use.
mod accounts;
mod accounts_involved;
mod block;
mod cancel;
mod check;
mod claim;
mod create;
mod idempotency;
mod pages;
mod quota;
mod reap;
mod record;
mod resend;

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use uuid::Uuid;

use crate::error::{Result, StoreError};
use crate::requests::claims::{MessageBundle, RowVersion};
use crate::tables::bundles::{RowVersions, Versioned, Written};
use crate::tables::client_numbers::ClientPhone;
use crate::transaction::Transaction;
use hulak_common::job::{MessageId, StatusEvent};
use hulak_common::phone::PhoneNumber;
use hulak_common::phone_record::{ClientNumber, Number};
use hulak_common::rate_limit::Allowance;
use hulak_common::verification::{Delivery, Message, Route, Status, Verification};
use hulak_runtime::metrics::Fact;

pub(super) use accounts::{
    change_account, create_account, delete_account, delete_group, list_accounts, list_groups, put_group,
};
pub(super) use block::block;
pub(super) use cancel::cancel;
pub(super) use check::check;
pub(super) use claim::{claim, claim_unlocked};
pub(super) use create::create;
pub(super) use pages::{
    PageRef, Settled, exchange, make_page, offer_approval, read_page, settle_page, spend_page,
};
pub(super) use reap::{expire, lapsed, overdue, take_back};
pub(super) use record::{record, record_unlocked};
pub(super) use resend::resend;

/// Answers in the order of the batch, and what else came of it.
pub(super) type Answers<T> = (Vec<T>, Effects);

/// What a transaction did, once it is committed.
#[derive(Default)]
pub(super) struct Effects {
    /// What pollers want to hear of.
    pub(super) events: Vec<StatusEvent>,
    /// What is counted.
    pub(super) facts: Vec<Fact>,
}

/// LoadedRows under work: what was loaded, what became of it, and what has to be written.
struct LoadedRows<K, T: Stateful> {
    rows: HashMap<K, Loaded<T>>,
}

struct Loaded<T: Stateful> {
    value: T,
    /// Its state as it was loaded; `None` when it is new.
    before: Option<T::State>,
    changed: bool,
    /// What it was read with, when it is not locked.
    version: Option<RowVersion>,
}

/// A row with a state whose changes are counted.
trait Stateful {
    type State: Copy;
    fn state(&self) -> Self::State;
}

macro_rules! stateful {
    ($($row:ty: $state:ty = $get:expr),+ $(,)?) => {
        $(impl Stateful for $row {
            type State = $state;
            fn state(&self) -> $state {
                let get: fn(&$row) -> $state = $get;
                get(self)
            }
        })+
    };
}

stateful!(
    Verification: Status = |row| row.status,
    Message: Delivery = |row| row.state,
    Number: () = |_| (),
    ClientNumber: () = |_| (),
    Allowance: () = |_| (),
);

impl<K: Eq + Hash, T: Stateful> LoadedRows<K, T> {
    fn load(rows: Vec<T>, key: impl Fn(&T) -> K) -> Self {
        Self::load_versioned(rows.into_iter().map(|row| (row, None)), key)
    }

    fn load_versioned(
        rows: impl IntoIterator<Item = (T, Option<RowVersion>)>,
        key: impl Fn(&T) -> K,
    ) -> Self {
        let row = |(value, version): (T, _)| {
            (key(&value), Loaded { before: Some(value.state()), value, changed: false, version })
        };
        Self { rows: rows.into_iter().map(row).collect() }
    }

    fn get(&self, key: K) -> Option<&T> {
        self.rows.get(&key).map(|row| &row.value)
    }

    /// The row for changing; it will be written.
    fn change(&mut self, key: K) -> Option<&mut T> {
        self.rows.get_mut(&key).map(|row| {
            row.changed = true;
            &mut row.value
        })
    }

    /// The row for changing, made when there is none.
    fn change_or(&mut self, key: K, new: impl FnOnce() -> T) -> &mut T {
        let row = self.rows.entry(key).or_insert_with(|| Loaded {
            value: new(),
            before: None,
            changed: true,
            version: None,
        });
        row.changed = true;
        &mut row.value
    }

    fn inserted(&self) -> Vec<&T> {
        self.rows.values().filter(|row| row.before.is_none()).map(|row| &row.value).collect()
    }

    fn updated(&self) -> Vec<&T> {
        self.rows.values().filter(|row| row.before.is_some() && row.changed).map(|row| &row.value).collect()
    }

    /// What was changed, in the order locks are taken in, with the versions it was read with; `None` when one has none.
    fn versioned<O: Ord>(&self, order: impl Fn(&T) -> O) -> Option<(Vec<&T>, Vec<RowVersion>)> {
        let mut changed: Vec<_> = self.rows.values().filter(|row| row.changed).collect();
        changed.sort_by_key(|row| order(&row.value));
        let versions = changed.iter().map(|row| row.version).collect::<Option<_>>()?;
        Some((changed.into_iter().map(|row| &row.value).collect(), versions))
    }
}

impl LoadedRows<Uuid, Verification> {
    /// What became of these, as news and as facts.
    fn effects(&self) -> Effects {
        let events = self.updated().into_iter().map(|row| StatusEvent { id: row.id, version: row.version });
        let mut effects = Effects { events: events.collect(), facts: Vec::new() };
        for Loaded { value, before, changed, .. } in self.rows.values() {
            let phone = value.key.phone;
            match (before, value.status) {
                (None, _) => effects.facts.push(Fact::Created { phone }),
                (Some(Status::Pending), status) if *changed && status != Status::Pending => {
                    let after = value.ended_at.unwrap_or(value.created_at) - value.created_at;
                    effects.facts.push(Fact::Ended { phone, status, after });
                }
                _ => {}
            }
        }
        effects
    }
}

impl Effects {
    /// With what became of messages that were there.
    fn and(mut self, messages: &Messages) -> Self {
        for Loaded { value, before, changed, .. } in messages.rows.values() {
            let ended = *changed && before.is_some_and(Delivery::is_open) && !value.state.is_open();
            if ended && value.route == Route::Gateway {
                self.facts.push(Fact::Final {
                    phone: value.phone,
                    outcome: value.state,
                    fault: value.error.map(|error| error.code),
                    after: value.updated_at - value.created_at,
                    parts: value.parts.and_then(|parts| u64::try_from(parts).ok()).unwrap_or(0),
                });
            }
        }
        self
    }

    /// With messages that were added.
    fn and_new(mut self, messages: &[Message]) -> Self {
        let ours = messages.iter().filter(|message| message.route == Route::Gateway);
        self.facts.extend(ours.map(|message| Fact::Requested { phone: message.phone }));
        self
    }
}

type Numbers = LoadedRows<PhoneNumber, Number>;
type ClientNumbers = LoadedRows<ClientPhone, ClientNumber>;
type Verifications = LoadedRows<Uuid, Verification>;
type Messages = LoadedRows<MessageId, Message>;

/// What a worker's transaction works on: messages with their verifications and numbers, locked in that order's reverse.
struct UnitOfWork {
    numbers: Numbers,
    verifications: Verifications,
    messages: Messages,
}

impl UnitOfWork {
    async fn lock<S: Transaction>(tx: &mut S, ids: &[MessageId]) -> Result<Self> {
        let bundles = tx.lock_bundles(&sorted(ids.iter().copied())).await?;
        Ok(Self::of(bundles.into_iter().map(|bundle| (bundle, None))))
    }

    /// The same without locks: what is changed is [saved](Self::save_unlocked) only if no other transaction has changed it meanwhile.
    async fn read<S: Transaction>(tx: &mut S, ids: &[MessageId]) -> Result<Self> {
        let bundles = tx.read_bundles(&sorted(ids.iter().copied())).await?;
        Ok(Self::of(bundles.into_iter().map(|(bundle, versions)| (bundle, Some(versions)))))
    }

    fn of(bundles: impl IntoIterator<Item = (MessageBundle, Option<RowVersions>)>) -> Self {
        let (mut numbers, mut verifications, mut messages) = (Vec::new(), Vec::new(), Vec::new());
        for ((number, verification, message), versions) in bundles {
            numbers.push((number, versions.map(|versions| versions[0])));
            verifications.push((verification, versions.map(|versions| versions[1])));
            messages.push((message, versions.map(|versions| versions[2])));
        }
        Self {
            numbers: LoadedRows::load_versioned(numbers, |row| row.phone),
            verifications: LoadedRows::load_versioned(verifications, |row| row.id),
            messages: LoadedRows::load_versioned(messages, |row| row.id),
        }
    }

    /// A message with its verification and number, taken out; `None` when one of them went with another message.
    fn take(&mut self, id: MessageId) -> Option<MessageBundle> {
        let message = self.messages.rows.remove(&id)?.value;
        let verification = self.verifications.rows.remove(&id.verification)?.value;
        let number = self.numbers.rows.remove(&message.phone)?.value;
        Some((number, verification, message))
    }

    /// A message with its verification and number, for changing; `None` when there is no such message.
    fn change(&mut self, id: MessageId) -> Option<(&mut Number, &mut Verification, &mut Message)> {
        let message = self.messages.change(id)?;
        let verification = self.verifications.change(id.verification)?;
        let number = self.numbers.change(message.phone)?;
        Some((number, verification, message))
    }

    fn view(&self, id: MessageId) -> Option<(&Number, &Verification, &Message)> {
        let message = self.messages.get(id)?;
        Some((self.numbers.get(message.phone)?, self.verifications.get(id.verification)?, message))
    }

    async fn save<S: Transaction>(&self, tx: &mut S) -> Result<Effects> {
        let (numbers, verifications) = (self.numbers.updated(), self.verifications.updated());
        tx.update(&Written { numbers, verifications, messages: self.messages.updated() }).await?;
        Ok(self.effects())
    }

    /// Writes what was changed, and gives the version that it has then. [`StoreError::Conflict`] when that needs locks.
    async fn save_unlocked<S: Transaction>(&self, tx: &mut S) -> Result<(Option<RowVersion>, Effects)> {
        if self.messages.updated().is_empty() {
            return Ok((None, self.effects()));
        }
        let version = tx.update_unlocked(&self.versioned()?).await?;
        Ok((Some(version), self.effects()))
    }

    fn versioned(&self) -> Result<Versioned<'_>> {
        let needs_locks = || StoreError::Conflict("what is changed has to be locked".to_owned());
        // Every transaction locks a message after its number: one that is written without its number could be waited for in a
        // circle.
        let alone =
            |message: &&Message| !self.numbers.rows.get(&message.phone).is_some_and(|row| row.changed);
        if self.messages.updated().iter().any(alone) {
            return Err(needs_locks());
        }
        let (number_rows, numbers) = self.numbers.versioned(|row| row.phone).ok_or_else(needs_locks)?;
        let (verification_rows, verifications) =
            self.verifications.versioned(|row| (row.key.phone, row.id)).ok_or_else(needs_locks)?;
        let (message_rows, messages) =
            self.messages.versioned(|row| (row.phone, row.id)).ok_or_else(needs_locks)?;
        let rows = Written { numbers: number_rows, verifications: verification_rows, messages: message_rows };
        Ok(Versioned { rows, numbers, verifications, messages })
    }

    fn effects(&self) -> Effects {
        self.verifications.effects().and(&self.messages)
    }
}

/// Each once, in the order locks are taken in.
fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.map(|item| (item, ())).collect::<BTreeMap<_, _>>().into_keys().collect()
}
