//! What must hold however many processes try at once: each race runs through several stores on one database.

use std::collections::HashSet;
use std::time::Duration;

use hulak_common::job::MessageId;
use hulak_common::limits::{NumberLimits, Policy};
use hulak_common::rules::Rules;
use hulak_common::verification::{Delivery, Status, Verification};
use hulak_store::{Check, Checked, Claimed, Created, Outcome, Recorded, TakesEffect};
use uuid::Uuid;

use crate::harness::*;
use crate::racing::{new, race};

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
    calls_on_one_verification_overwrite_nothing,
    an_approval_and_the_reaper_exclude_each_other,
);

async fn of_a_hundred_right_checks_one_wins(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let check = Check {
        client: CLIENT,
        id: pending.id,
        code: world.right(&pending),
        takes_effect: TakesEffect::AtOnce,
        remember: None,
    };
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
    let check = Check {
        client: CLIENT,
        id: pending.id,
        code: world.wrong(&pending),
        takes_effect: TakesEffect::AtOnce,
        remember: None,
    };
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
    let pending: Vec<Verification> =
        all(world.store.create(&creates, START).await).into_iter().map(new).collect();
    // Four guesses at each of twenty: no verification's own count stops them.
    let answers = race(&world, 80, |n, store| {
        let target = &pending[n % pending.len()];
        let check = Check {
            client: CLIENT,
            id: target.id,
            code: world.wrong(target),
            takes_effect: TakesEffect::AtOnce,
            remember: None,
        };
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
    let limits = NumberLimits { cooldown: Duration::ZERO.into(), hourly: 13, daily: 17 };
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
    let answers = race(&world, 50, |_, store| {
        let record = ended(&grant, Outcome::Accepted, None);
        async move { only(store.record(&[record], at(1)).await) }
    })
    .await;
    let done = answers.iter().filter(|recorded| **recorded == Recorded::Done(Delivery::Sent)).count();
    let already = answers.iter().filter(|recorded| **recorded == Recorded::Already).count();
    assert_eq!((done, already), (1, 49));
    assert_eq!(world.report(1).await.number.otp_count, 1);
    // Many messages of one number at once: none is forgotten.
    let ids = queue(&world, 2, 60).await;
    let generous = world.another(no_limits());
    let wishes: Vec<_> = ids.iter().map(|id| wish(*id)).collect();
    let grants = granted(generous.claim(&wishes, START).await);
    let answers = race(&world, ids.len(), |n, store| {
        let record = ended(&grants[n], Outcome::Accepted, None);
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
            let half: Vec<_> = batch[..batch.len() / 2].iter().map(|id| (*id, at(2))).collect();
            store.confirm_published(&half).await.unwrap();
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
    let grants = granted(world.store.claim(&wishes, START).await);
    // Half of the contenders are workers with an outcome, half are reapers that find the leases over.
    let answers = race(&world, 80, |n, store| {
        let record = ended(&grants[n / 2], Outcome::Accepted, None);
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

async fn calls_on_one_verification_overwrite_nothing(kind: Kind) {
    let world = kind.world(rules()).await;
    let mut pending = Vec::new();
    for n in 0..25 {
        let verification = world.begin(&ask(n), START).await;
        world.deliver(&verification, START).await;
        pending.push(world.read(&verification).await);
    }
    // Two wrong checks and a resend of each, which lock different rows first.
    race(&world, 75, |n, store| {
        let target = &pending[n / 3];
        let check = Check {
            client: CLIENT,
            id: target.id,
            code: world.wrong(target),
            takes_effect: TakesEffect::AtOnce,
            remember: None,
        };
        let create = ask(u32::try_from(n / 3).unwrap());
        async move {
            if n % 3 == 0 {
                let created = only(store.create(&[create], at(30)).await);
                assert!(matches!(created, Created::Again { added: true, .. }), "{created:?}");
            } else {
                let checked = only(store.check(&[check], at(30)).await);
                assert!(matches!(checked, Checked::Incorrect(_)), "{checked:?}");
            }
        }
    })
    .await;
    for target in &mut pending {
        let before = std::mem::replace(target, world.read(target).await);
        assert_eq!((target.messages, target.checks_remaining), (2, 3));
        assert_eq!(target.version, before.version + 3);
    }
    // The right code of the first message, while the second is being sent.
    race(&world, 50, |n, store| {
        let target = &pending[n / 2];
        let check = Check {
            client: CLIENT,
            id: target.id,
            code: world.right(target),
            takes_effect: TakesEffect::AtOnce,
            remember: None,
        };
        let wish = wish(target.newest_message());
        async move {
            if n % 2 == 0 {
                let checked = only(store.check(&[check], at(31)).await);
                assert!(matches!(checked, Checked::Approved(_)), "{checked:?}");
            } else if let Claimed::Granted(grant) = only(store.claim(&[wish], at(31)).await) {
                let record = ended(&grant, Outcome::Accepted, None);
                let recorded = only(store.record(&[record], at(31)).await);
                assert_eq!(recorded, Recorded::Done(Delivery::Sent));
            }
        }
    })
    .await;
    for (n, before) in (0..).zip(&pending) {
        let after = world.read(before).await;
        let sent = world.report(n).await.number.otp_count == 2;
        let (delivery, changes) = if sent { (Delivery::Sent, 3) } else { (Delivery::Canceled, 2) };
        assert_eq!((after.status, after.delivery), (Status::Approved, delivery));
        assert_eq!(after.version, before.version + changes);
        assert_eq!(world.message(before.newest_message()).await.state, delivery.as_str());
    }
}

async fn an_approval_and_the_reaper_exclude_each_other(kind: Kind) {
    let world = kind.world(rules()).await;
    let creates: Vec<_> = (0..40).map(ask).collect();
    let made = all(world.store.create(&creates, START).await);
    let pending: Vec<Verification> = made.into_iter().map(new).collect();
    let expiry = pending[0].expires_at;
    // Clocks differ by a moment: to the one it is over, to the other it is not.
    let approved: HashSet<_> = race(&world, 50, |n, store| {
        let check = pending.get(n).map(|row| Check {
            client: CLIENT,
            id: row.id,
            code: world.right(row),
            takes_effect: TakesEffect::AtOnce,
            remember: None,
        });
        async move {
            let Some(check) = check else {
                store.reap(10, expiry).await.unwrap();
                return None;
            };
            match only(store.check(std::slice::from_ref(&check), expiry - MS).await) {
                Checked::Approved(_) => Some(check.id),
                Checked::Expired => None,
                other => panic!("{other:?}"),
            }
        }
    })
    .await
    .into_iter()
    .flatten()
    .collect();
    while world.store.reap(10, expiry).await.unwrap().0.more {}
    for row in &pending {
        let status = if approved.contains(&row.id) { Status::Approved } else { Status::Expired };
        assert_eq!(world.read(row).await.status, status);
    }
}
