//! What the broker has confirmed is written down: a little later, and all of it before a program ends.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

#[path = "../../store/tests/conformance/harness.rs"]
#[allow(dead_code, unused_macros, clippy::allow_attributes, reason = "these tests use a part of it")]
mod harness;
#[path = "../../store/tests/conformance/statements.rs"]
mod statements;

use std::sync::Arc;

use hulak_broker::MemoryBroker;
use hulak_common::clock::FrozenClock;
use hulak_common::job::{MessageId, Outgoing};
use hulak_runtime::shutdown::Shutdown;
use hulak_service::outbox::Outbox;
use hulak_testkit::answer::eventually;
use sqlx::AssertSqlSafe;

use crate::harness::*;

on_both_stores!(confirms_are_written_down, confirms_are_written_down_at_the_end);

/// Three messages, published a moment ago. What has published them lives on until it is dropped.
async fn published(world: &World, shutdown: &Shutdown) -> (Outbox, Vec<MessageId>) {
    let clock = Arc::new(FrozenClock::at(at(1)));
    let outbox = Outbox::start(MemoryBroker::new(), Arc::clone(&world.store), clock, shutdown.clone());
    let mut ids = Vec::new();
    for n in 1..=3 {
        ids.push(world.begin(&ask(n), START).await.newest_message());
    }
    let messages: Vec<_> = ids.iter().copied().map(Outgoing::from).collect();
    assert_eq!(outbox.publish(&messages).await, 3);
    (outbox, ids)
}

/// Asks until all are noted.
async fn until_noted(world: &World, ids: &[MessageId]) {
    let asking = async {
        for id in ids {
            while world.message(*id).await.publishes == 0 {
                tokio::task::yield_now().await;
            }
            let row = world.message(*id).await;
            assert_eq!((row.publishes, row.publish_at), (1, Some(at(31))));
        }
    };
    tokio::time::timeout(secs(30), asking).await.expect("confirms are noted a second later");
}

async fn confirms_are_written_down(kind: Kind) {
    let world = kind.world(rules()).await;
    let (_alive, ids) = published(&world, &Shutdown::new()).await;
    until_noted(&world, &ids).await;
}

async fn confirms_are_written_down_at_the_end(kind: Kind) {
    let world = kind.world(rules()).await;
    let shutdown = Shutdown::new();
    let (_alive, ids) = published(&world, &shutdown).await;
    shutdown.begin();
    until_noted(&world, &ids).await;
}

/// Whoever notes a confirm waits for whoever writes the message, and then leaves alone what a worker has claimed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_confirm_that_waited_for_a_claim_changes_nothing_of_it() {
    let world = Kind::Postgres.world(rules()).await;
    let claimed = world.begin(&ask(1), START).await.newest_message();
    let waiting = world.begin(&ask(2), START).await.newest_message();
    let mut worker = connect(&world.url()).await;
    let claim = format!(
        "BEGIN; UPDATE messages SET state = 'sending', publish_at = NULL WHERE verification_id = '{}'",
        claimed.verification
    );
    sqlx::raw_sql(AssertSqlSafe(claim)).execute(&mut worker).await.unwrap();
    let noting = tokio::spawn({
        let store = Arc::clone(&world.store);
        async move { store.confirm_published(&[(claimed, at(1)), (waiting, at(1))]).await }
    });
    let waits =
        "pg_locks JOIN pg_stat_activity USING (pid) WHERE datname = current_database() AND NOT granted";
    eventually("the wait", || async { (world.count(waits).await == 1).then_some(()) }).await;
    sqlx::raw_sql("COMMIT").execute(&mut worker).await.unwrap();
    noting.await.unwrap().unwrap();
    let noted = async |id| {
        let row = world.message(id).await;
        (row.publishes, row.publish_at)
    };
    assert_eq!(noted(claimed).await, (0, None));
    assert_eq!(noted(waiting).await, (1, Some(at(31))));
}
