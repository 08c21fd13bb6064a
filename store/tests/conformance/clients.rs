//! What is set for client applications, and what operators see of their keys.

use hulak_common::client::NewKey;
use hulak_common::client::{Change, ClientRecord, ClientSettings, KeyRecord, SettingsChange};
use hulak_common::limits::{LimitReached, Policy};
use hulak_common::origin::list;
use hulak_common::rate_limit::{Amount, Quota};
use hulak_common::rules::{Quotas, Rules};
use hulak_common::time::Timestamp;
use hulak_store::{Create, Created, Resend, Resent, StoreError};
use uuid::Uuid;

use crate::harness::*;
use crate::racing::race;

on_both_stores!(
    settings_are_kept_and_taken_back,
    settings_come_with_the_key,
    each_setting_changes_by_itself_among_racers,
    an_unknown_client_has_no_settings,
    keys_are_listed_and_revoked_one_by_one,
    whoever_revokes_first_decides_the_time,
    a_clients_own_quotas_come_before_the_rules,
    a_resend_goes_by_its_clients_quotas,
    what_nobody_wrote_is_not_read,
);

fn key(client: &str, fill: u8) -> NewKey {
    NewKey { client_name: client.to_owned(), prefix: format!("hk_{fill}"), hash: [fill; 32], operator: false }
}

async fn install(world: &World, client: &str, id: Uuid, fill: u8, now: Timestamp) {
    world.store.install_key(&key(client, fill), id, now).await.unwrap();
}

async fn change(world: &World, name: &str, change: SettingsChange) -> ClientSettings {
    world.store.change_client(name, &change).await.unwrap().expect("the client").settings
}

fn amounts(rate: Change<Amount>, address_hourly: Change<Amount>) -> SettingsChange {
    SettingsChange { rate, address_hourly, ..SettingsChange::default() }
}

/// All that can be set.
fn all() -> SettingsChange {
    SettingsChange {
        app_name: Change::To("पसल".to_owned()),
        cors_origins: Change::To(list("https://a.example,http://localhost:3000").unwrap()),
        redirect_uris: Change::To(vec!["https://a.example/done?a=1,2".parse().unwrap()]),
        rate: Change::To(Amount(Some(1_000_000))),
        address_hourly: Change::To(Amount(None)),
    }
}

fn all_set() -> ClientSettings {
    let SettingsChange { app_name, cors_origins, redirect_uris, rate, address_hourly } = all();
    ClientSettings {
        app_name: app_name.value().cloned(),
        cors_origins: cors_origins.value().cloned(),
        redirect_uris: redirect_uris.value().cloned(),
        rate: rate.value().copied(),
        address_hourly: address_hourly.value().copied(),
    }
}

async fn settings_are_kept_and_taken_back(kind: Kind) {
    let world = kind.world(rules()).await;
    assert!(world.store.clients().await.unwrap().is_empty());
    install(&world, "shop", CLIENT, 1, at(1)).await;
    install(&world, "Bank", OTHER_CLIENT, 2, at(2)).await;
    let record = |id, name: &str, created_at, settings| ClientRecord {
        id,
        name: name.to_owned(),
        created_at,
        settings,
    };
    let none = ClientSettings::default;
    let bank = || record(OTHER_CLIENT, "Bank", at(2), none());
    assert_eq!(world.store.clients().await.unwrap(), [bank(), record(CLIENT, "shop", at(1), none())]);
    assert_eq!(change(&world, "shop", all()).await, all_set());
    assert_eq!(world.store.clients().await.unwrap(), [bank(), record(CLIENT, "shop", at(1), all_set())]);
    // Installing a key again, as every start does, leaves it all alone.
    install(&world, "shop", CLIENT, 1, at(3)).await;
    assert_eq!(change(&world, "shop", SettingsChange::default()).await, all_set(), "nothing to change");
    let some = SettingsChange {
        app_name: Change::Reset,
        rate: Change::To(Amount(None)),
        address_hourly: Change::To(Amount(Some(1))),
        ..SettingsChange::default()
    };
    let expected = ClientSettings {
        app_name: None,
        rate: Some(Amount(None)),
        address_hourly: Some(Amount(Some(1))),
        ..all_set()
    };
    assert_eq!(change(&world, "shop", some).await, expected);
    let reset = SettingsChange {
        app_name: Change::Reset,
        cors_origins: Change::Reset,
        redirect_uris: Change::Reset,
        rate: Change::Reset,
        address_hourly: Change::Reset,
    };
    assert_eq!(change(&world, "shop", reset).await, none());
}

async fn settings_come_with_the_key(kind: Kind) {
    let world = kind.world(rules()).await;
    install(&world, "shop", CLIENT, 1, START).await;
    install(&world, "bank", OTHER_CLIENT, 2, START).await;
    change(&world, "shop", all()).await;
    let owner = async |fill| world.store.find_key(&[fill; 32]).await.unwrap().expect("an owner");
    assert_eq!((owner(1).await.client, owner(1).await.settings), (CLIENT, all_set()));
    assert_eq!((owner(2).await.client, owner(2).await.settings), (OTHER_CLIENT, ClientSettings::default()));
}

async fn each_setting_changes_by_itself_among_racers(kind: Kind) {
    let world = kind.world(rules()).await;
    install(&world, "shop", CLIENT, 1, START).await;
    race(&world, 20, |n, store| async move {
        let change = match n % 4 {
            0 => SettingsChange { app_name: all().app_name, ..SettingsChange::default() },
            1 => SettingsChange { cors_origins: all().cors_origins, ..SettingsChange::default() },
            2 => SettingsChange { redirect_uris: all().redirect_uris, ..SettingsChange::default() },
            _ => amounts(all().rate, all().address_hourly),
        };
        store.change_client("shop", &change).await.unwrap().expect("the client");
    })
    .await;
    assert_eq!(world.store.clients().await.unwrap()[0].settings, all_set());
}

async fn an_unknown_client_has_no_settings(kind: Kind) {
    let world = kind.world(rules()).await;
    install(&world, "shop", CLIENT, 1, START).await;
    for name in ["", "Shop", "shop ", "nobody"] {
        assert_eq!(world.store.change_client(name, &all()).await.unwrap(), None, "{name}");
    }
    assert_eq!(world.store.clients().await.unwrap()[0].settings, ClientSettings::default());
}

async fn keys_are_listed_and_revoked_one_by_one(kind: Kind) {
    let world = kind.world(rules()).await;
    install(&world, "shop", CLIENT, 3, at(1)).await;
    install(&world, "Bank", OTHER_CLIENT, 9, at(3)).await;
    install(&world, "shop", CLIENT, 1, at(2)).await;
    let record = |client: &str, fill: u8, created_at, revoked_at| KeyRecord {
        client_name: client.to_owned(),
        prefix: format!("hk_{fill}"),
        hash: [fill; 32],
        operator: false,
        created_at,
        revoked_at,
    };
    let found = async |fill| world.store.find_key(&[fill; 32]).await.unwrap().map(|owner| owner.client);
    let (bank, first) = (record("Bank", 9, at(3), None), record("shop", 3, at(1), None));
    let second = record("shop", 1, at(2), None);
    assert_eq!(world.store.keys().await.unwrap(), [bank.clone(), first.clone(), second.clone()]);
    // Two live keys of one client.
    assert_eq!((found(3).await, found(1).await), (Some(CLIENT), Some(CLIENT)));
    assert_eq!(world.store.revoke_key(&[3; 32], at(5)).await.unwrap(), Some(at(5)));
    assert_eq!((found(3).await, found(1).await, found(9).await), (None, Some(CLIENT), Some(OTHER_CLIENT)));
    let revoked = KeyRecord { revoked_at: Some(at(5)), ..first };
    assert_eq!(world.store.keys().await.unwrap(), [bank, revoked, second]);
    // Again: it says when it was. And installing it again does not bring it back.
    assert_eq!(world.store.revoke_key(&[3; 32], at(9)).await.unwrap(), Some(at(5)));
    install(&world, "shop", CLIENT, 3, at(10)).await;
    assert_eq!(found(3).await, None);
    assert_eq!(world.store.revoke_key(&[4; 32], at(9)).await.unwrap(), None);
}

async fn whoever_revokes_first_decides_the_time(kind: Kind) {
    let world = kind.world(rules()).await;
    install(&world, "shop", CLIENT, 1, START).await;
    let times = race(&world, 20, |n, store| async move {
        store.revoke_key(&[1; 32], at(u64::try_from(n).unwrap())).await.unwrap().expect("the key")
    })
    .await;
    assert!(times.iter().all(|time| *time == times[0]), "{times:?}");
}

fn refused(created: &Created) -> Option<Policy> {
    match created {
        Created::Limited(LimitReached { policy, .. }) => Some(*policy),
        Created::New(_) => None,
        other => panic!("{other:?}"),
    }
}

fn from(client: Uuid, n: u32, address: &str) -> Create {
    Create { address: Some(address.parse().unwrap()), ..ask_of(client, n) }
}

async fn a_clients_own_quotas_come_before_the_rules(kind: Kind) {
    let quotas = Quotas { client: Some(Quota::client(2)), address: Some(Quota::address(2)) };
    let world = kind.world(Rules { quotas, ..rules() }).await;
    install(&world, "shop", CLIENT, 1, START).await;
    // As many as its own rate, one above the common one; the other client in the same batch has the common one.
    change(&world, "shop", amounts(Change::To(Amount(Some(3))), Change::Keep)).await;
    let batch: Vec<_> = (0..8).map(|n| ask_of(if n % 2 == 0 { CLIENT } else { OTHER_CLIENT }, n)).collect();
    let answers: Vec<_> = all_of(&world, &batch, START).await;
    let taken = |from: usize| answers.iter().skip(from).step_by(2).filter(|answer| answer.is_none()).count();
    assert_eq!((taken(0), taken(1)), (3, 2), "{answers:?}");
    assert!(answers.iter().flatten().all(|policy| *policy == Policy::Client));
    // Off: no limit at all. What is changed counts at once.
    change(&world, "shop", amounts(Change::To(Amount(None)), Change::To(Amount(Some(1))))).await;
    let many: Vec<_> = (100..120).map(|n| ask_of(CLIENT, n)).collect();
    assert!(all_of(&world, &many, START).await.iter().all(Option::is_none));
    let households = [from(CLIENT, 200, "192.0.2.1"), from(CLIENT, 201, "192.0.2.1")];
    assert_eq!(all_of(&world, &households, START).await, [None, Some(Policy::Address)]);
    change(&world, "shop", amounts(Change::Reset, Change::Reset)).await;
    let households = [from(CLIENT, 202, "192.0.2.9"), from(CLIENT, 203, "192.0.2.9")];
    assert_eq!(all_of(&world, &households, at(1)).await, [None, None], "two, as for all");
    let again: Vec<_> = (300..303).map(|n| ask_of(CLIENT, n)).collect();
    assert_eq!(all_of(&world, &again, at(2)).await, [None, None, Some(Policy::Client)]);
}

async fn all_of(world: &World, batch: &[Create], now: Timestamp) -> Vec<Option<Policy>> {
    crate::harness::all(world.store.create(batch, now).await).iter().map(refused).collect()
}

async fn a_resend_goes_by_its_clients_quotas(kind: Kind) {
    let world = kind.world(Rules { quotas: Quotas::default(), ..no_limits() }).await;
    install(&world, "shop", CLIENT, 1, START).await;
    change(&world, "shop", amounts(Change::Keep, Change::To(Amount(Some(1))))).await;
    let address = Some("192.0.2.1".parse().unwrap());
    let mut answers = Vec::new();
    for (client, n) in [(CLIENT, 1), (CLIENT, 2), (OTHER_CLIENT, 3), (OTHER_CLIENT, 4)] {
        let begun = world.begin(&ask_of(client, n), START).await;
        world.deliver(&begun, START).await;
        let resend = Resend { client, id: begun.id, address, remember: None };
        answers.push(match only(world.store.resend(&[resend], at(60)).await) {
            Resent::Again { added: true, .. } => None,
            Resent::Limited(limit) => Some((limit.policy, limit.quota)),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(answers, [None, Some((Policy::Address, 1)), None, None]);
}

async fn what_nobody_wrote_is_not_read(kind: Kind) {
    let world = kind.world(rules()).await;
    install(&world, "shop", CLIENT, 1, START).await;
    world.sql("UPDATE clients SET cors_origins = 'https://a.example/path'").await;
    assert!(matches!(world.store.clients().await, Err(StoreError::Corrupt(_))));
    assert!(matches!(world.store.find_key(&[1; 32]).await, Err(StoreError::Corrupt(_))));
}
