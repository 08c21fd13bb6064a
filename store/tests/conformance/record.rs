//! Outcomes: what each does to the message, its verification and the number.

use hulak_common::gateway_codes::GatewayCode;
use hulak_common::job::MessageId;
use hulak_common::limits::NumberLimits;
use hulak_common::rules::{AmbiguousPolicy, Rules};
use hulak_common::verification::{Delivery, DeliveryError, DeliveryFault, Route, Status};
use hulak_store::{Claimed, Outcome, Record, Recorded};

use crate::harness::*;

on_both_stores!(
    accepted_is_counted_once,
    refused_fails_and_gives_the_pace_back,
    a_retry_waits_and_gives_the_pace_back,
    given_back_spends_no_attempt,
    the_gateways_code_is_text_and_a_number_for_the_release_before,
    a_retry_past_the_expiry_expires_it,
    a_retry_of_what_has_ended_is_canceled,
    an_ambiguous_send_is_repeated_once,
    an_ambiguous_send_is_never_repeated_when_so_configured,
    an_ambiguous_send_that_cannot_be_repeated_in_time_stays_unknown,
    an_ambiguous_send_that_is_refused_later_fails,
    an_approval_proves_receipt,
    a_call_that_outlives_its_verification_is_still_counted,
    a_late_outcome_leaves_the_next_claims_pace_alone,
    a_strangers_claim_writes_nothing,
    what_the_reaper_took_back_is_stale,
    the_null_route_is_counted_nowhere,
    a_batch_of_one_number_is_counted_exactly,
);

async fn accepted_is_counted_once(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let grant = world.grant(&pending, at(1)).await;
    let record = ended(&grant, Outcome::Accepted, None);
    let batch = world.store.record(std::slice::from_ref(&record), at(3)).await;
    assert_eq!(announced(&batch.events), [(pending.id, 3)].into());
    assert_eq!(only(batch), Recorded::Done(Delivery::Sent));
    let shown = world.read(&pending).await;
    assert_eq!((shown.delivery, shown.last_sent_at, shown.version), (Delivery::Sent, Some(at(3)), 3));
    assert_eq!((shown.status, shown.error), (Status::Pending, None));
    let row = world.message(grant.id).await;
    assert_eq!((row.state.as_str(), row.publish_at, row.lease_until), ("sent", None, None));
    let number = world.report(1).await.number;
    assert_eq!((number.otp_count, number.ambiguous_count), (1, 0));
    assert_eq!((number.last_sent_at, number.paced_until), (Some(at(3)), Some(at(33))));

    let batch = world.store.record(&[record.clone(), record], at(4)).await;
    assert!(batch.events.is_empty());
    assert_eq!(all(batch), [Recorded::Already, Recorded::Already]);
    let refused = world.record(&grant, Outcome::Refused(NO_RECEIVER), at(4)).await;
    assert_eq!(refused, Recorded::Already);
    assert_eq!(world.report(1).await.number, number);
    assert_eq!(world.read(&pending).await, shown);
}

async fn refused_fails_and_gives_the_pace_back(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let grant = world.grant(&pending, at(1)).await;
    assert_eq!(
        world.record(&grant, Outcome::Refused(NO_RECEIVER), at(2)).await,
        Recorded::Done(Delivery::Failed)
    );
    let shown = world.read(&pending).await;
    assert_eq!((shown.delivery, shown.error), (Delivery::Failed, Some(NO_RECEIVER)));
    assert_eq!((shown.status, shown.last_sent_at), (Status::Pending, None));
    assert_eq!(world.message(grant.id).await.publish_at, None);
    let number = world.report(1).await.number;
    assert_eq!((number.otp_count, number.ambiguous_count, number.last_sent_at), (0, 0, None));
    assert!(number.paced_until <= Some(at(2)));
}

async fn a_retry_waits_and_gives_the_pace_back(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let grant = world.grant(&pending, at(1)).await;
    let retry = Outcome::Retry { after: secs(4), error: BUSY };
    assert_eq!(world.record(&grant, retry, at(2)).await, Recorded::Done(Delivery::Queued));
    let shown = world.read(&pending).await;
    assert_eq!((shown.delivery, shown.error), (Delivery::Queued, Some(BUSY)));
    assert_eq!((shown.next_attempt_at, shown.version), (Some(at(6)), 3));
    let row = world.message(grant.id).await;
    assert_eq!((row.state.as_str(), row.due_at, row.publish_at), ("queued", at(6), Some(at(6))));
    assert_eq!((row.attempts, row.claim, row.lease_until), (1, None, None));
    assert!(world.report(1).await.number.paced_until <= Some(at(2)));
    // The claim is over: nothing can be recorded under it twice.
    for outcome in [retry, Outcome::Accepted] {
        assert_ne!(world.record(&grant, outcome, at(3)).await, Recorded::Done(Delivery::Queued));
        assert_eq!(world.message(grant.id).await, row);
    }
    let second = world.grant(&pending, at(6)).await;
    assert_eq!(second.attempt, 2);
    assert_eq!(world.record(&second, Outcome::Accepted, at(7)).await, Recorded::Done(Delivery::Sent));
    let shown = world.read(&pending).await;
    assert_eq!((shown.delivery, shown.error, shown.next_attempt_at), (Delivery::Sent, None, None));
    assert_eq!(world.report(1).await.number.otp_count, 1);
}

/// The release before this one writes the number alone, to its own rows and over those of this release.
async fn the_gateways_code_is_text_and_a_number_for_the_release_before(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let refused =
        |code| DeliveryError { code: DeliveryFault::InvalidReceiver, gateway_code: GatewayCode::new(code) };
    let grant = world.grant(&pending, at(1)).await;
    world.record(&grant, Outcome::Refused(refused("1007")), at(2)).await;
    for table in ["verifications", "messages"] {
        let both = format!("{table} WHERE gateway_code = 1007 AND gateway_error = '1007'");
        assert_eq!(world.count(&both).await, 1);
    }
    let after = async |change: &str| {
        for table in ["verifications", "messages"] {
            world.sql(&format!("UPDATE {table} SET {change}")).await;
        }
        let message = world.store.messages(pending.id).await.unwrap().remove(0);
        let shown = world.read(&pending).await.error;
        assert_eq!(message.error, shown);
        shown
    };
    assert_eq!(after("gateway_error = NULL").await, Some(refused("1007")), "written before the upgrade");
    assert_eq!(
        after("gateway_code = 1011, gateway_error = '1007'").await,
        Some(refused("1011")),
        "overwritten"
    );
    assert_eq!(
        after("gateway_code = NULL").await,
        Some(refused("")),
        "overwritten by an error without a code"
    );
    assert_eq!(after("gateway_error = 'REJECTED'").await, Some(refused("REJECTED")));
    assert_eq!(after("error = NULL").await, None);
}

async fn given_back_spends_no_attempt(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let grant = world.grant(&pending, at(1)).await;
    let account =
        DeliveryError { code: DeliveryFault::AccountRefused, gateway_code: GatewayCode::new("1012") };
    let given_back = Outcome::GivenBack { after: secs(4), error: Some(account) };
    assert_eq!(world.record(&grant, given_back, at(2)).await, Recorded::Done(Delivery::Queued));
    let row = world.message(grant.id).await;
    assert_eq!((row.attempts, row.due_at, row.publish_at), (0, at(6), Some(at(6))));
    assert_eq!(world.read(&pending).await.error, Some(account));
    assert!(world.report(1).await.number.paced_until <= Some(at(2)));
    let again = world.grant(&pending, at(6)).await;
    assert_eq!(again.attempt, 1);
    // Without a reason to show, the last one stands.
    world.record(&again, Outcome::GivenBack { after: secs(4), error: None }, at(7)).await;
    assert_eq!(world.read(&pending).await.error, Some(account));
    assert_eq!(world.report(1).await.number.otp_count, 0);
}

async fn a_retry_past_the_expiry_expires_it(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let life = 5 * MINUTE;
    for (n, after, end) in
        [(1, secs(life - 2) - MS, "queued"), (2, secs(life - 2), "expired"), (3, secs(DAY), "expired")]
    {
        for outcome in
            [Outcome::Retry { after, error: BUSY }, Outcome::GivenBack { after, error: Some(BUSY) }]
        {
            let pending = world.begin(&ask_in(n, &format!("{outcome:?}")), START).await;
            let grant = world.grant(&pending, at(1)).await;
            world.record(&grant, outcome, at(2)).await;
            let row = world.message(grant.id).await;
            assert_eq!((row.state.as_str(), row.publish_at.is_some()), (end, end == "queued"), "{outcome:?}");
            let shown = world.read(&pending).await;
            assert_eq!((shown.delivery.as_str(), shown.error), (end, Some(BUSY)));
            assert_eq!(shown.status, Status::Pending, "an earlier message's code may still be right");
        }
    }
}

async fn a_retry_of_what_has_ended_is_canceled(kind: Kind) {
    let world = kind.world(no_limits()).await;
    for (n, status) in (1..).zip([Status::Canceled, Status::Failed, Status::Approved, Status::Expired]) {
        let pending = world.begin(&ask(n), START).await;
        let grant = world.grant(&pending, at(1)).await;
        world.force(&pending, status).await;
        let end = if status == Status::Expired { Delivery::Expired } else { Delivery::Canceled };
        let retry = Outcome::Retry { after: secs(1), error: BUSY };
        assert_eq!(world.record(&grant, retry, at(2)).await, Recorded::Done(end));
        assert_eq!(world.read(&pending).await.delivery, end);
        assert_eq!(world.message(grant.id).await.publish_at, None);
    }
}

async fn an_ambiguous_send_is_repeated_once(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let first = world.grant(&pending, at(1)).await;
    let ambiguous = Outcome::Ambiguous(NO_ANSWER);
    assert_eq!(world.record(&first, ambiguous, at(11)).await, Recorded::Done(Delivery::Queued));
    let row = world.message(first.id).await;
    assert_eq!((row.ambiguous, row.attempts), (1, 1));
    // It may have arrived, so the number rests first.
    assert_eq!((row.due_at, row.publish_at), (at(41), Some(at(41))));
    let number = world.report(1).await.number;
    assert_eq!((number.otp_count, number.ambiguous_count), (0, 1));
    assert_eq!((number.paced_until, number.last_sent_at), (Some(at(41)), None));
    assert_eq!(world.read(&pending).await.error, Some(NO_ANSWER));
    assert_eq!(world.claim(first.id, at(41) - MS).await, Claimed::NotDue(at(41)));

    let second = world.grant(&pending, at(41)).await;
    assert!(world.right(&second.verification).matches(&world.right(&pending)), "the same code");
    assert_eq!(world.record(&second, ambiguous, at(51)).await, Recorded::Done(Delivery::Unknown));
    let shown = world.read(&pending).await;
    assert_eq!((shown.delivery, shown.status), (Delivery::Unknown, Status::Pending));
    assert_eq!((shown.next_attempt_at, shown.error), (None, Some(NO_ANSWER)));
    assert_eq!(world.message(first.id).await.publish_at, None);
    let number = world.report(1).await.number;
    assert_eq!((number.otp_count, number.ambiguous_count, number.paced_until), (0, 2, Some(at(81))));
    assert_eq!(world.record(&second, ambiguous, at(52)).await, Recorded::Already);
    assert_eq!(world.claim(first.id, at(HOUR)).await, Claimed::Done);
    assert_eq!(world.report(1).await.number, number);
}

async fn an_ambiguous_send_is_never_repeated_when_so_configured(kind: Kind) {
    let world = kind.world(Rules { ambiguous: AmbiguousPolicy::Never, ..rules() }).await;
    let pending = world.begin(&ask(1), START).await;
    let grant = world.grant(&pending, at(1)).await;
    let recorded = world.record(&grant, Outcome::Ambiguous(NO_ANSWER), at(2)).await;
    assert_eq!(recorded, Recorded::Done(Delivery::Unknown));
    let number = world.report(1).await.number;
    assert_eq!((number.ambiguous_count, number.paced_until), (1, Some(at(32))));
}

async fn an_ambiguous_send_that_cannot_be_repeated_in_time_stays_unknown(kind: Kind) {
    let world = kind.world(rules()).await;
    let ambiguous = Outcome::Ambiguous(NO_ANSWER);
    // Recorded too close to the end for the number to rest first.
    let late = world.begin(&ask(1), START).await;
    let grant = world.grant(&late, late.expires_at - secs(31)).await;
    let recorded = world.record(&grant, ambiguous, late.expires_at - secs(30)).await;
    assert_eq!(recorded, Recorded::Done(Delivery::Unknown));
    // Put back, and then claimed too late, or given back for too long, or approved meanwhile.
    let mut put_back = Vec::new();
    for n in 2..5 {
        let pending = world.begin(&ask(n), START).await;
        let grant = world.grant(&pending, at(1)).await;
        assert_eq!(world.record(&grant, ambiguous, at(2)).await, Recorded::Done(Delivery::Queued));
        put_back.push(pending);
    }
    let [claimed_late, retried_late, canceled] = put_back.try_into().unwrap();
    assert_eq!(world.claim(claimed_late.newest_message(), claimed_late.expires_at).await, Claimed::Expired);
    let grant = world.grant(&retried_late, at(32)).await;
    world.record(&grant, Outcome::Retry { after: secs(HOUR), error: BUSY }, at(33)).await;
    world.force(&canceled, Status::Canceled).await;
    assert_eq!(world.claim(canceled.newest_message(), at(33)).await, Claimed::Canceled);
    for verification in [claimed_late, retried_late, canceled] {
        assert_eq!(world.read(&verification).await.delivery, Delivery::Unknown);
        assert_eq!(world.message(verification.newest_message()).await.state, "unknown");
    }
}

async fn an_ambiguous_send_that_is_refused_later_fails(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let grant = world.grant(&pending, at(1)).await;
    world.record(&grant, Outcome::Ambiguous(NO_ANSWER), at(2)).await;
    let grant = world.grant(&pending, at(32)).await;
    let recorded = world.record(&grant, Outcome::Refused(NO_RECEIVER), at(33)).await;
    assert_eq!(recorded, Recorded::Done(Delivery::Failed));
    assert_eq!(world.report(1).await.number.ambiguous_count, 1);
}

async fn an_approval_proves_receipt(kind: Kind) {
    let world = kind.world(Rules { ambiguous: AmbiguousPolicy::Never, ..rules() }).await;
    // Approved after nobody knew.
    let before = world.begin(&ask(1), START).await;
    let grant = world.grant(&before, at(1)).await;
    world.record(&grant, Outcome::Ambiguous(NO_ANSWER), at(2)).await;
    let approved = world.approve(&before, at(3)).await;
    assert_eq!((approved.delivery, approved.error), (Delivery::Sent, None));
    // Approved while the call was still under way.
    let during = world.begin(&ask(2), START).await;
    let grant = world.grant(&during, at(1)).await;
    let approved = world.approve(&during, at(2)).await;
    assert_eq!(approved.delivery, Delivery::Sending);
    world.record(&grant, Outcome::Ambiguous(NO_ANSWER), at(3)).await;
    let shown = world.read(&during).await;
    assert_eq!((shown.delivery, shown.error), (Delivery::Sent, None));
    assert_eq!(shown.version, approved.version + 1);
    for n in [1, 2] {
        let number = world.report(n).await.number;
        assert_eq!(
            (number.otp_count, number.ambiguous_count),
            (0, 1),
            "the gateway never said that it accepted"
        );
    }
}

async fn a_call_that_outlives_its_verification_is_still_counted(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let grant = world.grant(&pending, pending.expires_at - MS).await;
    let (reaped, _) = world.store.reap(10, pending.expires_at).await.unwrap();
    assert_eq!((reaped.expired, reaped.leases), (1, 0));
    assert_eq!(world.read(&pending).await.delivery, Delivery::Sending);
    let recorded = world.record(&grant, Outcome::Accepted, pending.expires_at + secs(1)).await;
    assert_eq!(recorded, Recorded::Done(Delivery::Sent));
    let shown = world.read(&pending).await;
    assert_eq!((shown.status, shown.delivery), (Status::Expired, Delivery::Sent));
    assert_eq!(world.report(1).await.number.otp_count, 1);
}

async fn a_late_outcome_leaves_the_next_claims_pace_alone(kind: Kind) {
    let retry = Outcome::Retry { after: secs(1), error: BUSY };
    let limits = NumberLimits { cooldown: secs(5).into(), ..NumberLimits::default() };
    for outcome in [Outcome::Refused(NO_RECEIVER), retry, Outcome::Accepted, Outcome::Ambiguous(NO_ANSWER)] {
        let world = kind.world(Rules { limits, ..rules() }).await;
        // The database was away for longer than the lease, so neither the outcome nor the reaper came by.
        let slow = world.begin(&ask_in(1, "slow"), START).await;
        let late = world.grant(&slow, START).await;
        let next = world.begin(&ask_in(1, "next"), at(30)).await;
        let under_way = world.grant(&next, at(31)).await;
        let third = world.begin(&ask_in(1, "third"), at(35)).await;
        assert_ne!(world.record(&late, outcome, at(36)).await, Recorded::Stale);
        assert_eq!(world.report(1).await.number.paced_until, Some(at(61)), "{outcome:?}");
        assert_eq!(world.claim(third.newest_message(), at(42)).await, Claimed::Paced(at(47)));
        world.record(&under_way, Outcome::Accepted, at(43)).await;
        assert_eq!(world.report(1).await.number.paced_until, Some(at(48)), "{outcome:?}");
    }
}

async fn a_strangers_claim_writes_nothing(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let id = pending.newest_message();
    let stranger = wish(id).claim;
    let record = |id, claim| Record { id, claim, outcome: Outcome::Accepted, parts: None, as_claimed: None };
    // Not claimed at all, then claimed by somebody else, then no such message.
    assert_eq!(only(world.store.record(&[record(id, stranger)], at(1)).await), Recorded::Stale);
    let grant = world.grant(&pending, at(1)).await;
    let before = world.message(id).await;
    let none = MessageId { seq: 7, ..id };
    let batch = [record(id, stranger), record(none, grant.claim)];
    let batch = world.store.record(&batch, at(2)).await;
    assert!(batch.events.is_empty());
    assert_eq!(all(batch), [Recorded::Stale, Recorded::Stale]);
    assert_eq!(world.message(id).await, before);
    assert_eq!(world.report(1).await.number.otp_count, 0);
}

async fn what_the_reaper_took_back_is_stale(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let grant = world.grant(&pending, at(1)).await;
    assert_eq!(world.store.reap(10, at(31)).await.unwrap().0.leases, 1);
    let (row, shown) = (world.message(grant.id).await, world.read(&pending).await);
    for outcome in [Outcome::Accepted, Outcome::Retry { after: secs(1), error: BUSY }] {
        assert_eq!(world.record(&grant, outcome, at(32)).await, Recorded::Stale);
    }
    assert_eq!((world.message(grant.id).await, world.read(&pending).await), (row, shown));
    let number = world.report(1).await.number;
    assert_eq!((number.otp_count, number.ambiguous_count), (0, 1));
    // Nor may the slow worker write over what the next one does.
    let next = world.grant(&pending, at(61)).await;
    assert_eq!(world.record(&grant, Outcome::Accepted, at(62)).await, Recorded::Stale);
    assert_eq!(world.record(&next, Outcome::Accepted, at(62)).await, Recorded::Done(Delivery::Sent));
    assert_eq!(world.record(&grant, Outcome::Accepted, at(63)).await, Recorded::Stale);
    assert_eq!(world.report(1).await.number.otp_count, 1);
}

async fn the_null_route_is_counted_nowhere(kind: Kind) {
    let world = kind.world(rules()).await;
    let outcomes = [
        (Outcome::Accepted, Delivery::Sent),
        (Outcome::Refused(NO_RECEIVER), Delivery::Failed),
        (Outcome::Retry { after: secs(1), error: BUSY }, Delivery::Queued),
        (Outcome::GivenBack { after: secs(1), error: None }, Delivery::Queued),
        (Outcome::Ambiguous(NO_ANSWER), Delivery::Queued),
    ];
    for (n, (outcome, end)) in (1..).zip(outcomes) {
        let mut create = ask(n);
        create.route = Route::Null;
        let pending = world.begin(&create, START).await;
        let untouched = world.report(n).await.number;
        let grant = world.grant(&pending, at(1)).await;
        assert_eq!(world.record(&grant, outcome, at(2)).await, Recorded::Done(end));
        assert_eq!(world.report(n).await.number, untouched, "{outcome:?}");
        // What a caller sees looks like any other.
        assert_eq!(world.read(&pending).await.last_sent_at, (end == Delivery::Sent).then_some(at(2)));
    }
}

async fn a_batch_of_one_number_is_counted_exactly(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let creates: Vec<_> = (0..20).map(|n| ask_in(1, &n.to_string())).collect();
    all(world.store.create(&creates, START).await);
    let wishes: Vec<_> =
        creates.iter().map(|create| wish(MessageId { verification: create.id, seq: 1 })).collect();
    let grants = granted(world.store.claim(&wishes, START).await);
    let records: Vec<_> = grants.iter().map(|grant| ended(grant, Outcome::Accepted, None)).collect();
    let answers = all(world.store.record(&records, at(1)).await);
    assert_eq!(answers, [Recorded::Done(Delivery::Sent); 20]);
    assert_eq!(world.report(1).await.number.otp_count, 20);
}
