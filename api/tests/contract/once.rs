//! `Idempotency-Key`: the same request twice has one effect and one answer.

use std::time::Duration;

use hulak_testkit_stack::{Answer, Shape, Stack, StackOptions};
use serde_json::{Value, json};

use crate::support::*;

both_shapes!(
    the_first_answer_comes_again,
    another_body_is_refused,
    a_lost_approval_is_not_lost,
    an_approval_that_is_given_again_is_the_same,
    a_wrong_code_is_charged_once,
    refusals_are_tried_again,
    scopes_are_kept_apart,
    a_bad_key_is_named,
    many_at_once_have_one_effect,
    a_day_later_it_is_forgotten,
);

async fn post_at(stack: &Stack, api: usize, path: &str, key: &str, body: &Value) -> Answer {
    let url = format!("{}{path}", stack.apis[api].url);
    let request = stack.http.post(url).bearer_auth(stack.key.expose());
    Answer::of(request.header("Idempotency-Key", key).json(body)).await
}

async fn post(stack: &Stack, path: &str, key: &str, body: Value) -> Answer {
    post_at(stack, 0, path, key, &body).await
}

fn without_token(mut body: Value) -> Value {
    body.as_object_mut().unwrap().remove("client_token").expect("a token");
    body
}

async fn the_first_answer_comes_again(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let first = post(&stack, VERIFICATIONS, "k1", json!({"phone": PHONE})).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (202, ""));
    sent(&stack, &first.id()).await;
    clock.advance(COOLDOWN);
    // Without the key this would send a second message.
    let again = post(&stack, VERIFICATIONS, "k1", json!({"phone": PHONE})).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (202, "true"));
    for name in ["location", "etag", "content-type", "cache-control"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    let path = format!("{VERIFICATIONS}/{}", first.id());
    let token = again.body["client_token"].as_str().unwrap();
    assert_eq!(call(&stack, token, reqwest::Method::GET, &path, None).await.status, 200);
    assert_eq!(without_token(again.body.clone()), without_token(first.body.clone()));
    assert_eq!(stack.get(&path).await.body["delivery"]["messages"], 1);
    // A resend, too.
    let resend = format!("{path}/resend");
    let first = post(&stack, &resend, "k1", json!({})).await;
    assert_eq!(first.status, 202, "{first:?}");
    sent(&stack, &first.id()).await;
    clock.advance(COOLDOWN);
    let again = post(&stack, &resend, "k1", json!({})).await;
    assert_eq!((again.status, &again.body), (202, &first.body));
    assert_eq!(stack.get(&path).await.body["delivery"]["messages"], 2);
    stack.stop().await;
}

async fn another_body_is_refused(shape: Shape) {
    let (stack, _) = frozen(shape).await;
    assert_eq!(post(&stack, VERIFICATIONS, "k1", json!({"phone": PHONE})).await.status, 202);
    let other = post(&stack, VERIFICATIONS, "k1", json!({"phone": OTHER_PHONE})).await;
    assert_problem(&other, 422, "idempotency-key-reused");
    stack.stop().await;
}

/// Who remembers the `jti` until `exp` admits a token once, however often its answer is given again.
async fn an_approval_that_is_given_again_is_the_same(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    let path = format!("{VERIFICATIONS}/{id}/check");
    let first = post(&stack, &path, "k1", json!({"code": code})).await;
    clock.advance(SECOND * 599);
    let again = post(&stack, &path, "k1", json!({"code": code})).await;
    assert_eq!((again.status, &again.body["token"]), (200, &first.body["token"]));
    assert!(first.body["token"].is_string());
    clock.advance(SECOND);
    assert_problem(&post(&stack, &path, "k1", json!({"code": code})).await, 410, "approval-expired");
    stack.stop().await;
}

async fn a_lost_approval_is_not_lost(shape: Shape) {
    let (stack, _) = frozen(shape).await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    let path = format!("{VERIFICATIONS}/{id}/check");
    let first = post(&stack, &path, "k1", json!({"code": code})).await;
    let again = post(&stack, &path, "k1", json!({"code": code})).await;
    assert_eq!((first.status, again.status), (200, 200), "{again:?}");
    assert_eq!(again.body["verification"], first.body["verification"]);
    assert_eq!(again.body["token"].as_str().unwrap().split('.').count(), 3);
    assert_problem(&post(&stack, &path, "k2", json!({"code": code})).await, 409, "already-approved");
    stack.stop().await;
}

async fn a_wrong_code_is_charged_once(shape: Shape) {
    let (stack, _) = frozen(shape).await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    let path = format!("{VERIFICATIONS}/{id}/check");
    for _ in 0..3 {
        let answer = post(&stack, &path, "k1", json!({"code": wrong(&code, 1)})).await;
        assert_problem(&answer, 422, "incorrect-code");
        assert_eq!(answer.body["checks_remaining"], 4);
    }
    assert_eq!(stack.get(&format!("{VERIFICATIONS}/{id}")).await.body["checks_remaining"], 4);
    stack.stop().await;
}

async fn refusals_are_tried_again(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    begin_sent(&stack, json!({"phone": PHONE})).await;
    let body = json!({"phone": PHONE, "session": "2"});
    assert_problem(&post(&stack, VERIFICATIONS, "k1", body.clone()).await, 429, "rate-limited");
    clock.advance(COOLDOWN);
    assert_eq!(post(&stack, VERIFICATIONS, "k1", body).await.status, 202);
    stack.stop().await;
}

async fn scopes_are_kept_apart(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let first = post(&stack, VERIFICATIONS, "k1", json!({"phone": PHONE})).await;
    sent(&stack, &first.id()).await;
    let other = another_client(&stack, "other").await;
    let url = format!("{}{VERIFICATIONS}", stack.apis[0].url);
    let request = stack.http.post(url).bearer_auth(other.expose()).header("Idempotency-Key", "k1");
    let theirs = Answer::of(request.json(&json!({"phone": OTHER_PHONE}))).await;
    assert_eq!(theirs.status, 202);
    assert_ne!(theirs.id(), first.id());
    // Another credential of the same client is another scope, and so is a client token.
    let path = format!("{VERIFICATIONS}/{}/resend", first.id());
    let second = another_client(&stack, "default").await;
    let token = first.body["client_token"].as_str().unwrap();
    clock.advance(COOLDOWN);
    assert_eq!(post(&stack, &path, "k1", json!({})).await.status, 202);
    // The message is still on its way, or it is too early for another; only a first answer would come as a replay.
    for credential in [second.expose(), token] {
        let url = format!("{}{path}", stack.apis[0].url);
        let request = stack.http.post(url).bearer_auth(credential).header("Idempotency-Key", "k1");
        let answer = Answer::of(request.json(&json!({}))).await;
        assert!([202, 429].contains(&answer.status), "{answer:?}");
        assert_eq!(answer.header("idempotency-replayed"), "");
    }
    stack.stop().await;
}

async fn a_bad_key_is_named(shape: Shape) {
    let (stack, _) = frozen(shape).await;
    for key in ["", "with space", &"x".repeat(256)] {
        let refused = post(&stack, VERIFICATIONS, key, json!({"phone": PHONE})).await;
        assert_problem(&refused, 422, "invalid-request");
        assert_eq!(fields(&refused), ["Idempotency-Key"]);
    }
    stack.stop().await;
}

async fn many_at_once_have_one_effect(shape: Shape) {
    // One process answers 409 while the first is under way; two processes agree through the store.
    let apis = if shape == Shape::Production { 2 } else { 1 };
    let stack = Box::pin(Stack::start(StackOptions { apis, ..StackOptions::new(shape) })).await;
    let body = json!({"phone": PHONE});
    let asking = (0..20).map(|n| post_at(&stack, n % apis, VERIFICATIONS, "k1", &body));
    let answers = futures_util::future::join_all(asking).await;
    let mut ids = std::collections::HashSet::new();
    for answer in &answers {
        match answer.status {
            202 => drop(ids.insert(answer.id())),
            _ => assert_problem(answer, 409, "request-in-progress"),
        }
    }
    assert_eq!(ids.len(), 1, "{answers:?}");
    let id = ids.iter().next().unwrap();
    assert_eq!(sent(&stack, id).await["delivery"]["messages"], 1);
    stack.stop().await;
}

async fn a_day_later_it_is_forgotten(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let first = post(&stack, VERIFICATIONS, "k1", json!({"phone": PHONE})).await;
    sent(&stack, &first.id()).await;
    clock.advance(Duration::from_secs(24 * 3_600));
    let later = post(&stack, VERIFICATIONS, "k1", json!({"phone": PHONE})).await;
    assert_eq!(later.status, 202);
    assert_ne!(later.id(), first.id());
    stack.stop().await;
}
