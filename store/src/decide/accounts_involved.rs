//! The accounts behind verifications: who may verify a number for one, who may sign in with it, and what an approval does.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::sorted;
use crate::error::Result;
use crate::requests::accounts::AccountConflict;
use crate::tables::accounts::Wanted;
use crate::tables::client_numbers::ClientPhone;
use crate::transaction::Transaction;
use hulak_common::account::Account;
use hulak_common::time::Timestamp;
use hulak_common::verification::{LiveKey, Purpose, Route};

/// The accounts that a batch of verifications concerns.
#[derive(Default)]
pub(super) struct AccountsInvolved {
    accounts: HashMap<Uuid, Account>,
    changed: BTreeSet<Uuid>,
}

/// What an approval is worth.
pub(super) enum Worth {
    /// The number, and nothing else.
    Number,
    /// An account, too.
    Account(Box<Account>),
    /// No account signs in with this number: no code is right.
    Stranger,
    /// The account cannot have this number any more.
    Refused(AccountConflict),
}

impl AccountsInvolved {
    /// Loads the accounts that these keys name, and those that have the numbers verified. Most batches concern none.
    ///
    /// Two locking statements, each by id, may meet those of another transaction the other way round: the database then
    /// ends one of the two, which is tried again.
    pub(super) async fn load<'a, S: Transaction>(
        tx: &mut S,
        keys: impl Iterator<Item = &'a LiveKey>,
        lock: bool,
    ) -> Result<Self> {
        let keys: Vec<_> = keys.filter(|key| concerns(key)).collect();
        let pairs = sorted(keys.iter().map(|key| (key.client, key.phone)));
        let ids = sorted(keys.iter().filter_map(|key| Some((key.client, key.account?))));
        let mut found = tx.find_accounts(Wanted::Verified(&pairs), lock).await?;
        found.extend(tx.find_accounts(Wanted::Ids(&ids), lock).await?);
        Ok(Self {
            accounts: found.into_iter().map(|account| (account.id, account)).collect(),
            changed: BTreeSet::new(),
        })
    }

    fn owner(&self, pair: ClientPhone) -> Option<&Account> {
        self.accounts.values().find(|account| {
            account.phone_verified && (account.client, account.phone) == (pair.0, Some(pair.1))
        })
    }

    /// The account that signs in with this key.
    fn signing_in(&self, key: &LiveKey) -> Option<&Account> {
        let owner = self.owner((key.client, key.phone)).filter(|owner| owner.is_active)?;
        key.account.is_none_or(|id| id == owner.id).then_some(owner)
    }

    /// Why no verification may be begun with this key.
    pub(super) fn conflict(&self, key: &LiveKey) -> Option<AccountConflict> {
        let id = key.account.filter(|_| key.purpose != Purpose::SignIn)?;
        if self.accounts.get(&id).is_none_or(|account| account.client != key.client) {
            return Some(AccountConflict::Unknown);
        }
        let owner = self.owner((key.client, key.phone))?;
        Some(if owner.id == id { AccountConflict::AlreadyVerified } else { AccountConflict::PhoneTaken })
    }

    /// Where messages go: to a stranger who wants to sign in nothing is sent, and everything else is as ever.
    pub(super) fn route(&self, key: &LiveKey, wanted: Route) -> Route {
        let stranger = key.purpose == Purpose::SignIn && self.signing_in(key).is_none();
        match wanted {
            Route::Gateway | Route::Decoy if stranger => Route::Decoy,
            Route::Decoy => Route::Gateway,
            wanted => wanted,
        }
    }

    /// What the right code for this key is worth.
    pub(super) fn worth(&self, key: &LiveKey) -> Worth {
        if key.purpose == Purpose::SignIn {
            return self
                .signing_in(key)
                .map_or(Worth::Stranger, |owner| Worth::Account(Box::new(owner.clone())));
        }
        let Some(id) = key.account else { return Worth::Number };
        match self.conflict(key) {
            Some(AccountConflict::AlreadyVerified) | None => {
                self.accounts.get(&id).map_or(Worth::Refused(AccountConflict::Unknown), |own| {
                    Worth::Account(Box::new(own.clone()))
                })
            }
            Some(conflict) => Worth::Refused(conflict),
        }
    }

    /// An account as it is.
    pub(super) fn get(&self, account: Uuid) -> Option<Account> {
        self.accounts.get(&account).cloned()
    }

    /// Notes an approval, and answers the account as it is then.
    pub(super) fn approve(&mut self, key: &LiveKey, account: Uuid, now: Timestamp) -> Option<Account> {
        let account = self.accounts.get_mut(&account)?;
        if key.purpose == Purpose::SignIn {
            account.last_login_at = Some(now);
        } else {
            account.phone = Some(key.phone);
            account.phone_verified = true;
            account.updated_at = now.max(account.updated_at);
        }
        self.changed.insert(account.id);
        Some(account.clone())
    }

    pub(super) async fn save<S: Transaction>(&self, tx: &mut S) -> Result<()> {
        for account in self.changed.iter().filter_map(|id| self.accounts.get(id)) {
            tx.update_account(account).await?;
        }
        Ok(())
    }
}

/// Whether an account has anything to do with this verification.
fn concerns(key: &LiveKey) -> bool {
    key.account.is_some() || key.purpose == Purpose::SignIn
}
