//! Client tokens: what a phone or a browser may do, with the one verification it follows.

use hulak_testkit_stack::{Answer, Shape, Stack};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::*;

both_shapes!(
    a_token_follows_and_checks_its_own,
    a_token_sees_less,
    a_token_does_nothing_else,
    a_token_ends_ten_minutes_after_its_verification,
    a_token_outlives_an_expiry_by_ten_minutes,
    a_token_of_another_secret_is_none,
);

async fn begin_with_token(stack: &Stack, phone: &str) -> (String, String, String) {
    let created = begin(stack, json!({"phone": phone, "metadata": {"order": 7}})).await;
    let (id, token) = (created.id(), created.body["client_token"].as_str().unwrap().to_owned());
    sent(stack, &id).await;
    (id, token, stack.code(phone))
}

async fn read(stack: &Stack, token: &str, id: &str) -> Answer {
    call(stack, token, Method::GET, &format!("{VERIFICATIONS}/{id}"), None).await
}

async fn check_with(stack: &Stack, token: &str, id: &str, code: &str) -> Answer {
    let path = format!("{VERIFICATIONS}/{id}/check");
    call(stack, token, Method::POST, &path, Some(json!({ "code": code }))).await
}

/// What the owner of a token may see of a resource that the client sees as `full`.
fn masked(full: &Value) -> Value {
    let mut masked = full.clone();
    masked["phone"] = json!("+97798•••••678");
    masked.as_object_mut().unwrap().remove("metadata");
    masked
}

async fn a_token_follows_and_checks_its_own(shape: Shape) {
    let stack = start(shape).await;
    let (id, token, code) = begin_with_token(&stack, PHONE).await;
    let first = read(&stack, &token, &id).await;
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(first.header("retry-after"), "1");
    let request = stack.http.get(format!("{}{VERIFICATIONS}/{id}", stack.apis[0].url)).bearer_auth(&token);
    let unchanged = Answer::of(request.header("if-none-match", first.header("etag"))).await;
    assert_eq!(unchanged.status, 304);

    let refused = check_with(&stack, &token, &id, &wrong(&code, 1)).await;
    assert_problem(&refused, 422, "incorrect-code");
    assert_eq!(refused.body["checks_remaining"], 4);
    let approved = check_with(&stack, &token, &id, &code).await;
    assert_eq!(approved.status, 200, "{approved:?}");
    assert!(approved.body["token"].is_string());
    assert_problem(&check_with(&stack, &token, &id, &code).await, 409, "already-approved");
    assert_eq!(read(&stack, &token, &id).await.body["status"], "approved");
    stack.stop().await;
}

async fn a_token_sees_less(shape: Shape) {
    let stack = start(shape).await;
    let (id, token, code) = begin_with_token(&stack, PHONE).await;
    let full = stack.get(&format!("{VERIFICATIONS}/{id}")).await.body;
    assert_eq!((&full["phone"], &full["metadata"]), (&json!(PHONE), &json!({"order": 7})));
    assert_eq!(read(&stack, &token, &id).await.body, masked(&full));
    let approved = check_with(&stack, &token, &id, &code).await;
    let full = stack.get(&format!("{VERIFICATIONS}/{id}")).await.body;
    assert_eq!(approved.body["verification"], masked(&full));
    stack.stop().await;
}

async fn a_token_does_nothing_else(shape: Shape) {
    let stack = start(shape).await;
    let (own, token, _) = begin_with_token(&stack, PHONE).await;
    let (other, _, code) = begin_with_token(&stack, OTHER_PHONE).await;
    assert_problem(&read(&stack, &token, &other).await, 404, "not-found");
    assert_problem(&check_with(&stack, &token, &other, &code).await, 404, "not-found");
    assert_problem(&check_with(&stack, &token, &other, "no code").await, 404, "not-found");
    assert_problem(&read(&stack, &token, "nonsense").await, 404, "not-found");
    let full = stack.get(&format!("{VERIFICATIONS}/{other}")).await.body;
    assert_eq!((&full["status"], &full["checks_remaining"]), (&json!("pending"), &json!(5)));

    let body = Some(json!({"phone": PHONE}));
    assert_problem(&call(&stack, &token, Method::POST, VERIFICATIONS, body).await, 403, "forbidden");
    let path = format!("/v1/phones/{PHONE}");
    assert_problem(&call(&stack, &token, Method::GET, &path, None).await, 403, "forbidden");

    for at in [3, 10, token.len() / 2, token.len() - 1] {
        let mut spoiled = token.clone().into_bytes();
        spoiled[at] = if spoiled[at] == b'A' { b'B' } else { b'A' };
        let spoiled = String::from_utf8(spoiled).unwrap();
        assert_problem(&read(&stack, &spoiled, &own).await, 401, "unauthorized");
    }
    stack.stop().await;
}

async fn a_token_ends_ten_minutes_after_its_verification(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let (id, token, code) = begin_with_token(&stack, PHONE).await;
    clock.advance(60 * SECOND);
    assert_eq!(check_with(&stack, &token, &id, &code).await.status, 200);
    clock.advance(600 * SECOND);
    assert_eq!(read(&stack, &token, &id).await.status, 200);
    clock.advance(MILLISECOND);
    assert_problem(&read(&stack, &token, &id).await, 401, "unauthorized");
    assert_problem(&check_with(&stack, &token, &id, &code).await, 401, "unauthorized");
    assert_eq!(stack.get(&format!("{VERIFICATIONS}/{id}")).await.status, 200, "the key still reads it");
    stack.stop().await;
}

async fn a_token_outlives_an_expiry_by_ten_minutes(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let (id, token, code) = begin_with_token(&stack, PHONE).await;
    let version = stack.get(&format!("{VERIFICATIONS}/{id}")).await.body["version"].as_i64();
    clock.advance(CODE_TTL);
    stack.until(&id, |body| body["version"].as_i64() > version).await;
    clock.advance(600 * SECOND);
    assert_eq!(read(&stack, &token, &id).await.body["status"], "expired");
    assert_problem(&check_with(&stack, &token, &id, &code).await, 410, "verification-expired");
    clock.advance(MILLISECOND);
    assert_problem(&read(&stack, &token, &id).await, 401, "unauthorized");
    stack.stop().await;
}

async fn a_token_of_another_secret_is_none(shape: Shape) {
    let (stack, stranger) = (start(shape).await, start(shape).await);
    let (id, _, _) = begin_with_token(&stack, PHONE).await;
    let (_, token, _) = begin_with_token(&stranger, PHONE).await;
    assert_problem(&read(&stack, &token, &id).await, 401, "unauthorized");
    stack.stop().await;
    stranger.stop().await;
}
