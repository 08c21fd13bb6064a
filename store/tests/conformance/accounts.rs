//! Accounts and groups: what is made, changed, listed and deleted, and what two clients do not see of each other.

use hulak_common::account::GroupName;
use hulak_store::{AccountChanged, AccountList, AccountPatch, GroupPut, GroupRef, NewAccount, PutGroup};
use uuid::Uuid;

use crate::harness::*;

on_both_stores!(an_account_and_its_groups, accounts_are_listed_by_what_is_asked);

fn new(n: u128, groups: &[&str]) -> NewAccount {
    NewAccount {
        id: Uuid::from_u128(n),
        client: CLIENT,
        username: format!("person-{n}").parse().unwrap(),
        first_name: Default::default(),
        last_name: Default::default(),
        email: Some("person@example.com".parse().unwrap()),
        phone: Some(phone(1)),
        groups: groups.iter().map(|name| name.parse().unwrap()).collect(),
        remember: None,
    }
}

fn patch(n: u128) -> AccountPatch {
    AccountPatch {
        client: CLIENT,
        id: Uuid::from_u128(n),
        username: None,
        first_name: None,
        last_name: None,
        email: None,
        phone: None,
        groups: None,
        is_active: None,
    }
}

fn group(n: u128, name: &str, permissions: &[&str]) -> PutGroup {
    let permissions = permissions.iter().map(|name| name.parse().unwrap()).collect();
    PutGroup {
        id: Uuid::from_u128(n),
        client: CLIENT,
        name: name.parse().unwrap(),
        permissions,
        remember: None,
    }
}

async fn an_account_and_its_groups(kind: Kind) {
    let world = kind.world(rules()).await;
    let store = &world.store;
    store.install_key(&key("shop"), CLIENT, START).await.unwrap();
    for put in [group(1, "clerks", &["orders.read"]), group(2, "managers", &["orders.read", "orders.write"])]
    {
        assert!(matches!(store.put_group(&put, START).await.unwrap(), GroupPut::Made(_)));
    }
    let replaced = store.put_group(&group(3, "clerks", &["orders.list"]), START).await.unwrap();
    assert!(matches!(replaced, GroupPut::Replaced(group) if group.id == Uuid::from_u128(1)));

    let unknown = store.create_account(&new(7, &["clerks", "nobody"]), START).await.unwrap();
    assert_eq!(unknown, AccountChanged::UnknownGroups(vec!["nobody".parse().unwrap()]));
    let AccountChanged::Done(account) = store.create_account(&new(7, &["clerks"]), START).await.unwrap()
    else {
        panic!("not made");
    };
    assert_eq!(account.groups, ["clerks".parse::<GroupName>().unwrap()]);
    assert_eq!(account.permissions, ["orders.list".parse().unwrap()]);

    let both = AccountPatch {
        username: Some("renamed".parse().unwrap()),
        groups: Some(vec!["clerks".parse().unwrap(), "managers".parse().unwrap()]),
        is_active: Some(false),
        ..patch(7)
    };
    let AccountChanged::Done(account) = store.change_account(&both, at(1)).await.unwrap() else {
        panic!("not changed");
    };
    assert_eq!((account.groups.len(), account.permissions.len(), account.is_active), (2, 3, false));
    assert_eq!(account.updated_at, at(1));
    assert_eq!(store.create_account(&new(8, &[]), START).await.map(drop).ok(), Some(()));
    let taken = AccountPatch { username: Some("RENAMED".parse().unwrap()), ..patch(8) };
    assert_eq!(store.change_account(&taken, at(2)).await.unwrap(), AccountChanged::UsernameTaken);
    let elsewhere = AccountPatch { client: OTHER_CLIENT, ..patch(8) };
    assert_eq!(store.change_account(&elsewhere, at(2)).await.unwrap(), AccountChanged::NotFound);

    let clerks = GroupRef { client: CLIENT, name: "clerks".parse().unwrap() };
    assert!(store.delete_group(&clerks).await.unwrap());
    assert!(!store.delete_group(&clerks).await.unwrap());
    let names: Vec<_> = store.groups(CLIENT).await.unwrap().into_iter().map(|group| group.name).collect();
    assert_eq!(names, ["managers".parse::<GroupName>().unwrap()]);
    assert!(store.delete_account(CLIENT, Uuid::from_u128(7)).await.unwrap());
    assert!(!store.delete_account(CLIENT, Uuid::from_u128(7)).await.unwrap());
    assert!(!store.delete_account(OTHER_CLIENT, Uuid::from_u128(8)).await.unwrap());
    assert_eq!(world.count("memberships").await, 0);
}

async fn accounts_are_listed_by_what_is_asked(kind: Kind) {
    let world = kind.world(rules()).await;
    world.store.install_key(&key("shop"), CLIENT, START).await.unwrap();
    for n in 1..=3 {
        world.store.create_account(&new(n, &[]), START).await.unwrap();
    }
    let all = AccountList { client: CLIENT, id: None, username: None, phone: None, before: None, limit: 2 };
    let ids = async |list: AccountList| {
        let found = world.store.accounts(&list).await.unwrap();
        found.into_iter().map(|account| account.id.as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(ids(all.clone()).await, [3, 2]);
    assert_eq!(ids(AccountList { before: Some(Uuid::from_u128(2)), ..all.clone() }).await, [1]);
    assert_eq!(ids(AccountList { id: Some(Uuid::from_u128(2)), ..all.clone() }).await, [2]);
    let named = AccountList { username: Some("PERSON-1".parse().unwrap()), ..all.clone() };
    assert_eq!(ids(named).await, [1]);
    assert_eq!(ids(AccountList { phone: Some(phone(1)), ..all.clone() }).await, [3, 2]);
    assert_eq!(ids(AccountList { client: OTHER_CLIENT, ..all }).await, []);
}

fn key(client: &str) -> hulak_common::client::NewKey {
    hulak_common::client::NewKey {
        client_name: client.to_owned(),
        prefix: "hulak_test".to_owned(),
        hash: [9; 32],
        operator: false,
    }
}
