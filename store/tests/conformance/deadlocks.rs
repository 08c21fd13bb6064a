//! That no two transactions wait for each other in a circle, whatever they are about and in whatever order it came.

use hulak_common::code::Code;
use hulak_common::job::MessageId;
use hulak_common::verification::Verification;
use hulak_store::{Check, Claimed, Outcome, TakesEffect, WORKER_TTL};
use uuid::Uuid;

use crate::harness::*;
use crate::racing::{Racer, new, race};

on_both_stores!(
    batches_in_opposite_orders_do_not_deadlock,
    checks_and_the_reaper_do_not_deadlock,
    workers_beat_at_once,
);

async fn batches_in_opposite_orders_do_not_deadlock(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let numbers = 12;
    // Half of the numbers are known beforehand, half are new to everybody.
    let known: Vec<_> = (0..numbers / 2).map(|n| ask_in(n, "known")).collect();
    let pending: Vec<Verification> =
        all(world.store.create(&known, START).await).into_iter().map(new).collect();
    let in_some_order = |n: usize, mut items: Vec<usize>| {
        let shift = n % items.len().max(1);
        items.rotate_left(shift);
        if n.is_multiple_of(2) {
            items.reverse();
        }
        items
    };
    race(&world, 80, |n, store| {
        let order = in_some_order(n / 5, (0..numbers as usize).collect());
        let creates: Vec<_> =
            order.iter().map(|m| ask_in(u32::try_from(*m).unwrap(), &format!("{}", n % 8))).collect();
        let order = in_some_order(n / 5, (0..pending.len()).collect());
        let targets: Vec<_> = order.iter().map(|m| pending[*m].clone()).collect();
        let code =
            |target: &Verification| if n % 10 == 1 { world.right(target) } else { world.wrong(target) };
        let checks: Vec<_> = targets
            .iter()
            .map(|row| Check {
                client: CLIENT,
                id: row.id,
                code: code(row),
                takes_effect: TakesEffect::AtOnce,
                remember: None,
            })
            .collect();
        let wishes: Vec<_> = targets.iter().map(|row| wish(row.newest_message())).collect();
        let confirms: Vec<_> = targets.iter().map(|row| (row.newest_message(), at(1))).collect();
        async move {
            match n % 5 {
                0 => drop(all(store.create(&creates, at(1)).await)),
                1 => drop(all(store.check(&checks, at(1)).await)),
                2 => {
                    let claimed = all(store.claim(&wishes, at(1)).await);
                    let records: Vec<_> = claimed
                        .into_iter()
                        .filter_map(|claimed| match claimed {
                            Claimed::Granted(grant) => Some(ended(&grant, Outcome::Accepted, None)),
                            _ => None,
                        })
                        .collect();
                    drop(all(store.record(&records, at(1)).await));
                }
                3 => store.confirm_published(&confirms).await.unwrap(),
                // Late enough for every lease and every verification.
                _ => drop(store.reap(8, at(HOUR)).await.unwrap()),
            }
        }
    })
    .await;
    for (n, target) in (0..).zip(&pending) {
        let number = world.report(n).await.number;
        let row = world.message(target.newest_message()).await;
        assert_eq!(number.otp_count, i64::from(row.state == "sent"));
        assert_eq!(number.ambiguous_count, i64::from(row.ambiguous));
    }
    assert_eq!(world.deadlocks().await, 0, "locks are taken in one order everywhere");
}

async fn checks_and_the_reaper_do_not_deadlock(kind: Kind) {
    let world = kind.world(rules()).await;
    // Smaller numbers are past their time, greater ones have lost their worker: a sweep wants both, and whoever takes
    // the greater first meets those who go by number.
    let begin = async |numbers: std::ops::Range<u32>, now| {
        let creates: Vec<_> = numbers.map(ask).collect();
        all(world.store.create(&creates, now).await);
        creates
    };
    let overdue = begin(0..24, START).await;
    let lapsed = begin(24..48, at(100)).await;
    let wishes: Vec<_> =
        lapsed.iter().map(|create| wish(MessageId { verification: create.id, seq: 1 })).collect();
    all(world.store.claim(&wishes, at(100)).await);
    let checks: Vec<_> = overdue
        .iter()
        .chain(&lapsed)
        .map(|create| Check {
            client: CLIENT,
            id: create.id,
            code: Code::typed("000000".to_owned()),
            takes_effect: TakesEffect::AtOnce,
            remember: None,
        })
        .collect();
    race(&world, 8, |n, store| {
        let checks = checks.clone();
        async move {
            for _ in 0..12 {
                if n < 2 {
                    store.reap(2, at(301)).await.unwrap();
                } else {
                    drop(all(store.check(&checks, at(301)).await));
                }
            }
        }
    })
    .await;
    assert_eq!(world.count("messages WHERE state = 'sending'").await, 0);
    assert_eq!(world.count("verifications WHERE status = 'expired'").await, 24);
    assert_eq!(world.deadlocks().await, 0, "locks are taken in one order everywhere");
}

async fn workers_beat_at_once(kind: Kind) {
    let world = kind.world(rules()).await;
    let beat = |n: usize, now| {
        move |store: Racer| async move { store.heartbeat(Uuid::from_u128(n as u128 % 10), now).await.unwrap() }
    };
    race(&world, 40, |n, store| beat(n, START)(store)).await;
    assert_eq!(world.store.heartbeat(Uuid::from_u128(0), START).await.unwrap(), 10);
    // Everybody finds the same dead ones at the same time.
    race(&world, 40, |n, store| beat(n + 100, START + WORKER_TTL * 100)(store)).await;
    assert_eq!(world.count("workers").await, 10);
}
