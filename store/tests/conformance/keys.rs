//! API keys, and bringing the schema up to date.

use hulak_common::client::ClientSettings;
use hulak_common::client::NewKey;
use hulak_common::rng::Rng;
use hulak_store::{KeyOwner, StoreError};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::harness::*;
use crate::racing::race;

on_both_stores!(
    a_key_is_installed_once_and_found,
    a_revoked_key_is_not_found_and_stays_revoked,
    many_may_install_the_same_key_at_once,
    migrating_again_changes_nothing,
    many_may_migrate_at_once,
    a_newer_schema_is_refused,
    a_store_tells_the_time,
);

fn key(client: &str, fill: u8, operator: bool) -> NewKey {
    NewKey { client_name: client.to_owned(), prefix: format!("hk_{fill}"), hash: [fill; 32], operator }
}

async fn a_key_is_installed_once_and_found(kind: Kind) {
    let world = kind.world(rules()).await;
    let [one, two, three] = [1, 2, 3].map(Uuid::from_u128);
    let install = async |key: NewKey, id| world.store.install_key(&key, id, START).await.unwrap();
    assert_eq!(world.store.find_key(&[7; 32]).await.unwrap(), None);
    assert_eq!(install(key("default", 7, false), one).await, one);
    // Again, as at every start: the client that is there stays.
    assert_eq!(install(key("default", 7, false), two).await, one);
    assert_eq!(install(key("default", 8, true), two).await, one, "a second key of the same client");
    assert_eq!(install(key("other", 9, false), three).await, three);
    for (hash, client, name, operator) in
        [(7, one, "default", false), (8, one, "default", true), (9, three, "other", false)]
    {
        let settings = ClientSettings::default();
        let owner = KeyOwner { client, client_name: name.to_owned(), operator, settings };
        assert_eq!(world.store.find_key(&[hash; 32]).await.unwrap(), Some(owner));
    }
    assert_eq!(world.store.find_key(&[10; 32]).await.unwrap(), None);
    assert_eq!((world.count("clients").await, world.count("api_keys").await), (2, 3));
}

async fn a_revoked_key_is_not_found_and_stays_revoked(kind: Kind) {
    let world = kind.world(rules()).await;
    let id = Uuid::from_u128(1);
    world.store.install_key(&key("default", 7, false), id, START).await.unwrap();
    world.sql("UPDATE api_keys SET revoked_at = 1").await;
    assert_eq!(world.store.find_key(&[7; 32]).await.unwrap(), None);
    world.store.install_key(&key("default", 7, false), id, START).await.unwrap();
    assert_eq!(world.store.find_key(&[7; 32]).await.unwrap(), None);
}

async fn many_may_install_the_same_key_at_once(kind: Kind) {
    let world = kind.world(rules()).await;
    let clients = race(&world, 20, |_, store| async move {
        store.install_key(&key("default", 7, false), Rng::system().uuid(), START).await.unwrap()
    })
    .await;
    let owner = world.store.find_key(&[7; 32]).await.unwrap().unwrap();
    assert_eq!(clients, [owner.client; 20]);
    assert_eq!((world.count("clients").await, world.count("api_keys").await), (1, 1));
}

async fn migrating_again_changes_nothing(kind: Kind) {
    let world = kind.world(rules()).await;
    let kept = world.begin(&ask(1), START).await;
    world.store.migrate().await.unwrap();
    world.another(rules()).migrate().await.unwrap();
    assert_eq!(world.read(&kept).await, kept);
}

async fn many_may_migrate_at_once(kind: Kind) {
    let world = kind.bare(rules()).await;
    let mut tasks = JoinSet::new();
    // Four processes, two tries in each.
    for _ in 0..4 {
        let store = world.another(rules());
        for _ in 0..2 {
            let store = std::sync::Arc::clone(&store);
            tasks.spawn(async move { store.migrate().await });
        }
    }
    for done in tasks.join_all().await {
        done.unwrap();
    }
    assert_eq!(world.count("_sqlx_migrations WHERE version = 1").await, 1, "each once");
    world.begin(&ask(1), START).await;
}

async fn a_newer_schema_is_refused(kind: Kind) {
    let world = kind.world(rules()).await;
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         SELECT version + 1000, description, success, checksum, execution_time FROM _sqlx_migrations";
    world.sql(later).await;
    for _ in 0..2 {
        let refused = world.store.migrate().await;
        assert!(matches!(refused, Err(StoreError::Migrate(_))), "{refused:?}");
    }
    // A refusal leaves no lock behind, for this process or for others.
    world.sql("DELETE FROM _sqlx_migrations WHERE version > 1000").await;
    world.another(rules()).migrate().await.unwrap();
    world.store.migrate().await.unwrap();
}

async fn a_store_tells_the_time(kind: Kind) {
    let world = kind.world(rules()).await;
    let (first, second) = (world.store.time().await.unwrap(), world.store.time().await.unwrap());
    assert!(first <= second);
    // Some time after this was written, and no farther away than its own lifetime.
    assert!((1_700_000_000_000..17_000_000_000_000).contains(&first.as_millis()));
    world.store.close().await;
    assert!(world.store.find_key(&[0; 32]).await.unwrap_err().is_unavailable());
}
