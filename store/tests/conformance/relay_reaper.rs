//! The outbox's second way out, what time ends, and who is alive.

use std::collections::HashSet;

use hulak_common::job::MessageId;
use hulak_common::time::Timestamp;
use hulak_common::verification::{Delivery, Purpose, Route, Status, Verification};
use hulak_store::{Claimed, Load, Outcome, Reaped, Recorded, WORKER_TTL};
use uuid::Uuid;

use crate::harness::*;

on_both_stores!(
    the_relay_takes_what_the_publisher_left,
    the_relay_takes_the_oldest_first_and_no_more_than_it_may,
    a_confirm_puts_the_relay_off_longer_each_time,
    a_confirm_does_not_overwrite_a_later_due_time,
    a_confirm_of_what_is_claimed_or_final_does_nothing,
    every_try_is_put_off_from_the_beginning,
    a_row_that_cannot_be_read_stops_no_sweep,
    the_reaper_expires_what_is_past_its_time,
    the_reaper_leaves_a_call_under_way_alone,
    a_lapsed_lease_is_ambiguous,
    a_lapsed_lease_of_an_expired_verification_is_unknown,
    a_sweep_is_bounded_and_says_so,
    the_backlog_is_as_old_as_what_waits_longest,
    workers_count_while_they_are_heard_of,
    what_is_to_be_done_is_counted_up_to_a_bound,
    dead_workers_are_forgotten,
);

async fn take(world: &World, now: Timestamp) -> Vec<MessageId> {
    world.store.take_due(100, now).await.unwrap()
}

async fn the_relay_takes_what_the_publisher_left(kind: Kind) {
    let world = kind.world(rules()).await;
    assert_eq!(take(&world, START).await, []);
    let id = world.begin(&ask(1), START).await.newest_message();
    assert_eq!(take(&world, at(2) - MS).await, [], "it is the publisher's for two seconds");
    assert_eq!(take(&world, at(2)).await, [id]);
    // It is this relay's for five.
    assert_eq!(take(&world, at(7) - MS).await, []);
    assert_eq!(take(&world, at(7)).await, [id]);
    assert_eq!(world.message(id).await.publishes, 0, "only the broker's confirm counts");
}

async fn the_relay_takes_the_oldest_first_and_no_more_than_it_may(kind: Kind) {
    let world = kind.world(rules()).await;
    let mut ids = Vec::new();
    // Made in an order that is neither theirs nor that of their ids.
    for n in [3, 1, 4, 0, 2] {
        ids.push((n, world.begin(&ask(n), at(n.into())).await.newest_message()));
    }
    ids.sort_unstable();
    let mut taken = Vec::new();
    for expected in [&ids[0..2], &ids[2..4], &ids[4..]] {
        let batch: HashSet<_> = world.store.take_due(2, at(10)).await.unwrap().into_iter().collect();
        assert_eq!(batch, expected.iter().map(|(_, id)| *id).collect());
        taken.extend(batch);
    }
    assert_eq!(taken.len(), 5);
    assert_eq!(take(&world, at(10)).await, []);
}

async fn a_confirm_puts_the_relay_off_longer_each_time(kind: Kind) {
    let world = kind.world(rules()).await;
    let verification = world.begin(&ask(1), START).await;
    let id = verification.newest_message();
    let mut now = at(1);
    for (publishes, wait) in (1..).zip([30, 60, 120, 240, 480, 960, 1920, 1920]) {
        world.store.confirm_published(&[(id, now)]).await.unwrap();
        let row = world.message(id).await;
        assert_eq!((row.publishes, row.publish_at), (publishes, Some(now + secs(wait))));
        now = now + secs(wait);
        assert_eq!(take(&world, now - MS).await, []);
        assert_eq!(take(&world, now).await, [id]);
    }
    assert_eq!(world.read(&verification).await, verification, "callers see nothing of it");
    // Several at once, one of them twice, and one that is unknown.
    let others = [world.begin(&ask(2), START).await, world.begin(&ask(3), START).await];
    let [two, three] = others.map(|verification| verification.newest_message());
    let unknown = MessageId { seq: 9, ..two };
    world
        .store
        .confirm_published(&[(three, at(1)), (two, at(1)), (unknown, at(1)), (three, at(1))])
        .await
        .unwrap();
    for id in [two, three] {
        assert!(world.message(id).await.publish_at >= Some(at(31)));
    }
    world.store.confirm_published(&[]).await.unwrap();
}

async fn a_confirm_does_not_overwrite_a_later_due_time(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let grant = world.grant(&pending, at(1)).await;
    world.record(&grant, Outcome::Retry { after: secs(4), error: BUSY }, at(2)).await;
    let before = world.message(grant.id).await;
    world.store.confirm_published(&[(grant.id, at(3))]).await.unwrap();
    assert_eq!(world.message(grant.id).await, before);
    assert_eq!(take(&world, at(6)).await, [grant.id]);
    world.store.confirm_published(&[(grant.id, at(6))]).await.unwrap();
    assert_eq!(world.message(grant.id).await.publish_at, Some(at(36)));
}

/// Each try has a job of its own, and each of them may get lost.
async fn every_try_is_put_off_from_the_beginning(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let id = pending.newest_message();
    for now in [START, at(30), at(90)] {
        world.store.confirm_published(&[(id, now)]).await.unwrap();
    }
    let grant = world.grant(&pending, at(91)).await;
    world.record(&grant, Outcome::Retry { after: secs(4), error: BUSY }, at(92)).await;
    world.store.confirm_published(&[(id, at(96))]).await.unwrap();
    assert_eq!(world.message(id).await.publish_at, Some(at(126)));
}

async fn a_confirm_of_what_is_claimed_or_final_does_nothing(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let grant = world.grant(&pending, at(1)).await;
    let claimed = world.message(grant.id).await;
    world.store.confirm_published(&[(grant.id, at(2))]).await.unwrap();
    assert_eq!(world.message(grant.id).await, claimed);
    assert_eq!(take(&world, at(HOUR)).await, []);
    world.record(&grant, Outcome::Accepted, at(3)).await;
    let sent = world.message(grant.id).await;
    world.store.confirm_published(&[(grant.id, at(4))]).await.unwrap();
    assert_eq!(world.message(grant.id).await, sent);
    assert_eq!(take(&world, at(HOUR)).await, []);
}

async fn reap(world: &World, now: Timestamp) -> Reaped {
    world.store.reap(100, now).await.unwrap().0
}

async fn the_reaper_expires_what_is_past_its_time(kind: Kind) {
    let world = kind.world(rules()).await;
    let queued = world.begin(&ask(1), START).await;
    let sent = world.begin(&ask(2), START).await;
    world.deliver(&sent, START).await;
    let sent = world.read(&sent).await;
    let later = world.begin(&ask(3), at(1)).await;
    let approved = world.begin(&ask(4), START).await;
    let approved = world.approve(&approved, at(1)).await;

    let expiry = queued.expires_at;
    assert_eq!(reap(&world, expiry - MS).await, Reaped::default());
    let (reaped, events) = world.store.reap(100, expiry).await.unwrap();
    assert_eq!(reaped, Reaped { expired: 2, leases: 0, more: false });
    let ended = [world.read(&queued).await, world.read(&sent).await];
    assert_eq!(announced(&events), ended.iter().map(|row| (row.id, row.version)).collect());
    for (row, before) in ended.iter().zip([&queued, &sent]) {
        assert_eq!((row.status, row.ended_at, row.updated_at), (Status::Expired, Some(expiry), expiry));
        assert!(row.version > before.version);
    }
    assert_eq!(ended.map(|row| row.delivery), [Delivery::Expired, Delivery::Sent]);
    let row = world.message(queued.newest_message()).await;
    assert_eq!((row.state.as_str(), row.publish_at), ("expired", None));
    assert_eq!(world.message(sent.newest_message()).await.state, "sent");
    assert_eq!(world.claim(queued.newest_message(), expiry).await, Claimed::Done);
    assert_eq!([world.read(&later).await, world.read(&approved).await], [later, approved]);
    assert_eq!(reap(&world, expiry).await, Reaped::default(), "once");
}

async fn the_reaper_leaves_a_call_under_way_alone(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let grant = world.grant(&pending, at(1)).await;
    assert_eq!(reap(&world, at(31) - MS).await, Reaped::default());
    assert_eq!(world.record(&grant, Outcome::Accepted, at(31) - MS).await, Recorded::Done(Delivery::Sent));
    assert_eq!(reap(&world, at(31)).await, Reaped::default());
}

async fn a_lapsed_lease_is_ambiguous(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let mut silent = ask(2);
    silent.route = Route::Null;
    let silent = world.begin(&silent, START).await;
    world.grant(&pending, at(1)).await;
    world.grant(&silent, at(1)).await;
    let (reaped, events) = world.store.reap(100, at(31)).await.unwrap();
    assert_eq!(reaped, Reaped { expired: 0, leases: 2, more: false });
    let shown = world.read(&pending).await;
    assert_eq!(announced(&events).get(&pending.id), Some(&shown.version));
    assert_eq!(shown.delivery, Delivery::Queued);
    assert_eq!(shown.error.map(|error| error.code.as_str()), Some("worker-lost"));
    let row = world.message(pending.newest_message()).await;
    assert_eq!((row.ambiguous, row.attempts, row.claim, row.lease_until), (1, 1, None, None));
    // The number has rested since the claim.
    assert_eq!((row.due_at, row.publish_at), (at(31), Some(at(31))));
    let numbers = [world.report(1).await.number, world.report(2).await.number];
    assert_eq!(numbers.each_ref().map(|number| number.ambiguous_count), [1, 0]);
    assert_eq!(numbers.each_ref().map(|number| number.paced_until), [Some(at(31)), None]);
    assert_eq!(reap(&world, at(32)).await, Reaped::default());
    // The second worker dies too: that is as often as it is sent.
    let second = world.grant(&pending, at(61)).await;
    assert_eq!(reap(&world, at(91)).await.leases, 1);
    assert_eq!(world.record(&second, Outcome::Accepted, at(92)).await, Recorded::Stale);
    assert_eq!(world.read(&pending).await.delivery, Delivery::Unknown);
    assert_eq!(world.claim(pending.newest_message(), at(121)).await, Claimed::Done);
}

async fn a_lapsed_lease_of_an_expired_verification_is_unknown(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    world.grant(&pending, pending.expires_at - secs(20)).await;
    // One sweep finds both.
    let (reaped, events) = world.store.reap(100, pending.expires_at + secs(10)).await.unwrap();
    assert_eq!(reaped, Reaped { expired: 1, leases: 1, more: false });
    let shown = world.read(&pending).await;
    assert_eq!((shown.status, shown.delivery), (Status::Expired, Delivery::Unknown));
    assert_eq!(announced(&events), [(pending.id, shown.version)].into());
}

async fn a_sweep_is_bounded_and_says_so(kind: Kind) {
    let world = kind.world(rules()).await;
    let creates: Vec<_> = (0..7).map(ask).collect();
    all(world.store.create(&creates, START).await);
    let mut left = Vec::new();
    for _ in 0..3 {
        let (reaped, events) = world.store.reap(3, at(HOUR)).await.unwrap();
        assert_eq!(announced(&events).len(), reaped.expired);
        left.push((reaped.expired, reaped.more));
    }
    assert_eq!(left, [(3, true), (3, true), (1, false)]);

    let claimed: Vec<_> = (10..14).map(ask).collect();
    let pending: Vec<Verification> = {
        let mut pending = Vec::new();
        for create in &claimed {
            pending.push(world.begin(create, START).await);
        }
        pending
    };
    for verification in &pending {
        world.grant(verification, at(1)).await;
    }
    let sweep = world.store.reap(3, at(31)).await.unwrap().0;
    assert_eq!(sweep, Reaped { expired: 0, leases: 3, more: true });
    let sweep = world.store.reap(3, at(31)).await.unwrap().0;
    assert_eq!(sweep, Reaped { expired: 0, leases: 1, more: false });
}

/// A newer release may write what this one cannot read.
async fn a_row_that_cannot_be_read_stops_no_sweep(kind: Kind) {
    let world = kind.world(rules()).await;
    let creates: Vec<_> = (0..4).map(ask).collect();
    let mut made = Vec::new();
    for create in &creates {
        made.push(world.begin(create, START).await);
    }
    for verification in &made[..2] {
        world.grant(verification, at(1)).await;
    }
    // The oldest claim, and one that nobody has claimed.
    for verification in [&made[0], &made[2]] {
        let id = verification.id.simple();
        let (postgres, sqlite) = (format!("'{id}'"), format!("x'{id}'"));
        let id = if matches!(kind, Kind::Postgres) { postgres } else { sqlite };
        world.sql(&format!("UPDATE verifications SET purpose = 'novelty' WHERE id = {id}")).await;
    }
    let (reaped, events) = world.store.reap(100, at(31)).await.unwrap();
    assert_eq!(reaped, Reaped { expired: 0, leases: 1, more: false });
    assert_eq!(announced(&events).len(), 1);
    assert_eq!(reap(&world, at(DAY)).await, Reaped { expired: 2, leases: 0, more: false });
    // As many of them as one sweep takes: it is not to look again at once, for ever.
    assert_eq!(world.store.reap(1, at(DAY)).await.unwrap().0, Reaped::default());
    assert_eq!(world.count("verifications WHERE status = 'expired'").await, 2);
    assert_eq!(world.count("verifications WHERE status = 'pending'").await, 2);
}

async fn the_backlog_is_as_old_as_what_waits_longest(kind: Kind) {
    let world = kind.world(rules()).await;
    let waiting = async |now| world.store.waiting_since(now).await.unwrap();
    assert_eq!(waiting(at(DAY)).await, None);
    let second = world.begin(&ask(2), at(5)).await;
    let first = world.begin(&ask(1), at(1)).await;
    let mut silent = ask(3);
    silent.route = Route::Null;
    world.begin(&silent, START).await;
    let mut stranger = ask(4);
    stranger.key.purpose = Purpose::SignIn;
    world.begin(&stranger, START).await;
    assert_eq!(waiting(at(60)).await, Some(at(1)), "what sends nothing is no backlog");
    assert_eq!(world.store.waiting_count(10, at(60)).await.unwrap(), 2);
    let grant = world.grant(&first, at(60)).await;
    assert_eq!(waiting(at(60)).await, Some(at(5)), "a claimed one does not wait");
    world.record(&grant, Outcome::Retry { after: secs(10), error: BUSY }, at(61)).await;
    world.deliver(&second, at(61)).await;
    let retrying = async |now| world.store.retrying(10, now).await.unwrap();
    assert_eq!(retrying(at(62)).await, (1, Some(at(71))));
    assert_eq!(retrying(at(71)).await, (0, None), "it is due: it waits for a worker");
    assert_eq!(waiting(at(71) - MS).await, None, "nor does one that is not due");
    assert_eq!(waiting(at(80)).await, Some(at(71)));
}

async fn workers_count_while_they_are_heard_of(kind: Kind) {
    let world = kind.world(rules()).await;
    let [one, two] = [1, 2].map(Uuid::from_u128);
    let beat = async |worker, now| world.store.heartbeat(worker, now).await.unwrap();
    assert_eq!(beat(one, START).await, 1);
    assert_eq!(beat(one, at(1)).await, 1);
    assert_eq!(beat(two, at(2)).await, 2);
    assert_eq!(beat(two, at(1) + WORKER_TTL - MS).await, 2);
    assert_eq!(beat(two, at(1) + WORKER_TTL).await, 1, "the first is dead");
    assert_eq!(beat(one, at(5)).await, 2, "and back");
    world.store.leave(two).await.unwrap();
    assert_eq!(beat(one, at(5)).await, 1);
    world.store.leave(two).await.unwrap();
}

async fn what_is_to_be_done_is_counted_up_to_a_bound(kind: Kind) {
    let world = kind.world(rules()).await;
    let load = async |now| world.store.load(now).await.unwrap();
    assert_eq!(load(START).await, Load { outbox: 0, workers: 0 });
    for n in 1..=3 {
        world.begin(&ask(n), START).await;
    }
    world.store.heartbeat(Uuid::from_u128(1), START).await.unwrap();
    assert_eq!(load(START).await, Load { outbox: 0, workers: 1 }, "they are the publisher's for two seconds");
    assert_eq!(load(at(2)).await, Load { outbox: 3, workers: 1 });
    assert_eq!(load(at(3)).await.workers, 0, "it was not heard of again");
    take(&world, at(4)).await;
    assert_eq!(load(at(4)).await.outbox, 0, "a relay has them");
    assert_eq!(load(at(9)).await.outbox, 3, "it has not published them");
    let connections = world.store.connections();
    // One that has done its work comes back to its pool a moment later.
    assert!(connections.busy + connections.idle > 0, "{connections:?}");
}

async fn dead_workers_are_forgotten(kind: Kind) {
    let world = kind.world(rules()).await;
    for n in 0..5 {
        world.store.heartbeat(Uuid::from_u128(n), START).await.unwrap();
    }
    world.store.heartbeat(Uuid::from_u128(9), at(DAY)).await.unwrap();
    assert_eq!(world.count("workers").await, 1, "each start of a worker would leave a row for good");
}
