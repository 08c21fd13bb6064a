//! What is kept about requests: quotas of clients and addresses, first answers, resends and cancels by id, lists, blocks.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::idempotency::Remember;
use hulak_common::limits::{LimitReached, Policy};
use hulak_common::rate_limit::Quota;
use hulak_common::rules::{Quotas, Rules};
use hulak_common::time::Timestamp;
use hulak_common::verification::{Delivery, Status, Verification};
use hulak_store::{
    Block, Cancel, Canceled, Checked, Claimed, Create, Created, Ended, List, Resend, Resent, TakesEffect,
};
use uuid::Uuid;

use crate::harness::*;
use crate::racing::race;

on_both_stores!(
    a_client_has_its_quota_over_all_numbers,
    a_test_number_pays_its_clients_quota,
    an_address_has_its_quota_within_a_client,
    a_refusal_charges_nobody,
    quotas_hold_among_racers,
    the_same_request_twice_is_done_once,
    a_key_is_good_for_one_request,
    a_refusal_is_not_kept,
    an_answer_is_kept_for_a_day,
    one_key_among_racers_makes_one_verification,
    a_check_is_answered_again,
    a_resend_by_id_adds_a_message,
    a_resend_by_id_waits_and_ends,
    what_is_canceled_is_not_sent,
    an_ended_one_is_not_canceled,
    a_list_is_paged_newest_first,
    a_list_takes_what_was_asked_for,
    a_block_holds_until_it_ends,
    what_no_longer_counts_is_deleted,
);

fn quotas(client: Option<u32>, address: Option<u32>) -> Rules {
    let client = client.map(|amount| Quota { policy: Policy::Client, amount, window: secs(1) });
    let address = address.map(|amount| Quota { policy: Policy::Address, amount, window: secs(HOUR) });
    Rules { quotas: Quotas { client, address }, ..rules() }
}

fn from(n: u32, address: &str) -> Create {
    Create { address: Some(address.parse().unwrap()), ..ask(n) }
}

fn refusal(created: &Created) -> Option<(Policy, Timestamp)> {
    match created {
        Created::Limited(LimitReached { policy, retry_at, .. }) => Some((*policy, *retry_at)),
        _ => None,
    }
}

async fn a_client_has_its_quota_over_all_numbers(kind: Kind) {
    let world = kind.world(quotas(Some(4), None)).await;
    for n in 0..4 {
        assert!(matches!(world.create(&ask(n), START).await, Created::New(_)));
    }
    let (policy, opens) = refusal(&world.create(&ask(4), START).await).expect("a limit");
    assert_eq!((policy, opens), (Policy::Client, START + 251 * MS));
    // A reload is not a message, and another client is not this one.
    assert!(matches!(world.create(&ask(3), START).await, Created::Live(_)));
    assert!(matches!(world.create(&ask_of(OTHER_CLIENT, 4), START).await, Created::New(_)));
    assert!(matches!(world.create(&ask(6), opens).await, Created::New(_)));
    assert!(refusal(&world.create(&ask(5), opens).await).is_some());
}

/// Its own limits do not hold, but the work is its client's.
async fn a_test_number_pays_its_clients_quota(kind: Kind) {
    let world = kind.world(quotas(Some(2), None)).await;
    let silent = |n: u32| {
        let mut create = ask_in(1, &n.to_string());
        create.route = hulak_common::verification::Route::Null;
        create
    };
    for n in 0..2 {
        world.begin(&silent(n), START).await;
    }
    let (policy, _) = refusal(&world.create(&silent(2), START).await).expect("a limit");
    assert_eq!(policy, Policy::Client);
    world.begin(&silent(3), at(1)).await;
}

async fn an_address_has_its_quota_within_a_client(kind: Kind) {
    let world = kind.world(quotas(None, Some(2))).await;
    for (n, address) in [(0, "2001:db8::1"), (1, "2001:db8::2:0:0:1")] {
        assert!(matches!(world.create(&from(n, address), START).await, Created::New(_)));
    }
    let (policy, _) = refusal(&world.create(&from(2, "2001:db8::3"), START).await).expect("one /64");
    assert_eq!(policy, Policy::Address);
    for create in [from(3, "2001:db8:0:1::1"), from(4, "192.0.2.1"), ask(5)] {
        assert!(matches!(world.create(&create, START).await, Created::New(_)));
    }
    let mut other = from(6, "2001:db8::1");
    other.key.client = OTHER_CLIENT;
    assert!(matches!(world.create(&other, START).await, Created::New(_)));
    assert!(matches!(world.create(&from(2, "2001:db8::3"), at(1_801)).await, Created::New(_)));
}

async fn a_refusal_charges_nobody(kind: Kind) {
    let world = kind.world(quotas(Some(1), Some(1))).await;
    assert!(matches!(world.create(&from(1, "192.0.2.1"), START).await, Created::New(_)));
    // Refused for the address; the client's quota stays whole for others.
    let (policy, _) = refusal(&world.create(&from(2, "192.0.2.1"), at(2)).await).expect("a limit");
    assert_eq!(policy, Policy::Address);
    assert!(matches!(world.create(&from(2, "192.0.2.2"), at(2)).await, Created::New(_)));
    assert_eq!(world.report(3).await.number.asked.count(at(2), secs(HOUR)), 0);
}

async fn quotas_hold_among_racers(kind: Kind) {
    let world = kind.world(quotas(Some(10), None)).await;
    let answers = race(&world, 60, |n, store| {
        let create = ask(u32::try_from(n).unwrap());
        async move { only(store.create(&[create], START).await) }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Created::New(_))).count(), 10);
    assert_eq!(answers.iter().filter(|answer| refusal(answer).is_some()).count(), 50);
    assert_eq!(world.count("verifications").await, 10);
}

/// A request that may come twice; its answer is kept as the verification's id when something was done.
fn once(scope: u8, body: u8, create: Create) -> Create {
    let write = |created: &Created, at: Timestamp| match created {
        Created::New(row) | Created::Live(row) => Some(format!("{} {}", row.id, at.as_millis())),
        _ => None,
    };
    let remember = Remember { scope: [scope; 32], bodies: vec![[body; 32]], write: Arc::new(write) };
    Create { remember: Some(remember), ..create }
}

async fn the_same_request_twice_is_done_once(kind: Kind) {
    let world = kind.world(rules()).await;
    let first = world.begin(&once(1, 1, ask(1)), START).await;
    let kept = Created::Answered(format!("{} {}", first.id, START.as_millis()));
    // The second has an id of its own, and would come much later.
    assert_eq!(world.create(&once(1, 1, ask(1)), at(HOUR)).await, kept);
    // Within one batch, too.
    let batch = [once(2, 1, ask(2)), once(2, 1, ask(2))];
    let answers = all(world.store.create(&batch, START).await);
    assert!(matches!(answers.as_slice(), [Created::New(_), Created::Answered(_)]), "{answers:?}");
    assert_eq!(world.count("verifications").await, 2);
    assert_eq!(world.count("messages").await, 2);
}

async fn a_key_is_good_for_one_request(kind: Kind) {
    let world = kind.world(rules()).await;
    world.begin(&once(1, 1, ask(1)), START).await;
    assert_eq!(world.create(&once(1, 2, ask(2)), START).await, Created::KeyReused);
    assert!(matches!(world.create(&once(2, 2, ask(2)), START).await, Created::New(_)));
    // A body hashed under the present secret and the previous one is the same body.
    let mut rotated = once(1, 9, ask(1));
    if let Some(remember) = &mut rotated.remember {
        remember.bodies.push([1; 32]);
    }
    assert!(matches!(world.create(&rotated, START).await, Created::Answered(_)));
}

async fn a_refusal_is_not_kept(kind: Kind) {
    let world = kind.world(rules()).await;
    let other = |session| once(7, 7, ask_in(1, session));
    world.begin(&ask(1), START).await;
    assert!(refusal(&world.create(&other("a"), START).await).is_some());
    assert!(matches!(world.create(&other("a"), at(31)).await, Created::New(_)), "the key is still good");
}

async fn an_answer_is_kept_for_a_day(kind: Kind) {
    let world = kind.world(rules()).await;
    world.begin(&once(1, 1, ask(1)), START).await;
    assert!(matches!(world.create(&once(1, 1, ask(1)), at(DAY) - MS).await, Created::Answered(_)));
    world.begin(&once(1, 2, ask(1)), at(DAY)).await;
    assert!(matches!(world.create(&once(1, 2, ask(1)), at(DAY)).await, Created::Answered(_)));
    assert_eq!(world.count("answers").await, 1);
}

async fn one_key_among_racers_makes_one_verification(kind: Kind) {
    let world = kind.world(no_limits()).await;
    // Each would make one of its own: only the key tells that they are one request.
    let answers = race(&world, 40, |n, store| {
        let create = once(1, 1, ask_in(1, &n.to_string()));
        async move { only(store.create(&[create], START).await) }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Created::New(_))).count(), 1);
    assert!(answers.iter().all(|answer| matches!(answer, Created::New(_) | Created::Answered(_))));
    assert_eq!((world.count("verifications").await, world.count("messages").await), (1, 1));
}

async fn a_check_is_answered_again(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let check = |scope: u8, code| {
        let write = |checked: &Checked, _| match checked {
            Checked::Approved(_) => Some("approved".to_owned()),
            Checked::Incorrect(row) => Some(row.checks_remaining.to_string()),
            _ => None,
        };
        let remember = Remember { scope: [scope; 32], bodies: vec![[0; 32]], write: Arc::new(write) };
        hulak_store::Check {
            client: CLIENT,
            id: pending.id,
            code,
            takes_effect: TakesEffect::AtOnce,
            remember: Some(remember),
        }
    };
    let wrong = || check(1, world.wrong(&pending));
    assert!(matches!(only(world.store.check(&[wrong()], START).await), Checked::Incorrect(_)));
    assert_eq!(only(world.store.check(&[wrong()], START).await), Checked::Answered("4".to_owned()));
    let right = || check(2, world.right(&pending));
    assert!(matches!(only(world.store.check(&[right()], START).await), Checked::Approved(_)));
    let again = Checked::Answered("approved".to_owned());
    assert_eq!(only(world.store.check(&[right()], START).await), again);
    assert_eq!(world.check_right(&pending, START).await, Checked::AlreadyApproved);
    assert_eq!(world.read(&pending).await.checks_remaining, 4);
}

async fn resend(world: &World, client: Uuid, id: Uuid, now: Timestamp) -> Resent {
    only(world.store.resend(&[Resend { client, id, address: None, remember: None }], now).await)
}

async fn a_resend_by_id_adds_a_message(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    world.deliver(&pending, START).await;
    assert_eq!(resend(&world, OTHER_CLIENT, pending.id, at(30)).await, Resent::NotFound);
    assert_eq!(resend(&world, CLIENT, Uuid::nil(), at(30)).await, Resent::NotFound);
    let Resent::Again { verification, added: true } = resend(&world, CLIENT, pending.id, at(30)).await else {
        panic!("not added");
    };
    assert_eq!((verification.messages, verification.delivery), (2, Delivery::Queued));
    assert_eq!(verification.resend_after, at(60));
    // The second is still on its way; a third would be a copy of it.
    let again = resend(&world, CLIENT, pending.id, at(60)).await;
    assert!(matches!(again, Resent::Again { added: false, .. }), "{again:?}");
    world.deliver(&verification, at(60)).await;
    assert_eq!(world.report(1).await.number.asked.count(at(60), secs(HOUR)), 2);
    // It answers as the first time when it comes twice.
    let write = |resent: &Resent, _| matches!(resent, Resent::Again { .. }).then(|| "again".to_owned());
    let remember = Remember { scope: [1; 32], bodies: vec![[1; 32]], write: Arc::new(write) };
    let item = Resend { client: CLIENT, id: pending.id, address: None, remember: Some(remember) };
    assert!(matches!(
        only(world.store.resend(std::slice::from_ref(&item), at(60)).await),
        Resent::Again { .. }
    ));
    assert_eq!(only(world.store.resend(&[item], at(60)).await), Resent::Answered("again".to_owned()));
    assert_eq!(world.count("messages").await, 3);
}

async fn a_resend_by_id_waits_and_ends(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    world.deliver(&pending, START).await;
    let early = resend(&world, CLIENT, pending.id, at(30) - MS).await;
    let Resent::Limited(limit) = early else { panic!("{early:?}") };
    assert_eq!((limit.policy, limit.retry_at), (Policy::NumberCooldown, at(30)));
    // Another client's message to the same number counts, too.
    world.begin(&ask_of(OTHER_CLIENT, 1), at(30)).await;
    let Resent::Limited(limit) = resend(&world, CLIENT, pending.id, at(31)).await else { panic!("no limit") };
    assert_eq!((limit.policy, limit.retry_at), (Policy::NumberCooldown, at(60)));

    let blocked = Block { client: CLIENT, phone: phone(1), block: Some((at(90), None)) };
    world.store.block(&blocked, START).await.unwrap();
    assert_eq!(resend(&world, CLIENT, pending.id, at(61)).await, Resent::Blocked { until: at(90) });
    let expired = resend(&world, CLIENT, pending.id, at(5 * MINUTE)).await;
    assert_eq!(expired, Resent::Ended(Ended::Expired));
    let second = world.begin(&ask(2), START).await;
    world.approve(&second, START).await;
    assert_eq!(resend(&world, CLIENT, second.id, at(30)).await, Resent::Ended(Ended::Approved));
}

async fn cancel(world: &World, client: Uuid, row: &Verification, now: Timestamp) -> Canceled {
    only(world.store.cancel(&[Cancel { client, id: row.id }], now).await)
}

async fn what_is_canceled_is_not_sent(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    assert_eq!(cancel(&world, OTHER_CLIENT, &pending, START).await, Canceled::NotFound);
    let batch = world.store.cancel(&[Cancel { client: CLIENT, id: pending.id }], at(1)).await;
    assert_eq!(announced(&batch.events).len(), 1);
    let Canceled::Done(row) = only(batch) else { panic!("not canceled") };
    assert_eq!((row.status, row.delivery), (Status::Canceled, Delivery::Canceled));
    assert_eq!(cancel(&world, CLIENT, &pending, at(2)).await, Canceled::Done(row.clone()), "as before");
    assert_eq!(world.claim(pending.newest_message(), at(2)).await, Claimed::Done);
    assert_eq!(world.store.take_due(10, at(60)).await.unwrap(), []);
    assert_eq!(world.check_right(&pending, at(2)).await, Checked::Canceled);

    // What a worker holds goes out, and is counted.
    let held = world.begin(&ask(2), START).await;
    let grant = world.grant(&held, START).await;
    let Canceled::Done(row) = cancel(&world, CLIENT, &held, START).await else { panic!("not canceled") };
    assert_eq!((row.status, row.delivery), (Status::Canceled, Delivery::Sending));
    world.record(&grant, hulak_store::Outcome::Accepted, START).await;
    let row = world.read(&held).await;
    assert_eq!((row.status, row.delivery), (Status::Canceled, Delivery::Sent));
    assert_eq!(world.report(2).await.number.otp_count, 1);
}

async fn an_ended_one_is_not_canceled(kind: Kind) {
    let world = kind.world(rules()).await;
    let (approved, expired) = (world.begin(&ask(1), START).await, world.begin(&ask(2), START).await);
    world.approve(&approved, START).await;
    assert_eq!(cancel(&world, CLIENT, &approved, START).await, Canceled::Ended(Ended::Approved));
    let late = cancel(&world, CLIENT, &expired, at(5 * MINUTE)).await;
    assert_eq!(late, Canceled::Ended(Ended::Expired));
    assert_eq!(world.read(&approved).await.status, Status::Approved);
}

fn list(limit: u32) -> List {
    List { client: CLIENT, phone: None, status: None, delivery: None, before: None, limit }
}

async fn ids(world: &World, list: &List, now: Timestamp) -> Vec<Uuid> {
    world.store.list(list, now).await.unwrap().iter().map(|row| row.id).collect()
}

async fn a_list_is_paged_newest_first(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let mut made = Vec::new();
    for n in 0..7 {
        let id = hulak_common::rng::Rng::system().uuid_v7(at(u64::from(n)));
        made.push(world.begin(&Create { id, ..ask(n) }, START).await.id);
    }
    world.begin(&ask_of(OTHER_CLIENT, 1), START).await;
    made.reverse();
    let mut seen = Vec::new();
    let mut page = list(3);
    loop {
        let rows = ids(&world, &page, START).await;
        let Some(last) = rows.last() else { break };
        page.before = Some(*last);
        seen.extend(rows);
    }
    assert_eq!(seen, made);
}

async fn a_list_takes_what_was_asked_for(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let (first, second) = (world.begin(&ask(1), START).await, world.begin(&ask(2), START).await);
    world.deliver(&first, START).await;
    world.approve(&first, START).await;
    let of = List { phone: Some(phone(1)), ..list(10) };
    assert_eq!(ids(&world, &of, START).await, [first.id]);
    let with = |status| List { status: Some(status), ..list(10) };
    assert_eq!(ids(&world, &with(Status::Approved), START).await, [first.id]);
    assert_eq!(ids(&world, &with(Status::Pending), START).await, [second.id]);
    // Its time is over, though no reaper has been by.
    assert!(ids(&world, &with(Status::Pending), at(5 * MINUTE)).await.is_empty());
    assert_eq!(ids(&world, &with(Status::Expired), at(5 * MINUTE)).await, [second.id]);
    let sent = List { delivery: Some(Delivery::Sent), ..list(10) };
    assert_eq!(ids(&world, &sent, START).await, [first.id]);
    let neither = List { phone: Some(phone(2)), ..sent };
    assert!(ids(&world, &neither, START).await.is_empty());
}

async fn a_block_holds_until_it_ends(kind: Kind) {
    let world = kind.world(rules()).await;
    let block = |block| Block { client: CLIENT, phone: phone(1), block };
    let until = Some((at(60), Some("a complaint".to_owned())));
    world.store.block(&block(until), START).await.unwrap();
    assert_eq!(world.create(&ask(1), START).await, Created::Blocked { until: at(60) });
    assert!(matches!(world.create(&ask_of(OTHER_CLIENT, 1), START).await, Created::New(_)));
    let pending = world.begin(&ask(1), at(60)).await;
    world.check_wrong(&pending, at(60)).await;
    assert_eq!(world.report(1).await.client.failed_checks.count(at(60), secs(DAY)), 1);
    world.store.block(&block(Some((at(HOUR), None))), at(61)).await.unwrap();
    world.store.block(&block(None), at(62)).await.unwrap();
    let report = world.report(1).await.client;
    assert_eq!((report.blocked_until, report.failed_checks.count(at(62), secs(DAY))), (None, 0));
    // Nothing is known of this one, and nothing has to be.
    world.store.block(&Block { phone: phone(9), ..block(None) }, at(62)).await.unwrap();
    assert_eq!(world.count("client_numbers").await, 1);
}

async fn what_no_longer_counts_is_deleted(kind: Kind) {
    let world = kind.world(quotas(Some(2), Some(2))).await;
    world.begin(&once(1, 1, from(1, "192.0.2.1")), START).await;
    world.begin(&once(2, 1, from(2, "192.0.2.2")), START).await;
    let rows = async || (world.count("allowances").await, world.count("answers").await);
    world.store.forget(100, START).await.unwrap();
    assert_eq!(rows().await, (3, 2));
    world.store.forget(100, START + Duration::from_secs(HOUR)).await.unwrap();
    assert_eq!(rows().await, (0, 2));
    world.store.forget(1, at(DAY)).await.unwrap();
    assert_eq!(rows().await, (0, 1));
    world.store.forget(100, at(DAY)).await.unwrap();
    assert_eq!(rows().await, (0, 0));
}
