//! Claims and records that lock nothing: what others did meanwhile stays, and what nobody touched is not read twice.

use hulak_common::job::MessageId;
use hulak_common::staff::BlockEverywhere;
use hulak_common::verification::Delivery;
use hulak_store::{Create, Outcome, Recorded};

use crate::harness::*;

on_both_stores!(what_changed_since_the_claim_is_kept, one_that_changed_does_not_fail_its_neighbours);

/// Each of the three rows on its own: whichever was written by somebody else is read before it is written.
async fn what_changed_since_the_claim_is_kept(kind: Kind) {
    let world = kind.world(rules()).await;
    let mut grants = Vec::new();
    for n in 1..=3 {
        grants.push(world.grant(&world.begin(&ask(n), START).await, at(1)).await);
    }
    // The number: asked for another code, and blocked.
    world.begin(&ask_in(1, "another"), at(30)).await;
    let block = BlockEverywhere { phone: phone(1), block: Some((at(HOUR), None)) };
    world.store.block_everywhere(&block).await.unwrap();
    let asked = world.report(1).await.number.asked;
    // The verification: a wrong code.
    world.check_wrong(&grants[1].verification, at(30)).await;
    // The message, which nobody else changes while it is claimed; should somebody ever, it counts.
    world.sql(&format!("UPDATE messages SET publishes = 7 WHERE phone = {}", phone(3).to_i64())).await;

    for grant in &grants {
        let recorded = world.record(grant, Outcome::Accepted, at(31)).await;
        assert_eq!(recorded, Recorded::Done(Delivery::Sent));
    }
    let number = world.report(1).await.number;
    assert_eq!((number.otp_count, number.asked, number.blocked_until), (1, asked, Some(at(HOUR))));
    let shown = world.read(&grants[1].verification).await;
    assert_eq!((shown.checks_remaining, shown.version), (4, 4));
    assert_eq!(shown.history.entries(START).count(), 4, "{:?}", shown.history);
    assert_eq!(world.count("messages WHERE publishes = 7 AND state = 'sent'").await, 1);
    for n in 1..=3 {
        assert_eq!(world.report(n).await.number.otp_count, 1);
    }
}

async fn one_that_changed_does_not_fail_its_neighbours(kind: Kind) {
    let world = kind.world(rules()).await;
    let mut grants = Vec::new();
    for n in 1..=5 {
        grants.push(world.grant(&world.begin(&ask(n), START).await, at(1)).await);
    }
    world.check_wrong(&grants[2].verification, at(2)).await;
    assert_eq!(world.store.reap(1, at(31)).await.unwrap().0.leases, 1);
    let records: Vec<_> = grants.iter().rev().map(|grant| ended(grant, Outcome::Accepted, None)).collect();
    let mut answers = all(world.store.record(&records, at(32)).await);
    answers.sort_by_key(|recorded| *recorded == Recorded::Stale);
    let done = Recorded::Done(Delivery::Sent);
    assert_eq!(answers, [done, done, done, done, Recorded::Stale]);
    assert_eq!(world.count("numbers WHERE otp_count = 1").await, 4);
    assert_eq!(world.count("numbers WHERE otp_count = 0 AND ambiguous_count = 1").await, 1);
}

/// PostgreSQL counts its look-ups: what confirms and claims write goes to where their look found the rows, and a record does not
/// look before.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_unchanged_is_looked_up_once_for_each() {
    let world = Kind::Postgres.world(rules()).await;
    let creates: Vec<_> = (0..10).map(ask).collect();
    all(world.store.create(&creates, START).await);
    world.close().await;
    let created = looked_up(&world).await;

    let confirming = world.another(rules());
    let published: Vec<_> = creates.iter().map(|create| (message_of(create), at(1))).collect();
    confirming.confirm_published(&published).await.unwrap();
    confirming.close().await;
    let confirmed = looked_up(&world).await;
    assert_eq!(more(created, confirmed), [0, 0, 10]);
    assert_eq!(world.count("messages WHERE publishes = 1").await, 10);

    let claiming = world.another(rules());
    let wishes: Vec<_> = creates.iter().map(message_of).map(wish).collect();
    let grants = granted(claiming.claim(&wishes, at(1)).await);
    claiming.close().await;
    let claimed = looked_up(&world).await;
    assert_eq!(more(confirmed, claimed), [10; 3]);

    let recording = world.another(rules());
    let records: Vec<_> = grants.iter().rev().map(|grant| ended(grant, Outcome::Accepted, None)).collect();
    assert_eq!(all(recording.record(&records, at(2)).await), [Recorded::Done(Delivery::Sent); 10]);
    recording.close().await;
    assert_eq!(more(claimed, looked_up(&world).await), [10; 3]);
}

fn message_of(create: &Create) -> MessageId {
    MessageId { verification: create.id, seq: 1 }
}

fn more(before: [i64; 3], after: [i64; 3]) -> [i64; 3] {
    [0, 1, 2].map(|table| after[table] - before[table])
}

/// How often numbers, verifications and messages were looked up.
async fn looked_up(world: &World) -> [i64; 3] {
    let mut scans = [0; 3];
    for (count, index) in scans.iter_mut().zip(["numbers_pkey", "verifications_pkey", "messages_pkey"]) {
        let each =
            format!("pg_stat_user_indexes, generate_series(1, idx_scan) WHERE indexrelname = '{index}'");
        *count = world.count(&each).await;
    }
    scans
}
