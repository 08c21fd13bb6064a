//! Accounts and groups: what callers ask, run as decisions.

use uuid::Uuid;

use super::{Effects, Operation, WHENEVER};
use crate::decide;
use crate::error::Result;
use crate::requests::accounts::{
    AccountChanged, AccountList, AccountPatch, GroupPut, GroupRef, NewAccount, PutGroup,
};
use crate::store::Store;
use crate::transaction::Transaction;
use hulak_common::account::{Account, Group};
use hulak_common::rules::Rules;
use hulak_common::time::Timestamp;

operation!(CreatingAccount: NewAccount => AccountChanged, decide::create_account);
operation!(ChangingAccount: AccountPatch => AccountChanged, decide::change_account);
operation!(DeletingAccount: (Uuid, Uuid) => bool, decide::delete_account);
operation!(ListingAccounts: AccountList => Vec<Account>, decide::list_accounts);
operation!(PuttingGroup: PutGroup => GroupPut, decide::put_group);
operation!(DeletingGroup: GroupRef => bool, decide::delete_group);
operation!(ListingGroups: Uuid => Vec<Group>, decide::list_groups);

impl Store {
    /// Makes an account.
    pub async fn create_account(&self, new: &NewAccount, now: Timestamp) -> Result<AccountChanged> {
        self.one(&CreatingAccount { rules: &self.rules, now }, new).await
    }

    /// Changes an account.
    pub async fn change_account(&self, patch: &AccountPatch, now: Timestamp) -> Result<AccountChanged> {
        self.one(&ChangingAccount { rules: &self.rules, now }, patch).await
    }

    /// Deletes an account, and tells whether there was one.
    pub async fn delete_account(&self, client: Uuid, id: Uuid) -> Result<bool> {
        self.one(&DeletingAccount { rules: &self.rules, now: WHENEVER }, &(client, id)).await
    }

    /// Lists accounts.
    pub async fn accounts(&self, list: &AccountList) -> Result<Vec<Account>> {
        self.one(&ListingAccounts { rules: &self.rules, now: WHENEVER }, list).await
    }

    /// Makes a group, or replaces its permissions.
    pub async fn put_group(&self, put: &PutGroup, now: Timestamp) -> Result<GroupPut> {
        self.one(&PuttingGroup { rules: &self.rules, now }, put).await
    }

    /// Deletes a group, and tells whether there was one.
    pub async fn delete_group(&self, group: &GroupRef) -> Result<bool> {
        self.one(&DeletingGroup { rules: &self.rules, now: WHENEVER }, group).await
    }

    /// A client's groups by name, at most as many as it may have.
    pub async fn groups(&self, client: Uuid) -> Result<Vec<Group>> {
        self.one(&ListingGroups { rules: &self.rules, now: WHENEVER }, &client).await
    }
}
