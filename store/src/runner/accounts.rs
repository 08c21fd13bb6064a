//! Accounts and groups over a database.

use async_trait::async_trait;
use uuid::Uuid;

use super::super::accounts::{
    AccountChanged, AccountList, AccountPatch, AccountStore, GroupPut, GroupRef, NewAccount, PutGroup,
};
use super::super::transaction::{Backend, Transaction};
use super::super::{StoreError, decide};
use super::{Database, Effects, Operation};
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

#[expect(private_bounds, reason = "which databases there are is the store's business")]
impl<B: Backend> Database<B> {
    /// A batch of one.
    pub(super) async fn one<O>(&self, operation: &O, item: &O::Item) -> Result<O::Answer, StoreError>
    where
        O: Operation<B::Transaction>,
    {
        let (mut answers, _) = self.transact(operation, std::slice::from_ref(item)).await?;
        answers.pop().ok_or_else(|| StoreError::Corrupt("a decision without an answer".to_owned()))
    }
}

/// What does not depend on the time.
pub(super) const WHENEVER: Timestamp = Timestamp::from_millis(0);

#[async_trait]
impl<B: Backend> AccountStore for Database<B> {
    async fn create_account(&self, new: &NewAccount, now: Timestamp) -> Result<AccountChanged, StoreError> {
        self.one(&CreatingAccount { rules: &self.rules, now }, new).await
    }

    async fn change_account(
        &self,
        patch: &AccountPatch,
        now: Timestamp,
    ) -> Result<AccountChanged, StoreError> {
        self.one(&ChangingAccount { rules: &self.rules, now }, patch).await
    }

    async fn delete_account(&self, client: Uuid, id: Uuid) -> Result<bool, StoreError> {
        self.one(&DeletingAccount { rules: &self.rules, now: WHENEVER }, &(client, id)).await
    }

    async fn accounts(&self, list: &AccountList) -> Result<Vec<Account>, StoreError> {
        self.one(&ListingAccounts { rules: &self.rules, now: WHENEVER }, list).await
    }

    async fn put_group(&self, put: &PutGroup, now: Timestamp) -> Result<GroupPut, StoreError> {
        self.one(&PuttingGroup { rules: &self.rules, now }, put).await
    }

    async fn delete_group(&self, group: &GroupRef) -> Result<bool, StoreError> {
        self.one(&DeletingGroup { rules: &self.rules, now: WHENEVER }, group).await
    }

    async fn groups(&self, client: Uuid) -> Result<Vec<Group>, StoreError> {
        self.one(&ListingGroups { rules: &self.rules, now: WHENEVER }, &client).await
    }
}
