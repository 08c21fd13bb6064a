//! The story of a verification: every change with its time, and what its messages cost.

use hulak_common::timeline::{Entry, Event};
use hulak_common::verification::{Delivery, Status, Verification};
use hulak_store::{Cancel, Canceled, Outcome, Recorded};

use crate::harness::*;

on_both_stores!(
    every_change_is_told_with_its_time,
    a_refusal_is_told_with_the_gateways_code,
    what_time_ends_is_told,
    a_canceled_one_tells_what_became_of_its_message,
    what_the_release_before_wrote_can_be_read,
    the_parts_of_what_may_have_gone_out_are_kept,
);

async fn story(world: &World, row: &Verification) -> Vec<(u64, Event)> {
    let row = world.read(row).await;
    row.history
        .entries(row.created_at)
        .map(|entry| match entry {
            Entry::Happened { at, event } => ((at - START).as_secs(), event),
            other => panic!("{other:?}"),
        })
        .collect()
}

async fn every_change_is_told_with_its_time(kind: Kind) {
    let world = kind.world(rules()).await;
    let row = world.begin(&ask(1), START).await;
    let grant = world.grant(&row, at(1)).await;
    world.record(&grant, Outcome::Retry { after: secs(4), error: BUSY }, at(2)).await;
    world.deliver(&row, at(6)).await;
    world.check_wrong(&row, at(20)).await;
    world.create(&ask(1), at(36)).await;
    // The number was sent a message a moment ago, by its own pace.
    world.sql("UPDATE numbers SET paced_until = 1800000040000").await;
    world.claim(world.read(&row).await.newest_message(), at(37)).await;
    world.deliver(&row, at(41)).await;
    world.approve(&row, at(50)).await;
    assert_eq!(
        story(&world, &row).await,
        [
            (0, Event::Asked { seq: 1, new_code: true }),
            (1, Event::Claimed { seq: 1 }),
            (2, Event::Again { seq: 1, wait: 4_000, error: Some(BUSY) }),
            (6, Event::Claimed { seq: 1 }),
            (6, Event::Accepted { seq: 1 }),
            (20, Event::WrongCode { left: 4 }),
            (36, Event::Asked { seq: 2, new_code: false }),
            (37, Event::Paced { seq: 2, wait: 3_000 }),
            (41, Event::Claimed { seq: 2 }),
            (41, Event::Accepted { seq: 2 }),
            (50, Event::Ended(Status::Approved)),
        ]
    );
}

async fn a_refusal_is_told_with_the_gateways_code(kind: Kind) {
    let world = kind.world(rules()).await;
    let row = world.begin(&ask(1), START).await;
    let grant = world.grant(&row, at(1)).await;
    world.record(&grant, Outcome::Refused(NO_RECEIVER), at(2)).await;
    let last = story(&world, &row).await.pop();
    assert_eq!(last, Some((2, Event::Failed { seq: 1, error: Some(NO_RECEIVER) })));
}

async fn what_time_ends_is_told(kind: Kind) {
    let world = kind.world(rules()).await;
    let row = world.begin(&ask(1), START).await;
    let sending = world.begin(&ask(2), START).await;
    world.grant(&sending, at(1)).await;
    world.store.reap(100, at(5 * MINUTE)).await.unwrap();
    assert_eq!(
        story(&world, &row).await[1..],
        [(300, Event::Ended(Status::Expired)), (300, Event::TooLate { seq: 1 })]
    );
    // Its worker was lost long before: that is told first, and its verification ends after it.
    let lost = story(&world, &sending).await;
    assert!(matches!(lost[2], (300, Event::Unknown { seq: 1, error: Some(_) })), "{lost:?}");
    assert_eq!(lost[3], (300, Event::Ended(Status::Expired)));
}

async fn a_canceled_one_tells_what_became_of_its_message(kind: Kind) {
    let world = kind.world(rules()).await;
    let row = world.begin(&ask(1), START).await;
    let cancel = Cancel { client: CLIENT, id: row.id };
    assert!(matches!(only(world.store.cancel(&[cancel], at(3)).await), Canceled::Done(_)));
    assert_eq!(
        story(&world, &row).await[1..],
        [(3, Event::Ended(Status::Canceled)), (3, Event::NotNeeded { seq: 1 })]
    );
}

async fn what_the_release_before_wrote_can_be_read(kind: Kind) {
    let world = kind.world(rules()).await;
    let row = world.begin(&ask(1), START).await;
    // Its columns, as it names them: what it inserts has the default.
    world.sql("UPDATE verifications SET history = ''").await;
    assert_eq!(story(&world, &row).await, []);
    world.deliver(&row, at(2)).await;
    assert_eq!(story(&world, &row).await.len(), 2);
}

async fn the_parts_of_what_may_have_gone_out_are_kept(kind: Kind) {
    let world = kind.world(rules()).await;
    let row = world.begin(&ask(1), START).await;
    let grant = world.grant(&row, at(1)).await;
    let lost = ended(&grant, Outcome::Ambiguous(NO_ANSWER), Some(2));
    assert_eq!(only(world.store.record(&[lost], at(2)).await), Recorded::Done(Delivery::Queued));
    assert_eq!(world.count("messages WHERE parts = 2").await, 1);
    // What says nothing about parts leaves them.
    let again = world.grant(&row, at(32)).await;
    world.record(&again, Outcome::Refused(NO_RECEIVER), at(33)).await;
    assert_eq!(world.count("messages WHERE parts = 2 AND state = 'failed'").await, 1);
}
