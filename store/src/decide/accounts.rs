//! Accounts and groups: made, changed and deleted by their client application.

use std::collections::HashSet;

use uuid::Uuid;

use super::idempotency::FirstAnswers;
use super::{Answers, Effects};
use crate::error::Result;
use crate::requests::accounts::{
    AccountChanged, AccountList, AccountPatch, GroupPut, GroupRef, NewAccount, PutGroup,
};
use crate::tables::accounts::{Hold, Wanted};
use crate::transaction::Transaction;
use hulak_common::account::{Account, Group, GroupName, MAX_CLIENT_GROUPS, Username};
use hulak_common::idempotency::Recall;
use hulak_common::rules::Rules;
use hulak_common::time::Timestamp;

each!(create_account, create: NewAccount => AccountChanged);
each!(change_account, change: AccountPatch => AccountChanged);
each!(delete_account, delete: (Uuid, Uuid) => bool);
each!(list_accounts, list: AccountList => Vec<Account>);
each!(put_group, put: PutGroup => GroupPut);
each!(delete_group, ungroup: GroupRef => bool);
each!(list_groups, groups: Uuid => Vec<Group>);

async fn create<S: Transaction>(tx: &mut S, new: &NewAccount, now: Timestamp) -> Result<AccountChanged> {
    let mut first_answers = FirstAnswers::load(tx, std::iter::once(new.remember.as_ref())).await?;
    match first_answers.recall(new.remember.as_ref(), now) {
        Recall::Answered(text) => return Ok(AccountChanged::Answered(text)),
        Recall::Reused => return Ok(AccountChanged::KeyReused),
        Recall::First => {}
    }
    if taken(tx, new.client, &new.username, None).await? {
        return Ok(AccountChanged::UsernameTaken);
    }
    let groups = match members(tx, new.client, &new.groups).await? {
        Ok(groups) => groups,
        Err(unknown) => return Ok(AccountChanged::UnknownGroups(unknown)),
    };
    let account = Account {
        id: new.id,
        client: new.client,
        username: new.username.clone(),
        first_name: new.first_name.clone(),
        last_name: new.last_name.clone(),
        email: new.email.clone(),
        phone: new.phone,
        phone_verified: false,
        is_active: true,
        groups: Vec::new(),
        permissions: Vec::new(),
        created_at: now,
        updated_at: now,
        last_login_at: None,
    };
    tx.insert_account(&account).await?;
    tx.set_memberships(account.id, &groups).await?;
    let answer = written(tx, account.client, account.id).await?;
    first_answers.keep(new.remember.as_ref(), &answer, now);
    first_answers.save(tx, now).await?;
    Ok(answer)
}

async fn change<S: Transaction>(tx: &mut S, patch: &AccountPatch, now: Timestamp) -> Result<AccountChanged> {
    let Some(mut account) = find(tx, patch.client, patch.id).await? else {
        return Ok(AccountChanged::NotFound);
    };
    if let Some(username) = &patch.username {
        if taken(tx, patch.client, username, Some(account.id)).await? {
            return Ok(AccountChanged::UsernameTaken);
        }
        account.username = username.clone();
    }
    if let Some(name) = &patch.first_name {
        account.first_name = name.clone();
    }
    if let Some(name) = &patch.last_name {
        account.last_name = name.clone();
    }
    if let Some(email) = &patch.email {
        account.email.clone_from(email);
    }
    if let Some(phone) = patch.phone {
        // What was proved was proved of the other number.
        account.phone_verified &= account.phone == phone;
        account.phone = phone;
    }
    if let Some(is_active) = patch.is_active {
        account.is_active = is_active;
    }
    if let Some(names) = &patch.groups {
        match members(tx, patch.client, names).await? {
            Ok(groups) => tx.set_memberships(account.id, &groups).await?,
            Err(unknown) => return Ok(AccountChanged::UnknownGroups(unknown)),
        }
    }
    account.updated_at = now.max(account.updated_at);
    tx.update_account(&account).await?;
    written(tx, account.client, account.id).await
}

async fn delete<S: Transaction>(tx: &mut S, (client, id): &(Uuid, Uuid), _now: Timestamp) -> Result<bool> {
    let found = find(tx, *client, *id).await?;
    if found.is_some() {
        tx.delete_account(*id).await?;
    }
    Ok(found.is_some())
}

async fn list<S: Transaction>(tx: &mut S, list: &AccountList, _now: Timestamp) -> Result<Vec<Account>> {
    tx.find_accounts(Wanted::List(list), false).await
}

/// Locks an account of this client.
async fn find<S: Transaction>(tx: &mut S, client: Uuid, id: Uuid) -> Result<Option<Account>> {
    Ok(tx.find_accounts(Wanted::Ids(&[(client, id)]), true).await?.pop())
}

/// Read without a lock: a transaction that takes the name in the meantime makes this one a conflict, and the next try sees it.
async fn taken<S: Transaction>(
    tx: &mut S,
    client: Uuid,
    username: &Username,
    by_other_than: Option<Uuid>,
) -> Result<bool> {
    let found = tx.find_accounts(Wanted::Username(client, username.key()), false).await?;
    Ok(found.iter().any(|account| Some(account.id) != by_other_than))
}

/// The groups of these names, held so that none is deleted before its new member is written; or the names there are none of.
async fn members<S: Transaction>(
    tx: &mut S,
    client: Uuid,
    names: &[GroupName],
) -> Result<std::result::Result<Vec<Uuid>, Vec<GroupName>>> {
    let groups = tx.find_groups(client, Some(names), Hold::Shared).await?;
    let known: HashSet<_> = groups.iter().map(|group| &group.name).collect();
    let unknown: Vec<_> = names.iter().filter(|name| !known.contains(name)).cloned().collect();
    Ok(if unknown.is_empty() { Ok(groups.iter().map(|group| group.id).collect()) } else { Err(unknown) })
}

/// The account as it is now, with what its groups allow.
async fn written<S: Transaction>(tx: &mut S, client: Uuid, id: Uuid) -> Result<AccountChanged> {
    let found = tx.find_accounts(Wanted::Ids(&[(client, id)]), false).await?.pop();
    Ok(found.map_or(AccountChanged::NotFound, |account| AccountChanged::Done(Box::new(account))))
}

async fn put<S: Transaction>(tx: &mut S, put: &PutGroup, now: Timestamp) -> Result<GroupPut> {
    let mut first_answers = FirstAnswers::load(tx, std::iter::once(put.remember.as_ref())).await?;
    match first_answers.recall(put.remember.as_ref(), now) {
        Recall::Answered(text) => return Ok(GroupPut::Answered(text)),
        Recall::Reused => return Ok(GroupPut::KeyReused),
        Recall::First => {}
    }
    let found = tx.find_groups(put.client, Some(std::slice::from_ref(&put.name)), Hold::Alone).await?;
    let answer = match found.into_iter().next() {
        Some(mut group) => {
            group.permissions.clone_from(&put.permissions);
            group.updated_at = now.max(group.updated_at);
            tx.update_group(&group).await?;
            GroupPut::Replaced(group)
        }
        None if tx.find_groups(put.client, None, Hold::No).await?.len() >= MAX_CLIENT_GROUPS => {
            GroupPut::TooMany
        }
        None => {
            let group = Group {
                id: put.id,
                client: put.client,
                name: put.name.clone(),
                permissions: put.permissions.clone(),
                created_at: now,
                updated_at: now,
            };
            tx.insert_group(&group).await?;
            GroupPut::Made(group)
        }
    };
    first_answers.keep(put.remember.as_ref(), &answer, now);
    first_answers.save(tx, now).await?;
    Ok(answer)
}

async fn ungroup<S: Transaction>(tx: &mut S, group: &GroupRef, _now: Timestamp) -> Result<bool> {
    let name = std::slice::from_ref(&group.name);
    let found = tx.find_groups(group.client, Some(name), Hold::Alone).await?.pop();
    match found {
        Some(found) => tx.delete_group(found.id).await.map(|()| true),
        None => Ok(false),
    }
}

async fn groups<S: Transaction>(tx: &mut S, client: &Uuid, _now: Timestamp) -> Result<Vec<Group>> {
    tx.find_groups(*client, None, Hold::No).await
}
