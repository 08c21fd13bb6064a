//! `POST /v1/verifications/{id}/check`: wrong codes, late codes, and how many of them.

use hulak_testkit_stack::{Shape, Stack, StackOptions};
use serde_json::{Value, json};

use crate::support::*;

both_shapes!(
    five_wrong_codes_are_the_end,
    the_last_try_may_be_right,
    what_is_no_code_spends_nothing,
    an_expired_code_is_gone,
    a_new_code_buys_no_new_guesses,
    a_success_clears_the_numbers_budget,
    twenty_wrong_guesses_over_ten_verifications_are_all_there_are,
    a_code_of_one_verification_opens_no_other,
    settings_are_heeded,
);

async fn read(stack: &Stack, id: &str) -> Value {
    stack.get(&format!("{VERIFICATIONS}/{id}")).await.body
}

async fn phone(stack: &Stack) -> Value {
    stack.get(&format!("/v1/phones/{PHONE}")).await.body
}

/// Spends wrong codes; each must be refused as wrong.
async fn spend(stack: &Stack, id: &str, code: &str, count: u64) {
    for n in 1..=count {
        assert_problem(&check(stack, id, &wrong(code, n)).await, 422, "incorrect-code");
    }
}

async fn five_wrong_codes_are_the_end(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    for left in (0..5).rev() {
        let refused = check(&stack, &id, &wrong(&code, left + 1)).await;
        assert_problem(&refused, 422, "incorrect-code");
        assert_eq!(refused.body["checks_remaining"], left);
    }
    let body = read(&stack, &id).await;
    assert_eq!((&body["status"], &body["checks_remaining"]), (&json!("failed"), &json!(0)));
    // Even the right code. It tells to come back when a new verification may be asked for.
    let (quota, wait) = ((5, 300), 30);
    assert_limited(&check(&stack, &id, &code).await, "too-many-checks", "checks", quota, wait);
    assert_limited(&check(&stack, &id, &wrong(&code, 1)).await, "too-many-checks", "checks", quota, wait);
    let number = phone(&stack).await;
    assert_eq!((&number["checks_failed"], &number["validated"]), (&json!(5), &json!(false)));

    clock.advance(COOLDOWN);
    let (next, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    assert_ne!(next, id);
    assert_eq!(check(&stack, &next, &code).await.status, 200);
    stack.stop().await;
}

async fn the_last_try_may_be_right(shape: Shape) {
    let stack = start(shape).await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    spend(&stack, &id, &code, 4).await;
    assert_eq!(check(&stack, &id, &code).await.status, 200);
    stack.stop().await;
}

async fn what_is_no_code_spends_nothing(shape: Shape) {
    let stack = start(shape).await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    let before = read(&stack, &id).await;
    let devanagari: String =
        code.bytes().map(|digit| char::from_u32(u32::from('०') + u32::from(digit - b'0')).unwrap()).collect();
    let spaced = format!("{} {}", &code[..3], &code[3..]);
    let (padded, longer, line) = (format!(" {code}"), format!("{code}0"), format!("{code}\n"));
    for typed in
        ["", "12345", &longer, &devanagari, &spaced, &padded, &line, "12345a", "-12345", "1e5000", "\0"]
    {
        let refused = check(&stack, &id, typed).await;
        assert_problem(&refused, 422, "malformed-code");
        assert_eq!(fields(&refused), ["code"], "{typed:?}");
    }
    for body in [json!({}), json!({"code": null}), json!({"code": 123_456}), json!({"code": ["123456"]})] {
        let refused = stack.post(&format!("{VERIFICATIONS}/{id}/check"), body.clone()).await;
        assert_problem(&refused, 422, "invalid-request");
        assert_eq!(fields(&refused), ["code"], "{body}");
    }
    let unknown = json!({"code": code, "phone": PHONE});
    let refused = stack.post(&format!("{VERIFICATIONS}/{id}/check"), unknown).await;
    assert_problem(&refused, 422, "invalid-request");
    assert_eq!(fields(&refused), ["phone"]);
    assert_eq!(read(&stack, &id).await, before);
    assert_eq!(phone(&stack).await["checks_failed"], 0);
    assert_eq!(check(&stack, &id, &code).await.status, 200);
    stack.stop().await;
}

async fn an_expired_code_is_gone(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    clock.advance(CODE_TTL - MILLISECOND);
    spend(&stack, &id, &code, 1).await;
    let version = read(&stack, &id).await["version"].as_i64();
    clock.advance(MILLISECOND);
    // At once, whether the reaper has been there or not.
    assert_problem(&check(&stack, &id, &code).await, 410, "verification-expired");
    let body = read(&stack, &id).await;
    assert_eq!((&body["status"], &body["checks_remaining"]), (&json!("expired"), &json!(4)));
    // The reaper writes it down within a second, and nothing else changes.
    let reaped = stack.until(&id, |body| body["version"].as_i64() > version).await;
    assert_eq!((&reaped["status"], &reaped["checks_remaining"]), (&json!("expired"), &json!(4)));
    assert_eq!(reaped["delivery"]["status"], "sent");
    assert_problem(&check(&stack, &id, &code).await, 410, "verification-expired");
    assert_eq!(phone(&stack).await["validated"], false);
    stack.stop().await;
}

async fn a_new_code_buys_no_new_guesses(shape: Shape) {
    let mut options = StackOptions::new(shape);
    options.rules.number_max_failed_checks = 7;
    let (stack, clock) = frozen_with(options).await;
    let (first, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    spend(&stack, &first, &code, 5).await;
    clock.advance(60 * SECOND);
    let (second, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    spend(&stack, &second, &code, 2).await;
    // The budget opens when the oldest of the seven wrong codes is a day old.
    let day = 86_400;
    let refused = check(&stack, &second, &code).await;
    assert_limited(&refused, "too-many-checks", "checks", (7, day), day - 60);
    let body = read(&stack, &second).await;
    assert_eq!((&body["status"], &body["checks_remaining"]), (&json!("pending"), &json!(3)));
    assert_eq!(phone(&stack).await["checks_failed"], 7);
    // A third verification is no way around it.
    clock.advance(60 * SECOND);
    let (third, code) = begin_sent(&stack, json!({"phone": PHONE, "session": "x"})).await;
    let refused = check(&stack, &third, &code).await;
    assert_limited(&refused, "too-many-checks", "checks", (7, day), day - 120);

    // Another client has a budget of its own.
    let other = another_client(&stack, "shop").await;
    clock.advance(60 * SECOND);
    let body = Some(json!({"phone": PHONE}));
    let theirs = call(&stack, other.expose(), reqwest::Method::POST, VERIFICATIONS, body).await.id();
    let path = format!("{VERIFICATIONS}/{theirs}");
    hulak_testkit_stack::eventually("their message", || async {
        let read = call(&stack, other.expose(), reqwest::Method::GET, &path, None).await;
        (read.body["delivery"]["status"] == "sent").then_some(())
    })
    .await;
    let body = Some(json!({"code": stack.code(PHONE)}));
    let approved = call(&stack, other.expose(), reqwest::Method::POST, &format!("{path}/check"), body).await;
    assert_eq!(approved.status, 200, "{approved:?}");
    assert_eq!(phone(&stack).await["validated"], false, "approved for the other client only");

    // A day after the first five they no longer count.
    clock.advance(86_400 * SECOND - 180 * SECOND);
    let (last, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    assert_eq!(check(&stack, &last, &code).await.status, 200);
    stack.stop().await;
}

/// As the defaults have it: two guesses at each of ten new codes, and the number bears no more.
async fn twenty_wrong_guesses_over_ten_verifications_are_all_there_are(shape: Shape) {
    let mut options = StackOptions::new(shape);
    // Ten messages in as many half minutes: only the budget of guesses is to stop this.
    (options.rules.limits.hourly, options.rules.limits.daily) = (20, 20);
    let (stack, clock) = frozen_with(options).await;
    let mut codes = Vec::new();
    for n in 0..11 {
        let (id, code) = begin_sent(&stack, json!({"phone": PHONE, "session": n.to_string()})).await;
        codes.push((id, code));
        clock.advance(COOLDOWN / 2);
        let (id, code) = &codes[n];
        match n {
            9 => spend(&stack, id, code, 1).await,
            10 => break,
            _ => spend(&stack, id, code, 2).await,
        }
        clock.advance(COOLDOWN / 2);
    }
    let (last, code) = &codes[10];
    spend(&stack, last, code, 1).await;
    let refused = check(&stack, last, code).await;
    assert_problem(&refused, 429, "too-many-checks");
    assert_eq!(refused.body["policy"], "checks");
    assert_eq!(phone(&stack).await["checks_failed"], 20);
    stack.stop().await;
}

async fn a_success_clears_the_numbers_budget(shape: Shape) {
    let mut options = StackOptions::new(shape);
    options.rules.number_max_failed_checks = 6;
    let (stack, clock) = frozen_with(options).await;
    for _ in 0..3 {
        let (id, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
        spend(&stack, &id, &code, 4).await;
        assert_eq!(phone(&stack).await["checks_failed"], 4);
        assert_eq!(check(&stack, &id, &code).await.status, 200);
        assert_eq!(phone(&stack).await["checks_failed"], 0);
        clock.advance(COOLDOWN);
    }
    stack.stop().await;
}

async fn a_code_of_one_verification_opens_no_other(shape: Shape) {
    let stack = start(shape).await;
    let (one, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    let (two, other) = begin_sent(&stack, json!({"phone": OTHER_PHONE})).await;
    // One in a million runs draws the same code twice.
    if code != other {
        assert_problem(&check(&stack, &one, &other).await, 422, "incorrect-code");
        assert_problem(&check(&stack, &two, &code).await, 422, "incorrect-code");
    }
    assert_eq!(check(&stack, &one, &code).await.status, 200);
    assert_eq!(check(&stack, &two, &other).await.status, 200);
    stack.stop().await;
}

async fn settings_are_heeded(shape: Shape) {
    let mut options = StackOptions::new(shape);
    options.rules.code_length = "8".parse().unwrap();
    options.rules.code_ttl = 60 * SECOND;
    options.rules.max_checks = 2;
    let (stack, clock) = frozen_with(options).await;
    let created = begin(&stack, json!({"phone": PHONE})).await;
    let id = created.id();
    assert_eq!(created.body["checks_remaining"], 2);
    assert_eq!(moment(&created.body["expires_at"]), moment(&created.body["created_at"]) + 60 * SECOND);
    sent(&stack, &id).await;
    let code = stack.code(PHONE);
    assert_eq!(code.len(), 8);
    assert_problem(&check(&stack, &id, &code[..6]).await, 422, "malformed-code");
    spend(&stack, &id, &code, 2).await;
    assert_problem(&check(&stack, &id, &code).await, 429, "too-many-checks");
    clock.advance(60 * SECOND);
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    clock.advance(60 * SECOND);
    assert_problem(&check(&stack, &id, &code).await, 410, "verification-expired");
    stack.stop().await;
}
