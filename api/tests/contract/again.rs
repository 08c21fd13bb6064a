//! Resend, cancel and block: what people and support staff do to a verification that is under way.

use hulak_testkit_stack::{Shape, Stack};
use reqwest::Method;
use serde_json::json;

use crate::support::*;

both_shapes!(
    a_resend_sends_the_same_code_again,
    a_resend_waits_for_its_time,
    a_client_token_may_resend_and_cancel,
    what_has_ended_is_not_sent_again,
    a_canceled_verification_is_over,
    what_has_ended_is_not_canceled,
    a_stranger_sees_nothing,
    support_staff_block_a_number,
    a_lifted_block_is_a_new_start,
    a_bad_block_names_its_field,
);

fn resend_path(id: &str) -> String {
    format!("{VERIFICATIONS}/{id}/resend")
}

async fn delete(stack: &Stack, path: &str) -> hulak_testkit_stack::Answer {
    call(stack, stack.key.expose(), Method::DELETE, path, None).await
}

async fn a_resend_sends_the_same_code_again(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE, "metadata": {"a": 1}})).await;
    clock.advance(COOLDOWN);
    let again = stack.post(&resend_path(&id), json!({})).await;
    assert_eq!((again.status, again.body["id"].as_str()), (202, Some(id.as_str())), "{again:?}");
    assert_eq!(again.body["delivery"]["messages"], 2);
    assert_eq!(again.body["metadata"], json!({"a": 1}));
    assert_eq!(again.header("etag"), format!("\"{}\"", again.body["version"]));
    sent(&stack, &id).await;
    assert_eq!(stack.code(PHONE), code, "the code of the first message");
    assert_eq!(check(&stack, &id, &code).await.status, 200);
    stack.stop().await;
}

async fn a_resend_waits_for_its_time(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let (id, _) = begin_sent(&stack, json!({"phone": PHONE})).await;
    clock.advance(COOLDOWN - MILLISECOND);
    let early = stack.post(&resend_path(&id), json!({})).await;
    assert_limited(&early, "resend-cooldown", "number-cooldown", (1, 30), 1);
    for session in 1..5 {
        clock.advance(COOLDOWN);
        sent(&stack, &begin(&stack, json!({"phone": PHONE, "session": session.to_string()})).await.id())
            .await;
    }
    clock.advance(COOLDOWN);
    let spent = stack.post(&resend_path(&id), json!({})).await;
    assert_problem(&spent, 429, "rate-limited");
    assert_eq!(spent.body["policy"], "number-hour");
    stack.stop().await;
}

async fn a_client_token_may_resend_and_cancel(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let answer = begin(&stack, json!({"phone": PHONE, "metadata": {"a": 1}})).await;
    let (id, token) = (answer.id(), answer.body["client_token"].as_str().unwrap().to_owned());
    sent(&stack, &id).await;
    clock.advance(COOLDOWN);
    let again = call(&stack, &token, Method::POST, &resend_path(&id), None).await;
    assert_eq!((again.status, &again.body["phone"]), (202, &json!("+97798•••••678")), "{again:?}");
    assert!(again.body.get("metadata").is_none());
    let canceled = call(&stack, &token, Method::DELETE, &format!("{VERIFICATIONS}/{id}"), None).await;
    assert_eq!((canceled.status, &canceled.body["status"]), (200, &json!("canceled")));
    let other = begin(&stack, json!({"phone": OTHER_PHONE})).await.id();
    for (method, path) in
        [(Method::POST, resend_path(&other)), (Method::DELETE, format!("{VERIFICATIONS}/{other}"))]
    {
        assert_problem(&call(&stack, &token, method, &path, None).await, 404, "not-found");
    }
    stack.stop().await;
}

async fn what_has_ended_is_not_sent_again(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    assert_eq!(check(&stack, &id, &code).await.status, 200);
    assert_problem(&stack.post(&resend_path(&id), json!({})).await, 409, "already-approved");
    let (id, code) = begin_sent(&stack, json!({"phone": OTHER_PHONE})).await;
    for n in 1..=5 {
        check(&stack, &id, &wrong(&code, n)).await;
    }
    assert_problem(&stack.post(&resend_path(&id), json!({})).await, 429, "too-many-checks");
    clock.advance(COOLDOWN);
    let (id, _) = begin_sent(&stack, json!({"phone": PHONE})).await;
    clock.advance(CODE_TTL);
    assert_problem(&stack.post(&resend_path(&id), json!({})).await, 410, "verification-expired");
    assert_problem(&stack.post(&resend_path("nonsense"), json!({})).await, 404, "not-found");
    stack.stop().await;
}

async fn a_canceled_verification_is_over(shape: Shape) {
    let (stack, _) = frozen(shape).await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    let path = format!("{VERIFICATIONS}/{id}");
    let canceled = delete(&stack, &path).await;
    assert_eq!((canceled.status, &canceled.body["status"]), (200, &json!("canceled")), "{canceled:?}");
    assert_eq!(delete(&stack, &path).await.body, canceled.body, "doing it again changes nothing");
    assert_eq!(stack.get(&path).await.body["status"], "canceled", "it stays to be read");
    assert_problem(&check(&stack, &id, &code).await, 409, "verification-canceled");
    assert_problem(&stack.post(&resend_path(&id), json!({})).await, 409, "verification-canceled");
    stack.stop().await;
}

async fn what_has_ended_is_not_canceled(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    check(&stack, &id, &code).await;
    assert_problem(&delete(&stack, &format!("{VERIFICATIONS}/{id}")).await, 409, "already-approved");
    let (id, _) = begin_sent(&stack, json!({"phone": OTHER_PHONE})).await;
    clock.advance(CODE_TTL);
    assert_problem(&delete(&stack, &format!("{VERIFICATIONS}/{id}")).await, 410, "verification-expired");
    stack.stop().await;
}

async fn a_stranger_sees_nothing(shape: Shape) {
    let (stack, _) = frozen(shape).await;
    let (id, _) = begin_sent(&stack, json!({"phone": PHONE})).await;
    let stranger = another_client(&stack, "stranger").await;
    for (method, path, body) in [
        (Method::POST, resend_path(&id), Some(json!({}))),
        (Method::DELETE, format!("{VERIFICATIONS}/{id}"), None),
    ] {
        assert_problem(&call(&stack, stranger.expose(), method, &path, body).await, 404, "not-found");
    }
    assert_eq!(stack.get(&format!("{VERIFICATIONS}/{id}")).await.body["status"], "pending");
    stack.stop().await;
}

async fn block(stack: &Stack, body: serde_json::Value) -> hulak_testkit_stack::Answer {
    call(stack, stack.key.expose(), Method::PUT, &format!("/v1/phones/{PHONE}/block"), Some(body)).await
}

async fn support_staff_block_a_number(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let (id, _) = begin_sent(&stack, json!({"phone": PHONE})).await;
    let until = "2030-01-31T12:00:00.000Z";
    let blocked = block(&stack, json!({"until": until, "reason": "asked us to stop"})).await;
    assert_eq!((blocked.status, &blocked.body["blocked_until"]), (200, &json!(until)), "{blocked:?}");
    clock.advance(COOLDOWN);
    for (path, body) in [
        (VERIFICATIONS.to_owned(), json!({"phone": "9812345678", "session": "other"})),
        (resend_path(&id), json!({})),
    ] {
        let refused = stack.post(&path, body).await;
        assert_problem(&refused, 403, "phone-blocked");
        assert_eq!(refused.body["blocked_until"], until);
    }
    // Within this client only.
    let other = another_client(&stack, "other").await;
    let body = Some(json!({"phone": PHONE}));
    assert_eq!(call(&stack, other.expose(), Method::POST, VERIFICATIONS, body).await.status, 202);
    let seen = call(&stack, other.expose(), Method::GET, &format!("/v1/phones/{PHONE}"), None).await;
    assert_eq!(seen.body["blocked_until"], json!(null));
    // For good, when no end is given.
    let forever = block(&stack, json!({})).await;
    assert_eq!(forever.body["blocked_until"], "9999-12-30T00:00:00.000Z");
    stack.stop().await;
}

async fn a_lifted_block_is_a_new_start(shape: Shape) {
    let (stack, _) = frozen(shape).await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    check(&stack, &id, &wrong(&code, 1)).await;
    block(&stack, json!({"until": null})).await;
    let path = format!("/v1/phones/{PHONE}");
    assert_eq!(stack.get(&path).await.body["checks_failed"], 1);
    let lifted = delete(&stack, &format!("{path}/block")).await;
    assert_eq!(lifted.status, 200);
    assert_eq!((&lifted.body["checks_failed"], &lifted.body["blocked_until"]), (&json!(0), &json!(null)));
    assert_eq!(delete(&stack, &format!("{path}/block")).await.body, lifted.body);
    stack.stop().await;
}

async fn a_bad_block_names_its_field(shape: Shape) {
    let (stack, _) = frozen(shape).await;
    for (body, field) in [
        (json!({"until": "tomorrow"}), "until"),
        (json!({"until": "2001-01-01T00:00:00Z"}), "until"),
        (json!({"until": 1}), "until"),
        (json!({"reason": "x".repeat(501)}), "reason"),
        (json!({"reason": "a\u{0}b"}), "reason"),
        (json!({"colour": "red"}), "colour"),
    ] {
        let refused = block(&stack, body).await;
        assert_problem(&refused, 422, "invalid-request");
        assert_eq!(fields(&refused), [field], "{refused:?}");
    }
    let bad = call(&stack, stack.key.expose(), Method::PUT, "/v1/phones/123/block", Some(json!({}))).await;
    assert_problem(&bad, 422, "invalid-phone");
    stack.stop().await;
}
