//! Knowing how the database is doing: its clock, its silences, and trouble that is not its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hulak_common::clock::{Clock as _, DatabaseClock, SharedClock};
use hulak_common::rng::Rng;
use hulak_runtime::shutdown::Shutdown;
use hulak_store::{Created, Health, Monitor, Store};
use hulak_testkit::answer::eventually;
use hulak_testkit::proxy::Proxy;
use sqlx::Connection as _;
use url::Url;

use crate::harness::*;

on_both_stores!(a_clock_that_has_gone_wrong_follows_the_databases);

/// A store of [`World`]'s database, with its own connections.
fn open(url: &str, connections: u32) -> Arc<Store> {
    let url = url.to_owned().into();
    Arc::new(Store::postgres(&url, connections, "store-conformance", rules()).unwrap())
}

/// The same, where every connection counts as one that has been idle for a while.
fn open_pinging(url: &str, connections: u32) -> Arc<Store> {
    let url = url.to_owned().into();
    Arc::new(Store::pinging(&url, connections, "store-conformance", Duration::ZERO, rules()).unwrap())
}

/// Watches a store until the test's end.
fn watch(store: &Arc<Store>, clock: SharedClock) -> Monitor {
    let monitor = Monitor::new();
    let (watching, store) = (monitor.clone(), Arc::clone(store));
    tokio::spawn(async move {
        watching.run(store, clock, Rng::system(), Shutdown::new(), || async { Ok(()) }).await
    });
    monitor
}

/// As after a suspend, or when somebody has set the time.
async fn a_clock_that_has_gone_wrong_follows_the_databases(kind: Kind) {
    let world = kind.world(rules()).await;
    let clock = Arc::new(DatabaseClock::new());
    let monitor = watch(&world.store, Arc::clone(&clock) as SharedClock);
    monitor.up().await;
    for wrong in [secs(HOUR), secs(DAY)] {
        let now = clock.now();
        clock.calibrate(now + wrong, now, Duration::ZERO);
        // The tests' server is on this machine, so there is no offset to it.
        eventually("the right time", || async { (clock.offset_ms().abs() < 1_000).then_some(()) }).await;
    }
}

/// Statements that are slow, and a pool that has no connection left, are the trouble of those who wait for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slow_statements_do_not_make_the_database_look_away() {
    let world = Kind::Postgres.world(rules()).await;
    let store = open(&world.url(), 2);
    let monitor = watch(&store, Arc::new(DatabaseClock::new()));
    monitor.up().await;
    let mut locker = connect(&world.url()).await;
    let mut lock = locker.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE numbers").execute(&mut *lock).await.unwrap();

    let mut reads = tokio::task::JoinSet::new();
    for n in 0..8 {
        let store = Arc::clone(&store);
        reads.spawn(async move { store.number(CLIENT, phone(n)).await });
    }
    let away = tokio::spawn({
        let monitor = monitor.clone();
        async move { monitor.away().await }
    });
    let mut refused = 0;
    while refused < 6 {
        assert!(reads.join_next().await.unwrap().unwrap().unwrap_err().is_unavailable());
        refused += 1;
        monitor.report_trouble();
        store.time().await.unwrap();
    }
    lock.rollback().await.unwrap();
    while let Some(read) = reads.join_next().await {
        read.unwrap().unwrap();
    }
    assert_eq!(monitor.health(), Health::Up);
    assert!(!away.is_finished(), "nobody else was told that it is away");
    store.close().await;
}

/// After a quick restart of the server every connection in the pool is dead, and nobody's request is to find that out.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_that_died_meanwhile_fail_nobody() {
    let world = Kind::Postgres.world(rules()).await;
    let hang_up = async || {
        world.sql(&format!("SELECT pg_terminate_backend(pid) FROM {OURS}")).await;
        eventually("the hanging up", || async { (world.count(OURS).await == 0).then_some(()) }).await;
    };
    // A transaction that cannot begin begins on another connection, and they may all have died.
    let busy = open(&world.url(), 4);
    for n in 0..3 {
        only(busy.create(&[ask(n)], START).await);
        busy.time().await.unwrap();
        all_at_once(&busy).await;
        hang_up().await;
    }
    // Connections that have been idle for a while are looked at before they are used.
    let idle = open_pinging(&world.url(), 4);
    all_at_once(&idle).await;
    hang_up().await;
    for n in 0..4 {
        idle.number(CLIENT, phone(n)).await.unwrap();
    }
    busy.close().await;
    idle.close().await;
}

/// Which connections are ours.
const OURS: &str =
    "pg_stat_activity WHERE datname = current_database() AND application_name = 'store-conformance'";

/// Uses four connections.
async fn all_at_once(store: &Store) {
    let reads = (0..4).map(|n| store.number(CLIENT, phone(n)));
    futures_util::future::try_join_all(reads).await.unwrap();
}

/// What comes one after another goes over the connection that was used last, and the others rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_connection_that_came_back_last_is_the_next_to_go() {
    let world = Kind::Postgres.world(rules()).await;
    let store = open(&world.url(), 8);
    all_at_once(&store).await;
    let connections = store.connections();
    assert_eq!((connections.busy, connections.idle), (0, 4));
    world.sql("CREATE TABLE mark AS SELECT clock_timestamp() AS at").await;
    for n in 0..20 {
        store.number(CLIENT, phone(n)).await.unwrap();
    }
    let used = format!("{OURS} AND query_start > (SELECT at FROM mark)");
    assert_eq!(world.count(&used).await, 1);
    assert_eq!(store.connections().idle, 4);
    store.close().await;
}

/// A line that has gone dead silently holds nobody up, although it is at hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_silent_connection_at_hand_is_given_up() {
    let world = Kind::Postgres.world(rules()).await;
    let (proxy, url) = in_front_of(&world.url()).await;
    let store = open_pinging(&url, 4);
    all_at_once(&store).await;
    proxy.stall();
    let asked = tokio::time::timeout(secs(MINUTE), store.number(CLIENT, phone(1)));
    assert!(asked.await.expect("it gave up").unwrap_err().is_unavailable());
    proxy.heal().await.unwrap();
    store.number(CLIENT, phone(1)).await.unwrap();
    tokio::time::timeout(secs(MINUTE), store.close()).await.expect("none is missing");
}

async fn in_front_of(url: &str) -> (Proxy, String) {
    let mut url = Url::parse(url).unwrap();
    let upstream = SocketAddr::new([127, 0, 0, 1].into(), url.port().unwrap_or(5432));
    let proxy = Proxy::start(upstream).await.unwrap();
    url.set_port(Some(proxy.addr().port())).unwrap();
    (proxy, url.into())
}

/// A start may meet a line that goes dead between two statements.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_migration_does_not_wait_for_a_silent_database() {
    let patience = secs(MINUTE);
    let nothing_to_do = async {
        let world = Kind::Postgres.world(rules()).await;
        let (proxy, url) = in_front_of(&world.url()).await;
        let store = open(&url, 1);
        store.number(CLIENT, phone(1)).await.unwrap();
        proxy.stall();
        let refused = tokio::time::timeout(patience, store.migrate()).await.expect("it gave up");
        assert!(refused.unwrap_err().is_unavailable());
        proxy.heal().await.unwrap();
        store.migrate().await.unwrap();
    };
    let in_the_middle = async {
        let world = Kind::Postgres.bare(rules()).await;
        let (proxy, url) = in_front_of(&world.url()).await;
        let store = open(&url, 1);
        let mut other = connect(&world.url()).await;
        // Another process migrates, which may take as long as it takes.
        sqlx::migrate::Migrate::lock(&mut other).await.unwrap();
        let migrating = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.migrate().await }
        });
        let waiting = "pg_locks WHERE locktype = 'advisory' AND NOT granted \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        eventually("the wait", || async { (world.count(waiting).await == 1).then_some(()) }).await;
        proxy.stall();
        let refused = tokio::time::timeout(patience, migrating).await.expect("it gave up").unwrap();
        assert!(refused.unwrap_err().is_unavailable());
        other.close().await.unwrap();
        proxy.heal().await.unwrap();
        store.migrate().await.unwrap();
    };
    tokio::join!(nothing_to_do, in_the_middle);
}

/// A batch that fails is tried one by one. When the database goes away in the middle of that, nobody waits for each of the
/// others to find out as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_batch_does_not_wait_for_each_of_its_items_when_the_database_goes_away() {
    let world = Kind::Postgres.world(rules()).await;
    let creates: Vec<_> = (0..100).map(ask).collect();
    let mut made = Vec::new();
    for created in all(world.store.create(&creates, START).await) {
        match created {
            Created::New(verification) => made.push(verification),
            other => panic!("{other:?}"),
        }
    }
    // One that cannot be read, so that the batch as a whole fails.
    world.sql(&format!("UPDATE verifications SET purpose = 'novelty' WHERE id = '{}'", made[99].id)).await;
    let (proxy, url) = in_front_of(&world.url()).await;
    let store = open(&url, 1);
    // Each item takes its time, so that there are some left when the line goes dead.
    proxy.delay(Duration::from_millis(10));
    let claiming = tokio::spawn(async move {
        let wishes: Vec<_> = made.iter().map(|verification| wish(verification.newest_message())).collect();
        store.claim(&wishes, at(1)).await.answers
    });
    let claimed = "messages WHERE state = 'sending'";
    // The third is claimed only once the second's answer is here.
    eventually("the first items", || async { (world.count(claimed).await > 2).then_some(()) }).await;
    proxy.stall();
    // One transaction may take eight seconds.
    let answers = tokio::time::timeout(secs(40), claiming).await.expect("it gave up").unwrap();
    let (done, away): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.is_ok());
    assert!(done.len() > 1 && away.len() > 1, "{} and {}", done.len(), away.len());
    assert!(away.iter().all(|answer| answer.as_ref().unwrap_err().is_unavailable()));
}

/// A primary that became a standby, and one that was promoted: sessions that are read-only answer every ping, and stay so when
/// the server takes writes again. A session's own setting does the same as a standby here.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_cannot_write_is_not_up_and_read_only_sessions_are_not_used_again() {
    let world = Kind::Postgres.world(rules()).await;
    let database = Url::parse(&world.url()).unwrap().path().trim_start_matches('/').to_owned();
    let new_sessions_are = async |how: &str| {
        world.sql(&format!("BEGIN READ WRITE; ALTER DATABASE \"{database}\" {how}; COMMIT")).await;
    };
    let write = async |store: &Store, n: u32| store.create(&[ask(n)], START).await.answers.remove(0);
    let read_only = "SET default_transaction_read_only = on";

    // One that is watched, and whose sessions all begin anew.
    let watched = open(&world.url(), 4);
    let monitor = watch(&watched, Arc::new(DatabaseClock::new()));
    monitor.up().await;
    all_at_once(&watched).await;
    new_sessions_are(read_only).await;
    world.sql(&format!("SELECT pg_terminate_backend(pid) FROM {OURS}")).await;
    monitor.report_trouble();
    monitor.away().await;
    assert_eq!(monitor.health(), Health::Down);
    assert!(write(&watched, 1).await.unwrap_err().is_unavailable());
    all_at_once(&watched).await;
    new_sessions_are("RESET default_transaction_read_only").await;
    monitor.up().await;
    write(&watched, 1).await.unwrap();

    // One that nobody watches finds out by its first refusal.
    new_sessions_are(read_only).await;
    let held = open(&world.url(), 4);
    all_at_once(&held).await;
    new_sessions_are("RESET default_transaction_read_only").await;
    assert!(write(&held, 2).await.unwrap_err().is_unavailable());
    for n in 3..8 {
        write(&held, n).await.unwrap();
    }
    watched.close().await;
    held.close().await;

    // A start waits until it can write.
    new_sessions_are(read_only).await;
    let late = open(&world.url(), 1);
    assert!(late.time().await.unwrap_err().to_string().contains("read-only"));
    new_sessions_are("RESET default_transaction_read_only").await;
    late.time().await.unwrap();
    late.close().await;
}
