//! Asking again: how long a code and its verification live.

use hulak_common::rules::Rules;
use hulak_common::time::Timestamp;
use hulak_common::verification::{Delivery, Verification};
use hulak_store::{Created, Outcome};

use crate::harness::*;

on_both_stores!(
    a_resend_keeps_the_code_while_three_minutes_of_its_ten_remain,
    a_resend_begins_a_new_code_after_that,
    wrong_checks_stay_counted_over_codes,
    a_verification_lives_half_an_hour_at_most,
    none_is_added_while_the_last_is_unsent,
    a_resend_follows_every_end_of_the_last_message,
    a_long_life_is_not_cut_short,
);

/// Has the last message sent and another one added, both at `now`.
async fn resend(world: &World, now: Timestamp) -> Verification {
    let live = match world.create(&ask(1), now).await {
        Created::Again { verification, .. } | Created::Live(verification) => verification,
        other => panic!("{other:?}"),
    };
    if live.delivery.is_open() {
        world.deliver(&live, now).await;
    }
    match world.create(&ask(1), now).await {
        Created::Again { verification, added: true } => verification,
        other => panic!("{other:?}"),
    }
}

async fn a_resend_keeps_the_code_while_three_minutes_of_its_ten_remain(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let first = world.begin(&ask(1), START).await;
    let kept = resend(&world, at(4 * MINUTE)).await;
    assert_eq!((kept.epoch, kept.epoch_started_at), (0, START));
    assert_eq!(kept.expires_at, at(9 * MINUTE));
    let kept = resend(&world, at(7 * MINUTE)).await;
    assert_eq!((kept.epoch, kept.messages), (0, 3));
    assert_eq!(kept.expires_at, at(10 * MINUTE), "ten minutes are all that a code has");
    assert_eq!(world.message(kept.newest_message()).await.epoch, 0);
    assert_eq!(kept.created_at, first.created_at);
    // The code of the first SMS is the code of the third.
    world.check(&kept, world.right(&first), at(10 * MINUTE) - MS).await;
    assert_eq!(world.read(&kept).await.ended_at, Some(at(10 * MINUTE) - MS));
}

async fn a_resend_begins_a_new_code_after_that(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let first = world.begin(&ask(1), START).await;
    resend(&world, at(4 * MINUTE)).await;
    let now = at(7 * MINUTE) + MS;
    let renewed = resend(&world, now).await;
    assert_eq!((renewed.epoch, renewed.epoch_started_at), (1, now));
    assert_eq!(renewed.expires_at, now + secs(5 * MINUTE));
    assert_eq!(world.message(renewed.newest_message()).await.epoch, 1);
    assert!(!world.right(&first).matches(&world.right(&renewed)));
    // The old code is dead, and costs a check.
    world.check(&renewed, world.right(&first), now).await;
    assert_eq!(world.read(&renewed).await.checks_remaining, 4);
    world.approve(&renewed, now).await;
}

async fn wrong_checks_stay_counted_over_codes(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let mut live = world.begin(&ask(1), START).await;
    world.check_wrong(&live, at(1)).await;
    live = resend(&world, at(4 * MINUTE)).await;
    world.check_wrong(&live, at(4 * MINUTE)).await;
    live = resend(&world, at(8 * MINUTE)).await;
    assert_eq!((live.epoch, live.checks_remaining), (1, 3));
}

async fn a_verification_lives_half_an_hour_at_most(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let first = world.begin(&ask(1), START).await;
    for minute in [4, 8, 12, 16, 20, 24] {
        assert!(resend(&world, at(minute * MINUTE)).await.expires_at > at((minute + 1) * MINUTE));
    }
    let last = resend(&world, at(28 * MINUTE)).await;
    assert_eq!((last.id, last.expires_at), (first.id, at(30 * MINUTE)));
    let next = world.create(&ask(1), at(30 * MINUTE)).await;
    assert!(matches!(&next, Created::New(next) if next.id != first.id), "{next:?}");
}

async fn none_is_added_while_the_last_is_unsent(kind: Kind) {
    let world = kind.world(rules()).await;
    let first = world.begin(&ask(1), START).await;
    let before = world.read(&first).await;
    let again = |verification| Created::Again { verification, added: false };
    let created = world.create(&ask(1), at(30)).await;
    assert_eq!(created, again(before.clone()));
    assert_eq!(created.to_publish(), None);
    assert_eq!(world.read(&first).await, before, "nothing has changed");

    let grant = world.grant(&first, at(31)).await;
    assert!(matches!(world.create(&ask(1), at(32)).await, Created::Again { added: false, .. }));
    world.record(&grant, Outcome::Retry { after: secs(20), error: BUSY }, at(33)).await;
    assert!(matches!(world.create(&ask(1), at(34)).await, Created::Again { added: false, .. }));
    world.deliver(&first, at(53)).await;
    assert!(matches!(world.create(&ask(1), at(54)).await, Created::Again { added: true, .. }));
    assert_eq!(world.count("messages").await, 2);
    // It was charged twice, not five times.
    assert_eq!(world.report(1).await.number.asked.count(at(54), secs(HOUR)), 2);
}

async fn a_resend_follows_every_end_of_the_last_message(kind: Kind) {
    let ends = [
        (Outcome::Refused(NO_RECEIVER), Delivery::Failed),
        (Outcome::Ambiguous(NO_ANSWER), Delivery::Unknown),
        (Outcome::Retry { after: secs(HOUR), error: BUSY }, Delivery::Expired),
        (Outcome::Accepted, Delivery::Sent),
    ];
    let never = Rules { ambiguous: hulak_common::rules::AmbiguousPolicy::Never, ..no_limits() };
    let world = kind.world(never).await;
    let first = world.begin(&ask(1), START).await;
    for (second, (outcome, end)) in (1..).zip(ends) {
        let grant = world.grant(&first, at(second)).await;
        world.record(&grant, outcome, at(second)).await;
        assert_eq!(world.read(&first).await.delivery, end);
        let again = world.create(&ask(1), at(second)).await;
        let Created::Again { verification, added: true } = again else { panic!("{again:?}") };
        assert_eq!((verification.delivery, verification.error), (Delivery::Queued, None));
        assert_eq!(verification.next_attempt_at, None);
    }
}

async fn a_long_life_is_not_cut_short(kind: Kind) {
    let world = kind.world(Rules { code_ttl: secs(HOUR), ..no_limits() }).await;
    let first = world.begin(&ask(1), START).await;
    assert_eq!(first.expires_at, at(HOUR));
    let kept = resend(&world, at(57 * MINUTE)).await;
    assert_eq!((kept.epoch, kept.expires_at), (0, at(HOUR)));
}
