//! What must hold however many processes try at once: each race runs through several stores on one database.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hulak_common::code::Code;
use hulak_common::job::MessageId;
use hulak_common::limits::{NumberLimits, Policy};
use hulak_common::store::{
    Check, Checked, Claimed, Created, Outcome, Record, Recorded, Rules, Store, WORKER_TTL,
};
use hulak_common::verification::{Delivery, Verification};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::harness::*;

on_both_stores!(
    of_a_hundred_right_checks_one_wins,
    of_a_hundred_guesses_five_are_judged,
    the_numbers_budget_holds_over_verifications,
    a_hundred_creates_make_one_verification_and_one_message,
    quotas_are_exact_over_sessions_and_clients,
    a_hundred_claims_grant_one,
    one_number_is_sent_to_once_in_a_cooldown,
    one_outcome_is_counted_once,
    relays_share_the_outbox,
    claims_and_the_reaper_agree,
    resends_add_one_message,
    batches_in_opposite_orders_do_not_deadlock,
    checks_and_the_reaper_do_not_deadlock,
    workers_beat_at_once,
);

/// However slow the machine is, nothing may take this long.
const BOUND: Duration = Duration::from_secs(60);

/// Runs `contenders` tasks that start together, spread over the stores, and gives their answers in no order.
async fn race<T, F, Fut>(world: &World, contenders: usize, run: F) -> Vec<T>
where
    T: Send + 'static,
    F: Fn(usize, Arc<dyn Store>) -> Fut,
    Fut: Future<Output = T> + Send + 'static,
{
    let stores = world.racers();
    let start = Arc::new(Barrier::new(contenders));
    let mut tasks = JoinSet::new();
    for n in 0..contenders {
        let go = run(n, Arc::clone(&stores[n % stores.len()]));
        let start = Arc::clone(&start);
        tasks.spawn(async move {
            start.wait().await;
            go.await
        });
    }
    tokio::time::timeout(BOUND, tasks.join_all()).await.expect("they end in time")
}

async fn of_a_hundred_right_checks_one_wins(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let check = Check { client: CLIENT, id: pending.id, code: world.right(&pending) };
    let answers = race(&world, 100, |_, store| {
        let check = check.clone();
        async move { only(store.check(&[check], at(1)).await) }
    })
    .await;
    let won = answers.iter().filter(|checked| matches!(checked, Checked::Approved(_))).count();
    let late = answers.iter().filter(|checked| **checked == Checked::AlreadyApproved).count();
    assert_eq!((won, late), (1, 99), "{answers:?}");
    assert_eq!(world.read(&pending).await.version, 2);
}

async fn of_a_hundred_guesses_five_are_judged(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let check = Check { client: CLIENT, id: pending.id, code: world.wrong(&pending) };
    let answers = race(&world, 100, |_, store| {
        let check = check.clone();
        async move { only(store.check(&[check], at(1)).await) }
    })
    .await;
    let mut remaining: Vec<_> = answers
        .iter()
        .filter_map(|checked| match checked {
            Checked::Incorrect(charged) => Some(charged.checks_remaining),
            Checked::TooMany(_) => None,
            other => panic!("{other:?}"),
        })
        .collect();
    remaining.sort_unstable();
    assert_eq!(remaining, [0, 1, 2, 3, 4], "each was told a different number");
    assert_eq!(world.report(1).await.client.failed_checks.count(at(1), secs(DAY)), 5);
}

async fn the_numbers_budget_holds_over_verifications(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let creates: Vec<_> = (0..20).map(|n| ask_in(1, &n.to_string())).collect();
    let pending: Vec<Verification> = all(world.store.create(&creates, START).await)
        .into_iter()
        .map(|created| match created {
            Created::New(verification) => verification,
            other => panic!("{other:?}"),
        })
        .collect();
    // Four guesses at each of twenty: no verification's own count stops them.
    let answers = race(&world, 80, |n, store| {
        let target = &pending[n % pending.len()];
        let check = Check { client: CLIENT, id: target.id, code: world.wrong(target) };
        async move { only(store.check(&[check], at(1)).await) }
    })
    .await;
    let judged = answers.iter().filter(|checked| matches!(checked, Checked::Incorrect(_))).count();
    let refused = answers.iter().filter(|checked| matches!(checked, Checked::TooMany(_))).count();
    assert_eq!((judged, refused), (20, 60));
    assert_eq!(world.report(1).await.client.failed_checks.count(at(1), secs(DAY)), 20);
}

async fn a_hundred_creates_make_one_verification_and_one_message(kind: Kind) {
    let world = kind.world(rules()).await;
    let answers =
        race(&world, 100, |_, store| async move { only(store.create(&[ask(1)], START).await) }).await;
    let new: Vec<_> = answers
        .iter()
        .filter_map(|created| match created {
            Created::New(verification) => Some(verification.clone()),
            Created::Live(_) => None,
            other => panic!("{other:?}"),
        })
        .collect();
    let [new] = new.as_slice() else { panic!("{new:?}") };
    assert!(
        answers.iter().all(|created| matches!(created, Created::New(row) | Created::Live(row) if row == new))
    );
    assert_eq!((world.count("verifications").await, world.count("messages").await), (1, 1));
    assert_eq!(world.report(1).await.number.asked.count(START, secs(HOUR)), 1);
}

async fn quotas_are_exact_over_sessions_and_clients(kind: Kind) {
    let limits = NumberLimits { cooldown: Duration::ZERO, hourly: 13, daily: 17 };
    let world = kind.world(Rules { limits, ..rules() }).await;
    for (now, expected, policy) in [(0, 13, Policy::NumberHour), (HOUR, 4, Policy::NumberDay)] {
        let answers = race(&world, 200, |n, store| {
            let mut create = ask_in(1, &format!("{now} {n}"));
            create.key.client = Uuid::from_u128((n % 7) as u128);
            async move { only(store.create(&[create], at(now)).await) }
        })
        .await;
        let made = answers.iter().filter(|created| matches!(created, Created::New(_))).count();
        let limited =
            |created: &&Created| matches!(created, Created::Limited(limit) if limit.policy == policy);
        assert_eq!((made, answers.iter().filter(limited).count()), (expected, 200 - expected));
    }
    assert_eq!((world.count("verifications").await, world.count("messages").await), (17, 17));
}

async fn a_hundred_claims_grant_one(kind: Kind) {
    let world = kind.world(rules()).await;
    let id = world.begin(&ask(1), START).await.newest_message();
    let answers =
        race(&world, 100, |_, store| async move { only(store.claim(&[wish(id)], START).await) }).await;
    let granted: Vec<_> = answers
        .iter()
        .filter_map(|claimed| match claimed {
            Claimed::Granted(grant) => Some(grant.claim),
            Claimed::Done => None,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(granted.len(), 1);
    let row = world.message(id).await;
    assert_eq!((row.claim, row.attempts), (Some(granted[0]), 1));
}

/// Verifications of one number with a message waiting each.
async fn queue(world: &World, n: u32, length: usize) -> Vec<MessageId> {
    let creates: Vec<_> = (0..length).map(|session| ask_in(n, &session.to_string())).collect();
    let made = all(world.another(no_limits()).create(&creates, START).await);
    made.iter().map(|created| created.to_publish().expect("each is new")).collect()
}

async fn one_number_is_sent_to_once_in_a_cooldown(kind: Kind) {
    let world = kind.world(rules()).await;
    let ids = queue(&world, 1, 50).await;
    // At its start, just before its end, and at its end.
    for (now, expected) in [(at(0), 1), (at(30) - MS, 0), (at(30), 1)] {
        let answers = race(&world, ids.len(), |n, store| {
            let id = ids[n];
            async move { only(store.claim(&[wish(id)], now).await) }
        })
        .await;
        let granted: Vec<_> = answers
            .into_iter()
            .filter_map(|claimed| match claimed {
                Claimed::Granted(grant) => Some(*grant),
                Claimed::Paced(_) | Claimed::NotDue(_) | Claimed::Done => None,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(granted.len(), expected, "at {now}");
        for grant in granted {
            assert_eq!(world.record(&grant, Outcome::Accepted, now).await, Recorded::Done(Delivery::Sent));
        }
    }
    assert_eq!(world.report(1).await.number.otp_count, 2);
}

async fn one_outcome_is_counted_once(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let grant = world.grant(&pending, START).await;
    let record = Record { id: grant.id, claim: grant.claim, outcome: Outcome::Accepted };
    let answers =
        race(&world, 50, |_, store| async move { only(store.record(&[record], at(1)).await) }).await;
    let done = answers.iter().filter(|recorded| **recorded == Recorded::Done(Delivery::Sent)).count();
    let already = answers.iter().filter(|recorded| **recorded == Recorded::Already).count();
    assert_eq!((done, already), (1, 49));
    assert_eq!(world.report(1).await.number.otp_count, 1);
    // Many messages of one number at once: none is forgotten.
    let ids = queue(&world, 2, 60).await;
    let generous = world.another(no_limits());
    let wishes: Vec<_> = ids.iter().map(|id| wish(*id)).collect();
    all(generous.claim(&wishes, START).await);
    let answers = race(&world, ids.len(), |n, store| {
        let record = Record { id: wishes[n].id, claim: wishes[n].claim, outcome: Outcome::Accepted };
        async move { only(store.record(&[record], at(1)).await) }
    })
    .await;
    assert_eq!(answers, [Recorded::Done(Delivery::Sent); 60]);
    assert_eq!(world.report(2).await.number.otp_count, 60);
}

async fn relays_share_the_outbox(kind: Kind) {
    let world = kind.world(rules()).await;
    let creates: Vec<_> = (0..300).map(ask).collect();
    all(world.store.create(&creates, START).await);
    let taken = race(&world, 8, |_, store| async move {
        let mut mine = Vec::new();
        loop {
            let batch = store.take_due(16, at(2)).await.unwrap();
            assert!(batch.len() <= 16);
            if batch.is_empty() {
                return mine;
            }
            store.confirm_published(&batch[..batch.len() / 2], at(2)).await.unwrap();
            mine.extend(batch);
        }
    })
    .await;
    let all: Vec<_> = taken.into_iter().flatten().collect();
    let different: HashSet<_> = all.iter().copied().collect();
    assert_eq!((all.len(), different.len()), (different.len(), different.len()), "no row was taken twice");
    // Rows that a relay skipped because another had them locked are there for the next look.
    let left = world.store.take_due(300, at(2)).await.unwrap();
    assert_eq!(all.len() + left.len(), 300);
    assert!(left.iter().all(|id| !different.contains(id)));
}

async fn claims_and_the_reaper_agree(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let ids = queue(&world, 1, 40).await;
    let wishes: Vec<_> = ids.iter().map(|id| wish(*id)).collect();
    all(world.store.claim(&wishes, START).await);
    // Half of the contenders are workers with an outcome, half are reapers that find the leases over.
    let answers = race(&world, 80, |n, store| {
        let record = Record { id: wishes[n / 2].id, claim: wishes[n / 2].claim, outcome: Outcome::Accepted };
        async move {
            if n % 2 == 0 {
                Some(only(store.record(&[record], at(30)).await))
            } else {
                let (reaped, events) = store.reap(4, at(30)).await.unwrap();
                assert!(events.len() >= reaped.leases);
                None
            }
        }
    })
    .await;
    let recorded: Vec<_> = answers.into_iter().flatten().collect();
    let sent = recorded.iter().filter(|recorded| **recorded == Recorded::Done(Delivery::Sent)).count();
    let stale = recorded.iter().filter(|recorded| **recorded == Recorded::Stale).count();
    assert_eq!(sent + stale, 40, "{recorded:?}");
    while world.store.reap(10, at(30)).await.unwrap().0.leases > 0 {}
    let number = world.report(1).await.number;
    assert_eq!((number.otp_count, number.ambiguous_count), (sent as i64, stale as i64));
    assert_eq!(world.count("messages WHERE state = 'sending'").await, 0);
    assert_eq!(world.count("messages WHERE state = 'sent'").await, sent as i64);
}

async fn resends_add_one_message(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    world.deliver(&pending, START).await;
    let answers =
        race(&world, 60, |_, store| async move { only(store.create(&[ask(1)], at(30)).await) }).await;
    let added =
        answers.iter().filter(|created| matches!(created, Created::Again { added: true, .. })).count();
    let live = answers.iter().filter(|created| matches!(created, Created::Live(_))).count();
    assert_eq!((added, live), (1, 59));
    assert_eq!(world.count("messages").await, 2);
}

async fn batches_in_opposite_orders_do_not_deadlock(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let numbers = 12;
    // Half of the numbers are known beforehand, half are new to everybody.
    let known: Vec<_> = (0..numbers / 2).map(|n| ask_in(n, "known")).collect();
    let pending: Vec<Verification> = all(world.store.create(&known, START).await)
        .into_iter()
        .map(|created| match created {
            Created::New(verification) => verification,
            other => panic!("{other:?}"),
        })
        .collect();
    let in_some_order = |n: usize, mut items: Vec<usize>| {
        let shift = n % items.len().max(1);
        items.rotate_left(shift);
        if n.is_multiple_of(2) {
            items.reverse();
        }
        items
    };
    race(&world, 64, |n, store| {
        let order = in_some_order(n / 4, (0..numbers as usize).collect());
        let creates: Vec<_> =
            order.iter().map(|m| ask_in(u32::try_from(*m).unwrap(), &format!("{}", n % 8))).collect();
        let order = in_some_order(n / 4, (0..pending.len()).collect());
        let targets: Vec<_> = order.iter().map(|m| pending[*m].clone()).collect();
        let code = |target: &Verification| if n % 8 == 1 { world.right(target) } else { world.wrong(target) };
        let checks: Vec<_> =
            targets.iter().map(|row| Check { client: CLIENT, id: row.id, code: code(row) }).collect();
        let wishes: Vec<_> = targets.iter().map(|row| wish(row.newest_message())).collect();
        async move {
            match n % 4 {
                0 => drop(all(store.create(&creates, at(1)).await)),
                1 => drop(all(store.check(&checks, at(1)).await)),
                2 => {
                    let claimed = all(store.claim(&wishes, at(1)).await);
                    let records: Vec<_> = claimed
                        .into_iter()
                        .filter_map(|claimed| match claimed {
                            Claimed::Granted(grant) => {
                                Some(Record { id: grant.id, claim: grant.claim, outcome: Outcome::Accepted })
                            }
                            _ => None,
                        })
                        .collect();
                    drop(all(store.record(&records, at(1)).await));
                }
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
        .map(|create| Check { client: CLIENT, id: create.id, code: Code::typed("000000".to_owned()) })
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
        move |store: Arc<dyn Store>| async move {
            store.heartbeat(Uuid::from_u128(n as u128 % 10), now).await.unwrap()
        }
    };
    race(&world, 40, |n, store| beat(n, START)(store)).await;
    assert_eq!(world.store.heartbeat(Uuid::from_u128(0), START).await.unwrap(), 10);
    // Everybody finds the same dead ones at the same time.
    race(&world, 40, |n, store| beat(n + 100, START + WORKER_TTL * 100)(store)).await;
    assert_eq!(world.count("workers").await, 10);
}
