//! What operators do and see, across clients.

use std::collections::BTreeSet;
use std::time::Duration;

use hulak_common::audit::{Act, AuditEntry};
use hulak_common::client::NewKey;
use hulak_common::gateway_codes::GatewayCode;
use hulak_common::rng::Rng;
use hulak_common::staff::{BlockEverywhere, NewSession, Operator, Search};
use hulak_common::time::Timestamp;
use hulak_common::usage::{Day, UsageSum};
use hulak_common::verification::{Route, Verification};
use hulak_common::worker_registry::{Pause, WorkerState};
use hulak_store::StoredSample;
use hulak_store::{Block, Created, Outcome, Resend, Resent, Store};
use uuid::Uuid;

use crate::harness::*;
use crate::racing::race;

on_both_stores!(
    a_session_ends_with_its_time_its_key_and_its_sign_out,
    a_clients_key_opens_no_session,
    the_record_is_read_newest_first,
    verifications_are_found_across_clients,
    a_number_is_blocked_for_everybody,
    a_pause_is_the_first_ones_until_somebody_resumes,
    workers_tell_of_themselves,
    what_waits_is_counted_up_to_a_bound,
    samples_come_in_order_and_are_thinned_out,
    the_bill_is_the_same_before_and_after_it_is_added_up,
    a_slice_is_added_once_by_many,
    what_is_not_final_waits,
);

const KEY: [u8; 32] = [7; 32];

async fn key(world: &World, hash: [u8; 32], operator: bool) {
    let prefix = if operator { "ho_abcdefgh" } else { "hk_abcdefgh" };
    let key = NewKey { client_name: "staff".to_owned(), prefix: prefix.to_owned(), hash, operator };
    world.store.install_key(&key, Uuid::from_u128(0xAB), START).await.unwrap();
}

async fn open(world: &World, hash: [u8; 32], key: [u8; 32]) {
    let session = NewSession { hash, key, expires_at: at(HOUR) };
    world.store.open_session(&session).await.unwrap();
}

async fn a_session_ends_with_its_time_its_key_and_its_sign_out(kind: Kind) {
    let world = kind.world(rules()).await;
    key(&world, KEY, true).await;
    open(&world, [1; 32], KEY).await;
    open(&world, [2; 32], KEY).await;
    let who = |hash: u8, now| {
        let store = &world.store;
        async move { store.session(&[hash; 32], now).await.unwrap() }
    };
    let operator = Operator { key: KEY, prefix: "ho_abcdefgh".to_owned(), name: "staff".to_owned() };
    assert_eq!(who(1, START).await, Some(operator.clone()));
    assert_eq!(who(1, at(HOUR)).await, None);
    assert_eq!(who(3, START).await, None);
    world.store.close_session(&[1; 32]).await.unwrap();
    assert_eq!((who(1, START).await, who(2, START).await), (None, Some(operator)));
    world.store.revoke_key(&KEY, at(5)).await.unwrap();
    assert_eq!(who(2, at(5)).await, None);
    world.store.forget_operators(10, at(HOUR)).await.unwrap();
    assert_eq!(world.count("operator_sessions").await, 0);
}

async fn a_clients_key_opens_no_session(kind: Kind) {
    let world = kind.world(rules()).await;
    key(&world, KEY, false).await;
    open(&world, [1; 32], KEY).await;
    assert_eq!(world.store.session(&[1; 32], START).await.unwrap(), None);
}

async fn the_record_is_read_newest_first(kind: Kind) {
    let world = kind.world(rules()).await;
    let rng = Rng::seeded(3);
    let entry = |n: u64| AuditEntry {
        id: rng.uuid_v7(at(n)),
        at: at(n),
        who: "staff".to_owned(),
        key_prefix: "ho_abcdefgh".to_owned(),
        act: Act::ALL[n as usize % Act::ALL.len()],
        what: format!("पसल {n}"),
    };
    let entries: Vec<_> = (0..20).map(entry).collect();
    for entry in &entries {
        world.store.audit(entry).await.unwrap();
    }
    let newest = world.store.audit_log(None, 15).await.unwrap();
    let older = world.store.audit_log(newest.last().map(|entry| entry.id), 15).await.unwrap();
    assert_eq!((newest.len(), older.len()), (15, 5));
    let read: Vec<_> = older.into_iter().rev().chain(newest.into_iter().rev()).collect();
    assert_eq!(read[..5], entries[..5]);
    assert_eq!(read.iter().map(|entry| entry.id).collect::<BTreeSet<_>>().len(), 20);
    world.store.forget_operators(100, at(400 * DAY + 10)).await.unwrap();
    assert_eq!(world.count("audit_log").await, 10);
}

async fn verifications_are_found_across_clients(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let install = async |id: Uuid, name: &str, fill: u8| {
        let key = NewKey {
            client_name: name.to_owned(),
            prefix: "hk_".to_owned(),
            hash: [fill; 32],
            operator: false,
        };
        world.store.install_key(&key, id, START).await.unwrap();
    };
    install(CLIENT, "shop", 1).await;
    install(OTHER_CLIENT, "bank", 2).await;
    let first = world.begin(&ask(1), START).await;
    let later = hulak_store::Create { id: Rng::system().uuid_v7(at(1)), ..ask_of(OTHER_CLIENT, 1) };
    let second = world.begin(&later, at(1)).await;
    world.begin(&ask(2), START).await;
    let named = |found: Vec<(String, Verification)>| -> Vec<(String, Uuid)> {
        found.into_iter().map(|(name, row)| (name, row.id)).collect()
    };
    let of_number = world.store.search(Search::Phone(phone(1)), 10).await.unwrap();
    assert_eq!(named(of_number), [("bank".to_owned(), second.id), ("shop".to_owned(), first.id)]);
    assert_eq!(world.store.search(Search::Phone(phone(1)), 1).await.unwrap().len(), 1);
    let by_id = world.store.search(Search::Id(first.id), 10).await.unwrap();
    assert_eq!(named(by_id), [("shop".to_owned(), first.id)]);
    assert!(world.store.search(Search::Id(Uuid::nil()), 10).await.unwrap().is_empty());

    world.deliver(&first, at(2)).await;
    world.create(&ask(1), at(3)).await;
    let messages = world.store.messages(first.id).await.unwrap();
    assert_eq!(messages.iter().map(|message| message.id.seq).collect::<Vec<_>>(), [1, 2]);
    world.check_wrong(&second, at(4)).await;
    let file = world.store.number_file(phone(1)).await.unwrap();
    assert_eq!(file.number.otp_count, 1);
    assert_eq!(file.clients.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["bank"]);
}

async fn a_number_is_blocked_for_everybody(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let live = world.begin(&ask(1), START).await;
    world.deliver(&live, START).await;
    let everywhere = |n, block| {
        let (store, block) = (&world.store, BlockEverywhere { phone: phone(n), block });
        async move { store.block_everywhere(&block).await.unwrap() }
    };
    let why = Some("fraud".to_owned());
    everywhere(1, Some((at(HOUR), why.clone()))).await;
    everywhere(2, Some((at(HOUR), why.clone()))).await;
    let refused = Created::Blocked { until: at(HOUR) };
    for create in [ask(1), ask(2), ask_of(OTHER_CLIENT, 2)] {
        assert_eq!(world.create(&create, at(1)).await, refused);
    }
    let resend = Resend { client: CLIENT, id: live.id, address: None, remember: None };
    assert_eq!(only(world.store.resend(&[resend], at(1)).await), Resent::Blocked { until: at(HOUR) });
    let report = world.report(1).await;
    assert_eq!((report.number.blocked(at(1)), report.number.block_reason.clone()), (Some(at(HOUR)), why));
    assert_eq!(report.number.otp_count, 1, "what was counted stays");
    assert_eq!(report.number.blocked(at(HOUR)), None);

    // The later end of both blocks counts, and a client cannot lift an operator's.
    let block = |block| Block { client: CLIENT, phone: phone(1), block };
    world.store.block(&block(Some((at(2 * HOUR), None))), at(1)).await.unwrap();
    assert_eq!(world.create(&ask(1), at(1)).await, Created::Blocked { until: at(2 * HOUR) });
    world.store.block(&block(None), at(1)).await.unwrap();
    assert_eq!(world.create(&ask(1), at(1)).await, refused);

    everywhere(1, None).await;
    everywhere(2, None).await;
    world.begin(&ask(2), at(2)).await;
    assert!(matches!(world.create(&ask(1), at(2)).await, Created::Again { added: true, .. }));
}

async fn a_pause_is_the_first_ones_until_somebody_resumes(kind: Kind) {
    let world = kind.world(rules()).await;
    assert_eq!(world.store.paused().await.unwrap(), None);
    let pause = |by: &str| Pause { since: at(1), by: by.to_owned(), reason: "bill".to_owned() };
    world.store.pause(&pause("first")).await.unwrap();
    world.store.pause(&pause("second")).await.unwrap();
    assert_eq!(world.store.paused().await.unwrap(), Some(pause("first")));
    let worker = Uuid::from_u128(1);
    assert!(world.store.report(worker, &WorkerState::default()).await.unwrap());
    world.store.resume().await.unwrap();
    world.store.resume().await.unwrap();
    assert!(!world.store.report(worker, &WorkerState::default()).await.unwrap());
}

async fn workers_tell_of_themselves(kind: Kind) {
    let world = kind.world(rules()).await;
    let (known, silent) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let state = WorkerState {
        version: "1.2.3".to_owned(),
        started_at: START,
        in_flight: 3,
        concurrency: 64,
        circuit: "open".to_owned(),
        gateway_code: GatewayCode::new("1012"),
        paused: true,
        share: 12.5,
    };
    // Whoever is not in the registry is not put there by what it says.
    world.store.report(known, &state).await.unwrap();
    assert!(world.store.workers().await.unwrap().is_empty());
    for worker in [known, silent] {
        world.store.heartbeat(worker, at(1)).await.unwrap();
    }
    world.store.report(known, &state).await.unwrap();
    let workers = world.store.workers().await.unwrap();
    let told: Vec<_> =
        workers.iter().map(|worker| (worker.id, worker.seen_at, worker.state.clone())).collect();
    assert_eq!(told, [(known, at(1), Some(state)), (silent, at(1), None)]);
}

async fn what_waits_is_counted_up_to_a_bound(kind: Kind) {
    let world = kind.world(rules()).await;
    for n in 0..5 {
        world.begin(&ask(n), START).await;
    }
    let count = |limit, now| {
        let store = &world.store;
        async move { store.waiting_count(limit, now).await.unwrap() }
    };
    assert_eq!((count(10, START).await, count(3, START).await), (5, 3));
    assert_eq!(count(10, START - MS).await, 0);
}

async fn samples_come_in_order_and_are_thinned_out(kind: Kind) {
    let world = kind.world(rules()).await;
    let begin = Timestamp::from_millis(START.as_millis() / 60_000 * 60_000);
    let moment = |n: u64| begin + secs(5 * n);
    let sample = |n: u64, process: u128| StoredSample {
        process: Uuid::from_u128(process),
        at: moment(n),
        body: format!("{n} of {process}"),
    };
    // A day and an hour of one process a minute, and an hour's worth each five seconds around it.
    for n in (0..24).chain([1_000]) {
        for process in [2, 1] {
            world.store.put_sample(&sample(n, process)).await.unwrap();
            world.store.put_sample(&sample(n, process)).await.unwrap();
        }
    }
    let all = world.store.samples((begin - MS, Uuid::max()), 100).await.unwrap();
    assert_eq!(all.len(), 50);
    assert_eq!((&all[0], &all[1], &all[49]), (&sample(0, 1), &sample(0, 2), &sample(1_000, 2)));
    let page = world.store.samples((moment(0), Uuid::from_u128(1)), 2).await.unwrap();
    assert_eq!(page, [sample(0, 2), sample(1, 1)]);

    world.store.forget_operators(1_000, moment(24) + secs(HOUR)).await.unwrap();
    let thin = world.store.samples((begin - MS, Uuid::max()), 100).await.unwrap();
    let kept: Vec<_> = thin.iter().map(|sample| sample.at).collect();
    assert_eq!(kept, [moment(0), moment(0), moment(12), moment(12), moment(1_000), moment(1_000)]);
    world.store.forget_operators(1_000, moment(1_000) + secs(DAY)).await.unwrap();
    assert_eq!(world.count("samples").await, 0);
}

/// A message of a client, asked for at `now` and recorded a second later; its parts.
async fn outcome(
    world: &World,
    client: Uuid,
    n: u32,
    route: Route,
    how: Outcome,
    parts: i16,
    now: Timestamp,
) {
    let create = hulak_store::Create { id: Rng::system().uuid_v7(now), route, ..ask_of(client, n) };
    let row = world.begin(&create, now).await;
    let grant = world.grant(&row, now).await;
    let record = ended(&grant, how, Some(parts));
    only(world.store.record(&[record], now + secs(1)).await);
}

/// Traffic of two clients on two days in Nepal, and what it comes to.
async fn traffic(world: &World) -> Vec<(Day, Uuid, UsageSum)> {
    let midnight = Day::of(at(DAY)).begins();
    let (evening, morning) = (midnight - secs(600), midnight + secs(300));
    outcome(world, CLIENT, 1, Route::Gateway, Outcome::Accepted, 2, evening).await;
    outcome(world, CLIENT, 2, Route::Gateway, Outcome::Accepted, 1, evening + secs(60)).await;
    outcome(world, CLIENT, 3, Route::Null, Outcome::Accepted, 1, evening).await;
    outcome(world, OTHER_CLIENT, 4, Route::Gateway, Outcome::Refused(NO_RECEIVER), 1, evening).await;
    outcome(world, OTHER_CLIENT, 5, Route::Gateway, Outcome::Ambiguous(NO_ANSWER), 2, morning).await;
    // Asked for before midnight and taken after it: the bill goes by when it was taken.
    outcome(world, CLIENT, 6, Route::Gateway, Outcome::Accepted, 3, midnight - MS).await;
    // Whatever is still open ends.
    let mut now = morning;
    while now < morning + secs(HOUR) {
        world.store.reap(100, now).await.unwrap();
        now = now + secs(30);
    }
    let sum = |messages, parts, uncertain, failed, unbilled| UsageSum {
        messages,
        parts,
        uncertain,
        failed,
        unbilled,
    };
    let (new, old) = (Day::of(morning), Day::of(evening));
    vec![
        (new, CLIENT, sum(1, 3, 0, 0, 0)),
        (new, OTHER_CLIENT, sum(0, 0, 2, 0, 0)),
        (old, CLIENT, sum(2, 3, 0, 0, 1)),
        (old, OTHER_CLIENT, sum(0, 0, 0, 1, 0)),
    ]
}

async fn bill(store: &Store, from: Day) -> Vec<(Day, Uuid, UsageSum)> {
    let mut bill: Vec<_> =
        store.usage(from).await.unwrap().into_iter().map(|row| (row.day, row.client, row.sum)).collect();
    bill.sort_by_key(|(day, client, _)| (std::cmp::Reverse(*day), *client));
    bill
}

async fn the_bill_is_the_same_before_and_after_it_is_added_up(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let expected = traffic(&world).await;
    let (new, old) = (expected[0].0, expected[2].0);
    assert_eq!(bill(&world.store, old).await, expected);
    assert_eq!(bill(&world.store, new).await, expected[..2]);
    assert_eq!(world.store.roll_up(1, at(2 * DAY)).await.unwrap(), 1);
    assert_eq!(bill(&world.store, old).await, expected, "half of it is added up");
    world.store.roll_up(100, at(2 * DAY)).await.unwrap();
    // Nothing is left to be looked at.
    world.sql("DELETE FROM messages").await;
    assert_eq!(bill(&world.store, old).await, expected);
    assert_eq!(world.store.roll_up(100, at(2 * DAY)).await.unwrap(), 0);
}

async fn a_slice_is_added_once_by_many(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let expected = traffic(&world).await;
    let stores = world.racers();
    let done = race(&world, 8, |n, _| {
        let store = std::sync::Arc::clone(&stores[n % stores.len()]);
        async move {
            let mut done = 0;
            for _ in 0..20 {
                done += store.roll_up(100, at(2 * DAY)).await.unwrap_or_default();
            }
            done
        }
    })
    .await;
    world.store.roll_up(100, at(2 * DAY)).await.unwrap();
    assert!(done.iter().sum::<u32>() >= 1);
    world.sql("DELETE FROM messages").await;
    assert_eq!(bill(&world.store, expected[2].0).await, expected);
}

async fn what_is_not_final_waits(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let row = world.begin(&ask(1), START).await;
    let late = at(DAY);
    // Too young, and then old enough but not ended: no worker was there to end it.
    let settled = at(30 * MINUTE) + Duration::from_secs(300 + 120);
    assert_eq!(world.store.roll_up(100, settled - secs(180)).await.unwrap(), 0);
    assert_eq!(world.store.roll_up(100, late).await.unwrap(), 0);
    world.store.reap(100, late).await.unwrap();
    assert_eq!(world.read(&row).await.messages, 1);
    assert_eq!(world.store.roll_up(100, settled).await.unwrap(), 1);
}
