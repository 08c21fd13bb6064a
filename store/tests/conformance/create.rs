//! Requests for codes: what is live, what is limited, what is blocked.

use std::time::Duration;

use hulak_common::limits::{LimitReached, NumberLimits, Policy};
use hulak_common::rng::Rng;
use hulak_common::rules::Rules;
use hulak_common::verification::{Delivery, Purpose, Route, Status};
use hulak_store::{Created, List, TakesEffect};
use uuid::Uuid;

use crate::harness::*;

on_both_stores!(
    a_new_verification_comes_with_its_first_message,
    everything_asked_for_is_kept,
    the_live_one_comes_back_until_resend_after,
    whatever_the_live_key_names_makes_a_different_one,
    an_expired_one_gives_way_before_it_is_reaped,
    an_ended_one_gives_way,
    the_cooldown_holds_over_clients,
    the_hour_holds_over_clients,
    the_day_holds_over_clients,
    what_was_refused_is_not_counted,
    a_blocked_number_is_refused_until_then_and_within_its_client_only,
    the_null_route_is_not_counted,
    a_batch_is_decided_in_order,
    a_poisoned_item_leaves_its_neighbours_alone,
    another_clients_verification_is_not_read,
    a_successors_column_does_not_stop_who_runs_already,
);

async fn a_new_verification_comes_with_its_first_message(kind: Kind) {
    let world = kind.world(rules()).await;
    let create = ask(1);
    let batch = world.store.create(std::slice::from_ref(&create), START).await;
    assert!(batch.events.is_empty(), "nobody can be waiting for it yet");
    let created = only(batch);
    let Created::New(new) = &created else { panic!("{created:?}") };
    assert_eq!((new.id, &new.key), (create.id, &create.key));
    assert_eq!((new.status, new.delivery), (Status::Pending, Delivery::Queued));
    assert_eq!((new.messages, new.version, new.checks_remaining, new.epoch), (1, 1, 5, 0));
    assert_eq!((new.created_at, new.updated_at, new.epoch_started_at), (START, START, START));
    assert_eq!((new.resend_after, new.expires_at), (at(30), at(5 * MINUTE)));
    assert_eq!((new.ended_at, new.last_sent_at, new.next_attempt_at, new.error), (None, None, None, None));
    assert_eq!(world.read(new).await, *new);

    let message = world.message(created.to_publish().expect("there is a message to publish")).await;
    assert_eq!((message.state.as_str(), message.attempts, message.publishes), ("queued", 0, 0));
    assert_eq!((message.due_at, message.publish_at), (START, Some(at(2))));
    assert_eq!((message.claim, message.lease_until), (None, None));
    assert_eq!(world.count("messages").await, 1);

    let report = world.report(1).await;
    assert_eq!(report.number.asked.last(), Some(START));
    assert_eq!((report.number.otp_count, report.number.last_sent_at), (0, None));
}

async fn everything_asked_for_is_kept(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let account = world.account(77).await;
    for (n, purpose) in (0..).zip(Purpose::ALL) {
        let mut create = ask_in(n, "सत्र \"1\" 'x' \\ 🙂");
        create.key.purpose = *purpose;
        create.key.account = Some(account);
        create.locale = hulak_common::verification::Locale::Ne;
        create.app_hash = Some("FA+9qCX9VSu".to_owned());
        create.origin = Some("example.com".to_owned());
        create.app_name = Some("मेरो पसल".to_owned());
        create.metadata = r#"{"a":["ब",1]}"#.to_owned();
        create.route = Route::Null;
        let new = world.begin(&create, START).await;
        let kept = world.read(&new).await;
        assert_eq!(kept, new);
        assert_eq!((kept.key, kept.salt, kept.locale), (create.key, create.salt, create.locale));
        assert_eq!(
            (kept.app_hash, kept.origin, kept.app_name, kept.metadata),
            (create.app_hash, create.origin, create.app_name, create.metadata)
        );
        assert_eq!(kept.key_id, world.rules.keyring.current().id());
    }
}

async fn the_live_one_comes_back_until_resend_after(kind: Kind) {
    let world = kind.world(rules()).await;
    let first = world.begin(&ask(1), START).await;
    world.deliver(&first, START).await;
    let sent = world.read(&first).await;
    let early = world.create(&ask(1), at(30) - MS).await;
    assert_eq!(early, Created::Live(sent.clone()));
    assert_eq!(early.to_publish(), None);

    let batch = world.store.create(&[ask(1)], at(30)).await;
    let events = announced(&batch.events);
    let created = only(batch);
    let Created::Again { verification, added: true } = &created else { panic!("{created:?}") };
    assert_eq!(verification.id, first.id);
    assert_eq!((verification.messages, verification.version), (2, sent.version + 1));
    assert_eq!((verification.delivery, verification.resend_after), (Delivery::Queued, at(60)));
    assert_eq!(events, [(first.id, verification.version)].into());
    assert_eq!(created.to_publish(), Some(verification.newest_message()));
    assert_eq!(world.read(&first).await, *verification);
    assert_eq!(world.count("verifications").await, 1);
    assert_eq!(world.count("messages").await, 2);
}

async fn whatever_the_live_key_names_makes_a_different_one(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let plain = ask(1);
    let mut purpose = ask(1);
    purpose.key.purpose = Purpose::SignUp;
    let mut account = ask(1);
    account.key.account = Some(world.account(1).await);
    let mut other_account = ask(1);
    other_account.key.account = Some(world.account(2).await);
    let different = [
        plain,
        purpose,
        account,
        other_account,
        ask_in(1, "a"),
        ask_in(1, "b"),
        ask_of(OTHER_CLIENT, 1),
        ask(2),
    ];
    // Twice: in a batch of their own, and all in one batch.
    for create in &different {
        world.begin(create, START).await;
    }
    assert_eq!(world.count("verifications WHERE status = 'pending'").await, 8);
    let later: Vec<_> = different
        .iter()
        .map(|create| hulak_store::Create { id: Rng::system().uuid(), ..create.clone() })
        .collect();
    let answers = all(world.store.create(&later, START).await);
    for (created, create) in answers.iter().zip(&different) {
        // The cooldown is zero, but their messages are unsent.
        let Created::Again { verification, added: false } = created else { panic!("{created:?}") };
        assert_eq!((verification.id, &verification.key), (create.id, &create.key));
    }
    assert_eq!(world.count("verifications").await, 8);
}

async fn an_expired_one_gives_way_before_it_is_reaped(kind: Kind) {
    let world = kind.world(rules()).await;
    let first = world.begin(&ask(1), START).await;
    let expiry = first.expires_at;
    assert!(matches!(world.create(&ask(1), expiry - MS).await, Created::Again { added: false, .. }));
    let batch = world.store.create(&[ask(1)], expiry).await;
    let events = announced(&batch.events);
    let Created::New(second) = only(batch) else { panic!() };
    assert_ne!(second.id, first.id);
    let ended = world.read(&first).await;
    assert_eq!((ended.status, ended.ended_at, ended.version), (Status::Expired, Some(expiry), 2));
    assert_eq!(events, [(first.id, 2)].into(), "its pollers hear of it");
    assert_eq!(world.read(&second).await.status, Status::Pending);
}

async fn an_ended_one_gives_way(kind: Kind) {
    let world = kind.world(rules()).await;
    let mut now = 0;
    for status in [Status::Approved, Status::Canceled, Status::Failed, Status::Expired] {
        let verification = world.begin(&ask(1), at(now)).await;
        world.force(&verification, status).await;
        now += 30;
    }
    world.begin(&ask(1), at(now)).await;
    assert_eq!(world.count("verifications").await, 5);
}

async fn the_cooldown_holds_over_clients(kind: Kind) {
    let world = kind.world(rules()).await;
    world.begin(&ask(1), START).await;
    let limit = LimitReached { policy: Policy::NumberCooldown, quota: 1, window: secs(30), retry_at: at(30) };
    assert_eq!(world.create(&ask_in(1, "other"), START).await, Created::Limited(limit));
    assert_eq!(world.create(&ask_of(OTHER_CLIENT, 1), at(30) - MS).await, Created::Limited(limit));
    world.begin(&ask(2), START).await;
    world.begin(&ask_of(OTHER_CLIENT, 1), at(30)).await;
}

/// A pace of one a second, so that only the quotas count.
fn quick(hourly: u32, daily: u32) -> Rules {
    Rules { limits: NumberLimits { cooldown: Duration::from_secs(1).into(), hourly, daily }, ..rules() }
}

async fn the_hour_holds_over_clients(kind: Kind) {
    let world = kind.world(quick(5, 100)).await;
    for n in 0..5 {
        world.begin(&ask_of(Uuid::from_u128(n), 1), at(u64::try_from(n).unwrap() * 10)).await;
    }
    let limit = LimitReached { policy: Policy::NumberHour, quota: 5, window: secs(HOUR), retry_at: at(HOUR) };
    for (client, now) in [(CLIENT, at(50)), (OTHER_CLIENT, at(HOUR) - MS)] {
        assert_eq!(world.create(&ask_of(client, 1), now).await, Created::Limited(limit));
    }
    world.begin(&ask_of(OTHER_CLIENT, 1), at(HOUR)).await;
    // One has left the window and one has come: the next opening is the second's.
    let limit = LimitReached { retry_at: at(HOUR + 10), ..limit };
    assert_eq!(world.create(&ask(1), at(HOUR + 1)).await, Created::Limited(limit));
    world.begin(&ask(1), at(HOUR + 10)).await;
}

async fn the_day_holds_over_clients(kind: Kind) {
    let world = kind.world(quick(5, 7)).await;
    for n in 0..7 {
        world.begin(&ask_of(Uuid::from_u128(n), 1), at(u64::try_from(n).unwrap() * HOUR / 2)).await;
    }
    let limit = LimitReached { policy: Policy::NumberDay, quota: 7, window: secs(DAY), retry_at: at(DAY) };
    for now in [at(4 * HOUR), at(DAY) - MS] {
        assert_eq!(world.create(&ask(1), now).await, Created::Limited(limit));
    }
    world.begin(&ask(1), at(DAY)).await;
    let limit = LimitReached { retry_at: at(DAY + HOUR / 2), ..limit };
    assert_eq!(world.create(&ask_of(OTHER_CLIENT, 1), at(DAY + 1)).await, Created::Limited(limit));
}

async fn what_was_refused_is_not_counted(kind: Kind) {
    let world = kind.world(rules()).await;
    let first = world.begin(&ask(1), START).await;
    world.deliver(&first, START).await;
    let before = (world.report(1).await, world.read(&first).await);
    for n in 0..20 {
        assert!(matches!(world.create(&ask_in(1, "x"), at(n)).await, Created::Limited(_)));
        assert!(matches!(world.create(&ask(1), at(n)).await, Created::Live(_)));
    }
    assert_eq!((world.report(1).await, world.read(&first).await), before);
    assert_eq!(world.count("verifications").await, 1);
    // A limited resend leaves the live code alone.
    world.begin(&ask_in(1, "x"), at(30)).await;
    let again = world.create(&ask(1), at(31)).await;
    assert!(matches!(&again, Created::Limited(limit) if limit.retry_at == at(60)), "{again:?}");
    world.approve(&first, at(32)).await;
}

async fn a_blocked_number_is_refused_until_then_and_within_its_client_only(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let live = world.begin(&ask(1), START).await;
    // Makes the row that the block is set in.
    world.check_wrong(&live, START).await;
    world.sql(&format!("UPDATE client_numbers SET blocked_until = {}", at(100).as_millis())).await;
    let blocked = Created::Blocked { until: at(100) };
    assert_eq!(world.create(&ask(1), START).await, blocked, "although one is live");
    assert_eq!(world.create(&ask_in(1, "x"), at(100) - MS).await, blocked);
    world.begin(&ask_of(OTHER_CLIENT, 1), at(1)).await;
    world.begin(&ask(2), at(1)).await;
    world.begin(&ask_in(1, "x"), at(100)).await;
    assert!(matches!(world.create(&ask(1), at(100)).await, Created::Again { .. }));
    assert_eq!(world.report(1).await.client.blocked_until, Some(at(100)));
}

async fn the_null_route_is_not_counted(kind: Kind) {
    let world = kind.world(rules()).await;
    for n in 0..30 {
        let mut create = ask_in(1, &n.to_string());
        create.route = Route::Null;
        world.begin(&create, at(n)).await;
    }
    assert_eq!(world.report(1).await.number.asked.last(), None);
    world.begin(&ask(1), at(30)).await;
    let mut create = ask_in(1, "null");
    create.route = Route::Null;
    world.begin(&create, at(31)).await;
    assert_eq!(world.report(1).await.number.asked.last(), Some(at(30)));
}

async fn a_batch_is_decided_in_order(kind: Kind) {
    let world = kind.world(rules()).await;
    let batch = [ask(1), ask(2), ask(1), ask_in(1, "x"), ask(3)];
    let answers = all(world.store.create(&batch, START).await);
    let [Created::New(one), Created::New(two), Created::Live(live), Created::Limited(_), Created::New(_)] =
        answers.as_slice()
    else {
        panic!("{answers:?}")
    };
    assert_eq!((one.id, two.id, live), (batch[0].id, batch[1].id, one));
    assert_eq!((world.count("verifications").await, world.count("messages").await), (3, 3));
}

async fn a_poisoned_item_leaves_its_neighbours_alone(kind: Kind) {
    let world = kind.world(rules()).await;
    let taken = world.begin(&ask(1), START).await;
    // An id that is in use is refused by the database, however often it is tried.
    let mut poisoned = ask(3);
    poisoned.id = taken.id;
    let batch = world.store.create(&[ask(2), poisoned, ask(4)], START).await;
    let [Ok(Created::New(_)), Err(_), Ok(Created::New(_))] = batch.answers.as_slice() else {
        panic!("{batch:?}")
    };
    assert_eq!(world.count("verifications").await, 3);
    assert_eq!(world.count("numbers").await, 3, "the poisoned item left nothing behind");
    assert_eq!(world.read(&taken).await, taken);

    // A row that cannot be read fails whoever asks for it, and nobody else.
    let broken = world.begin(&ask(5), START).await;
    world.sql(&format!("UPDATE verifications SET locale = '?' WHERE phone = {}", phone(5).to_i64())).await;
    let keys = [taken.id, broken.id, Uuid::nil()].map(|id| (CLIENT, id));
    let read = world.store.verifications(&keys).await;
    let [Ok(Some(first)), Err(_), Ok(None)] = read.answers.as_slice() else { panic!("{read:?}") };
    assert_eq!(*first, taken);
    let wrong = |verification| hulak_store::Check {
        client: CLIENT,
        id: verification,
        code: world.wrong(&taken),
        takes_effect: TakesEffect::AtOnce,
        remember: None,
    };
    let checks = world.store.check(&[wrong(broken.id), wrong(taken.id)], START).await;
    assert!(matches!(checks.answers.as_slice(), [Err(_), Ok(_)]), "{checks:?}");
}

async fn another_clients_verification_is_not_read(kind: Kind) {
    let world = kind.world(rules()).await;
    let mine = world.begin(&ask(1), START).await;
    let theirs = world.begin(&ask_of(OTHER_CLIENT, 2), START).await;
    let keys = [(CLIENT, theirs.id), (CLIENT, mine.id), (OTHER_CLIENT, theirs.id), (CLIENT, Uuid::nil())];
    let read = all(world.store.verifications(&keys).await);
    assert_eq!(read, [None, Some(mine), Some(theirs), None]);
}

async fn a_successors_column_does_not_stop_who_runs_already(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let list = List { client: CLIENT, phone: None, status: None, delivery: None, before: None, limit: 10 };
    let first = world.begin(&ask(1), START).await;
    assert_eq!(world.store.list(&list, START).await.unwrap().len(), 1);
    // Statements that a connection has prepared fail from here on when they ask for whatever columns there are.
    world.sql("ALTER TABLE verifications ADD COLUMN of_a_later_release text").await;
    let second = world.begin(&ask(2), START).await;
    let Created::Again { .. } = world.create(&ask(1), START).await else { panic!("it is live") };
    assert_eq!(world.read(&second).await, second);
    let listed: Vec<_> =
        world.store.list(&list, START).await.unwrap().iter().map(|row| row.key.phone).collect();
    assert!(listed.len() == 2 && listed.contains(&first.key.phone), "{listed:?}");
}
