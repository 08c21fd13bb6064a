//! What a number may receive: cooldown, hour and day, over all clients and sessions.

use hulak_testkit_stack::{Answer, Shape, Stack, StackOptions};
use serde_json::json;

use crate::support::*;

both_shapes!(
    the_cooldown_opens_to_the_millisecond,
    an_hour_has_five_messages,
    a_day_has_ten_messages,
    a_limited_resend_leaves_the_code_alone,
    numbers_do_not_share_limits,
    settings_are_heeded,
);

const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;

/// A request that no live verification answers. What it sends has gone out before time moves on: a message left behind
/// for minutes would have the API refuse everything.
async fn ask(stack: &Stack, session: u32) -> Answer {
    let answer = stack.post(VERIFICATIONS, json!({"phone": PHONE, "session": session.to_string()})).await;
    if answer.status == 202 {
        sent(stack, &answer.id()).await;
    }
    answer
}

async fn the_cooldown_opens_to_the_millisecond(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    assert_eq!(ask(&stack, 1).await.status, 202);
    assert_limited(&ask(&stack, 2).await, "rate-limited", "number-cooldown", (1, 30), 30);
    // Waits are rounded up: whoever heeds them is not refused again.
    clock.advance(COOLDOWN - 1_500 * MILLISECOND);
    assert_limited(&ask(&stack, 2).await, "rate-limited", "number-cooldown", (1, 30), 2);
    clock.advance(1_499 * MILLISECOND);
    assert_limited(&ask(&stack, 2).await, "rate-limited", "number-cooldown", (1, 30), 1);
    clock.advance(MILLISECOND);
    assert_eq!(ask(&stack, 2).await.status, 202);
    stack.stop().await;
}

async fn an_hour_has_five_messages(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    for session in 0..5 {
        assert_eq!(ask(&stack, session).await.status, 202);
        clock.advance(60 * SECOND);
    }
    assert_limited(&ask(&stack, 5).await, "rate-limited", "number-hour", (5, HOUR), HOUR - 300);
    // Refusals are not charged, or nobody would ever get through.
    for _ in 0..3 {
        assert_eq!(ask(&stack, 5).await.status, 429);
    }
    clock.advance((3_600 - 300) * SECOND - MILLISECOND);
    assert_limited(&ask(&stack, 5).await, "rate-limited", "number-hour", (5, HOUR), 1);
    clock.advance(MILLISECOND);
    assert_eq!(ask(&stack, 5).await.status, 202);
    // The window slides: the next place is free a minute later, when the second message leaves it.
    clock.advance(COOLDOWN);
    assert_limited(&ask(&stack, 6).await, "rate-limited", "number-hour", (5, HOUR), 30);
    stack.stop().await;
}

async fn a_day_has_ten_messages(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    for session in 0..10 {
        assert_eq!(ask(&stack, session).await.status, 202, "message {session}");
        clock.advance(1_000 * SECOND);
    }
    assert_limited(&ask(&stack, 10).await, "rate-limited", "number-day", (10, DAY), DAY - 10_000);
    clock.advance((86_400 - 10_000) * SECOND);
    assert_eq!(ask(&stack, 10).await.status, 202);
    stack.stop().await;
}

async fn a_limited_resend_leaves_the_code_alone(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    for _ in 1..5 {
        clock.advance(COOLDOWN);
        let again = begin(&stack, json!({"phone": PHONE})).await;
        assert_eq!(again.id(), id);
        sent(&stack, &id).await;
    }
    clock.advance(COOLDOWN);
    let before = stack.get(&format!("{VERIFICATIONS}/{id}")).await.body;
    assert_eq!(before["delivery"]["messages"], 5);
    let refused = stack.post(VERIFICATIONS, json!({"phone": PHONE})).await;
    assert_limited(&refused, "rate-limited", "number-hour", (5, HOUR), HOUR - 150);
    assert_eq!(stack.get(&format!("{VERIFICATIONS}/{id}")).await.body, before);
    assert_eq!(stack.sandbox.stats().accepted, 5);
    assert_eq!(check(&stack, &id, &code).await.status, 200);
    stack.stop().await;
}

async fn numbers_do_not_share_limits(shape: Shape) {
    let (stack, _clock) = frozen(shape).await;
    begin(&stack, json!({"phone": PHONE})).await;
    assert_eq!(ask(&stack, 1).await.status, 429);
    begin(&stack, json!({"phone": OTHER_PHONE})).await;
    stack.stop().await;
}

async fn settings_are_heeded(shape: Shape) {
    let mut options = StackOptions::new(shape);
    options.rules.limits =
        hulak_common::limits::NumberLimits { cooldown: (7 * SECOND).into(), hourly: 2, daily: 2 };
    let (stack, clock) = frozen_with(options).await;
    let first = ask(&stack, 1).await;
    assert_eq!(moment(&first.body["resend_after"]), moment(&first.body["created_at"]) + 7 * SECOND);
    assert_limited(&ask(&stack, 2).await, "rate-limited", "number-cooldown", (1, 7), 7);
    clock.advance(7 * SECOND);
    assert_eq!(ask(&stack, 2).await.status, 202);
    // The limit that stays closed longest is the one that is named.
    assert_limited(&ask(&stack, 3).await, "rate-limited", "number-day", (2, DAY), DAY - 7);
    stack.stop().await;
}
