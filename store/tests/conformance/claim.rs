//! Claims: who may send a message now, and why not.

use hulak_common::code::Keyring;
use hulak_common::job::MessageId;
use hulak_common::limits::NumberLimits;
use hulak_common::rng::Rng;
use hulak_common::rules::Rules;
use hulak_common::verification::{Delivery, Route, Status, Verification};
use hulak_store::{Claimed, Created, Outcome};

use crate::harness::*;

on_both_stores!(
    a_claim_is_granted_once_and_tells_all_that_sending_takes,
    a_final_message_is_done,
    a_message_that_is_not_due_is_refused_until_then,
    a_job_that_came_too_early_comes_again_in_time,
    a_number_rests_while_a_message_is_sent_and_after,
    a_pace_longer_than_the_lease_outlives_a_dead_worker,
    a_cooldown_of_zero_turns_the_pace_off,
    an_expired_message_is_ended,
    what_has_ended_is_not_sent,
    an_older_code_is_not_sent,
    only_the_newest_message_is_shown,
    what_one_worker_has_no_key_for_waits_for_another,
    there_is_no_such_message,
    the_null_route_is_neither_paced_nor_pacing,
    one_batch_grants_one_of_a_number,
);

/// Two verifications of one number, with their messages waiting.
async fn rivals(world: &World, n: u32) -> [Verification; 2] {
    let generous = world.another(no_limits());
    let made = all(generous.create(&[ask_in(n, "a"), ask_in(n, "b")], START).await);
    let made = made.into_iter().map(|created| match created {
        Created::New(verification) => verification,
        other => panic!("{other:?}"),
    });
    made.collect::<Vec<_>>().try_into().unwrap()
}

async fn a_claim_is_granted_once_and_tells_all_that_sending_takes(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let wish = wish(pending.newest_message());
    let batch = world.store.claim(&[wish], at(1)).await;
    assert_eq!(announced(&batch.events), [(pending.id, 2)].into());
    let Claimed::Granted(grant) = only(batch) else { panic!() };
    assert_eq!((grant.id, grant.claim, grant.phone), (wish.id, wish.claim, phone(1)));
    assert_eq!((grant.route, grant.attempt, grant.claimed_at), (Route::Gateway, 1, at(1)));
    assert!(world.right(&grant.verification).matches(&world.right(&pending)));
    let shown = world.read(&pending).await;
    assert_eq!(shown, grant.verification);
    assert_eq!((shown.delivery, shown.version, shown.updated_at), (Delivery::Sending, 2, at(1)));

    let row = world.message(wish.id).await;
    assert_eq!((row.state.as_str(), row.claim, row.attempts), ("sending", Some(wish.claim), 1));
    assert_eq!((row.lease_until, row.publish_at), (Some(at(31)), None));
    for now in [at(1), at(40), at(HOUR)] {
        assert_eq!(world.claim(wish.id, now).await, Claimed::Done, "also with the same claim");
        assert_eq!(only(world.store.claim(&[wish], now).await), Claimed::Done);
    }
    assert_eq!(world.message(wish.id).await, row);
}

async fn a_final_message_is_done(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let outcomes = [Outcome::Accepted, Outcome::Refused(NO_RECEIVER)];
    for (n, outcome) in (0..).zip(outcomes) {
        let pending = world.begin(&ask(n), START).await;
        let grant = world.grant(&pending, at(1)).await;
        world.record(&grant, outcome, at(2)).await;
        let shown = world.read(&pending).await;
        let batch = world.store.claim(&[wish(grant.id)], at(3)).await;
        assert!(batch.events.is_empty());
        assert_eq!(only(batch), Claimed::Done);
        assert_eq!(world.read(&pending).await, shown);
    }
}

async fn a_message_that_is_not_due_is_refused_until_then(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let grant = world.grant(&pending, at(1)).await;
    world.record(&grant, Outcome::Retry { after: secs(10), error: BUSY }, at(2)).await;
    let before = world.message(grant.id).await;
    let batch = world.store.claim(&[wish(grant.id)], at(12) - MS).await;
    assert!(batch.events.is_empty());
    assert_eq!(only(batch), Claimed::NotDue(at(12)));
    assert_eq!(world.message(grant.id).await, before);
    let again = world.grant(&pending, at(12)).await;
    assert_eq!(again.attempt, 2);
    assert_ne!(again.claim, grant.claim);
}

/// The clocks of two processes differ by some milliseconds.
async fn a_job_that_came_too_early_comes_again_in_time(kind: Kind) {
    let world = kind.world(rules()).await;
    let id = world.begin(&ask(1), START).await.newest_message();
    world.store.confirm_published(&[(id, START)]).await.unwrap();
    assert!(world.message(id).await.publish_at > Some(at(10)), "confirmed");
    assert_eq!(world.claim(id, START - MS * 5).await, Claimed::NotDue(START));
    assert_eq!(world.message(id).await.publish_at, Some(START));
    assert_eq!(world.store.take_due(10, START).await.unwrap(), [id]);
}

async fn a_number_rests_while_a_message_is_sent_and_after(kind: Kind) {
    let rules = Rules { claim_lease: secs(60), ..rules() };
    let world = kind.world(rules).await;
    let [first, second] = rivals(&world, 1).await;
    let grant = world.grant(&first, START).await;
    assert_eq!(world.report(1).await.number.paced_until, Some(at(60)));

    // Paced for the lease, in case the call takes that long; looked at again after the cooldown.
    let batch = world.store.claim(&[wish(second.newest_message())], at(1)).await;
    assert_eq!(announced(&batch.events), [(second.id, 2)].into());
    assert_eq!(only(batch), Claimed::Paced(at(31)));
    let row = world.message(second.newest_message()).await;
    assert_eq!((row.state.as_str(), row.due_at, row.publish_at), ("queued", at(31), Some(at(31))));
    assert_eq!((row.attempts, row.claim, row.lease_until), (0, None, None), "no attempt is spent");
    let shown = world.read(&second).await;
    assert_eq!((shown.delivery, shown.next_attempt_at), (Delivery::Queued, Some(at(31))));

    world.record(&grant, Outcome::Accepted, at(5)).await;
    assert_eq!(world.report(1).await.number.paced_until, Some(at(35)));
    assert_eq!(world.claim(second.newest_message(), at(31)).await, Claimed::Paced(at(35)));
    assert_eq!(world.claim(second.newest_message(), at(35) - MS).await, Claimed::NotDue(at(35)));
    assert_eq!(world.grant(&second, at(35)).await.attempt, 1);
}

async fn a_pace_longer_than_the_lease_outlives_a_dead_worker(kind: Kind) {
    let limits = NumberLimits { cooldown: secs(120).into(), ..NumberLimits::default() };
    let world = kind.world(Rules { limits, ..rules() }).await;
    let [first, second] = rivals(&world, 1).await;
    world.grant(&first, START).await;
    // The lease is over, and the reaper has not come by: the message may have arrived all the same.
    for now in [at(30), at(31), at(120) - MS] {
        let claimed = world.claim(second.newest_message(), now).await;
        assert!(matches!(claimed, Claimed::Paced(_) | Claimed::NotDue(_)), "{now}: {claimed:?}");
    }
    world.grant(&second, at(120)).await;
}

async fn a_cooldown_of_zero_turns_the_pace_off(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let [first, second] = rivals(&world, 1).await;
    world.grant(&first, START).await;
    world.grant(&second, START).await;
}

async fn an_expired_message_is_ended(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let batch = world.store.claim(&[wish(pending.newest_message())], pending.expires_at).await;
    assert_eq!(announced(&batch.events), [(pending.id, 2)].into());
    assert_eq!(only(batch), Claimed::Expired);
    let row = world.message(pending.newest_message()).await;
    assert_eq!((row.state.as_str(), row.attempts, row.publish_at), ("expired", 0, None));
    assert_eq!(world.read(&pending).await.delivery, Delivery::Expired);
    assert_eq!(world.report(1).await.number.paced_until, None);
    assert_eq!(world.claim(pending.newest_message(), pending.expires_at).await, Claimed::Done);
    // To the millisecond.
    let prompt = world.begin(&ask(2), START).await;
    world.grant(&prompt, prompt.expires_at - MS).await;
}

async fn what_has_ended_is_not_sent(kind: Kind) {
    let world = kind.world(no_limits()).await;
    // The first message of two was read while the second was on its way.
    let approved = world.begin(&ask(1), START).await;
    world.deliver(&approved, START).await;
    world.create(&ask(1), at(1)).await;
    let approved = world.approve(&approved, at(2)).await;
    assert_eq!(approved.delivery, Delivery::Queued);
    assert_eq!(approved.messages, 2);
    let mut ended = vec![approved];
    for (n, status) in (2..).zip([Status::Canceled, Status::Failed]) {
        let verification = world.begin(&ask(n), START).await;
        world.force(&verification, status).await;
        ended.push(verification);
    }
    for verification in ended {
        let id = verification.newest_message();
        // Also long after its code would have expired: it was not time that ended it.
        for now in [at(3), at(DAY)] {
            let expected = if now == at(3) { Claimed::Canceled } else { Claimed::Done };
            assert_eq!(world.claim(id, now).await, expected);
            let row = world.message(id).await;
            assert_eq!((row.state.as_str(), row.attempts, row.publish_at), ("canceled", 0, None));
        }
        assert_eq!(world.read(&verification).await.delivery, Delivery::Canceled);
    }
}

async fn an_older_code_is_not_sent(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    world.sql("UPDATE verifications SET epoch = 1").await;
    assert_eq!(world.claim(pending.newest_message(), at(1)).await, Claimed::Canceled);
    assert_eq!(world.message(pending.newest_message()).await.state, "canceled");
}

async fn only_the_newest_message_is_shown(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    // No call gets here: none adds a message before the last one is final.
    world.sql("UPDATE verifications SET messages = 2, delivery = 'sent'").await;
    let shown = world.read(&pending).await;
    assert!(matches!(world.claim(pending.newest_message(), at(1)).await, Claimed::Granted(_)));
    let told = world.read(&pending).await;
    assert!(told.history.as_str().ends_with(" 1000:c1"), "{told:?}");
    assert_eq!(Verification { history: shown.history.clone(), ..told }, shown);
}

async fn what_one_worker_has_no_key_for_waits_for_another(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let (id, number) = (pending.newest_message(), world.report(1).await);
    let stranger = world.another(Rules { keyring: Keyring::new(secret(9), None), ..rules() });
    let mut now = at(1);
    for _ in 0..10 {
        let batch = stranger.claim(&[wish(id)], now).await;
        assert!(batch.events.is_empty());
        assert_eq!(only(batch), Claimed::UnknownKey);
        let row = world.message(id).await;
        let due = now + secs(3);
        assert_eq!((row.state.as_str(), row.due_at, row.publish_at), ("queued", due, Some(due)));
        assert_eq!((row.attempts, row.claim, row.lease_until), (0, None, None), "no attempt is spent");
        assert_eq!(world.read(&pending).await, pending, "callers see nothing of it");
        // However long nobody knows the key: it is no work that the workers are behind with.
        assert_eq!(world.store.waiting_since(due - MS).await.unwrap(), None);
        now = due;
    }
    assert_eq!(world.report(1).await, number, "the number is not paced");
    let rotated = world.another(Rules { keyring: Keyring::new(secret(9), Some(secret(1))), ..rules() });
    let claimed = only(rotated.claim(&[wish(id)], now).await);
    assert!(matches!(claimed, Claimed::Granted(_)), "{claimed:?}");
}

async fn there_is_no_such_message(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let none = [
        MessageId { verification: pending.id, seq: 2 },
        MessageId { verification: pending.id, seq: 0 },
        MessageId { verification: Rng::system().uuid(), seq: 1 },
    ];
    let batch = [wish(none[0]), wish(pending.newest_message()), wish(none[1]), wish(none[2])];
    let answers = all(world.store.claim(&batch, at(1)).await);
    let [Claimed::Missing, Claimed::Granted(_), Claimed::Missing, Claimed::Missing] = answers.as_slice()
    else {
        panic!("{answers:?}")
    };
}

async fn the_null_route_is_neither_paced_nor_pacing(kind: Kind) {
    let world = kind.world(rules()).await;
    let gateway = world.begin(&ask(1), START).await;
    let mut null = Vec::new();
    for session in ["a", "b", "c"] {
        let mut create = ask_in(1, session);
        create.route = Route::Null;
        null.push(world.begin(&create, START).await);
    }
    let first = world.grant(&null[0], START).await;
    assert_eq!(first.route, Route::Null);
    assert_eq!(world.report(1).await.number.paced_until, None);
    world.record(&first, Outcome::Accepted, START).await;
    world.deliver(&gateway, START).await;
    let paced = world.report(1).await.number;
    assert_eq!((paced.otp_count, paced.paced_until), (1, Some(at(30))));
    // The number rests, which is nothing to a message that goes nowhere.
    for (verification, outcome) in
        [(&null[1], Outcome::Refused(NO_RECEIVER)), (&null[2], Outcome::Ambiguous(NO_ANSWER))]
    {
        let grant = world.grant(verification, at(1)).await;
        world.record(&grant, outcome, at(1)).await;
        assert_eq!(world.report(1).await.number, paced);
    }
}

async fn one_batch_grants_one_of_a_number(kind: Kind) {
    let world = kind.world(rules()).await;
    let [first, second] = rivals(&world, 1).await;
    let [other, _] = rivals(&world, 2).await;
    let batch = [&first, &first, &second, &other].map(|verification| wish(verification.newest_message()));
    let answers = all(world.store.claim(&batch, START).await);
    let [Claimed::Granted(one), Claimed::Done, Claimed::Paced(until), Claimed::Granted(two)] =
        answers.as_slice()
    else {
        panic!("{answers:?}")
    };
    assert_eq!((one.claim, two.claim, *until), (batch[0].claim, batch[3].claim, at(30)));
}
