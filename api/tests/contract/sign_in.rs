//! Signing in: it tells nobody who exists. And test numbers.

use std::time::Duration;

use hulak_testkit_stack::{Answer, Shape, Stack, StackOptions};
use reqwest::Method;
use serde_json::{Value, json};

use crate::accounts::{ACCOUNTS, claims, sign_up, verify_for};
use crate::support::*;
use crate::waiting::Events;

both_shapes!(
    the_verified_number_of_an_active_account_signs_in,
    a_stranger_is_told_the_same,
    no_code_is_right_for_a_stranger,
    an_inactive_account_is_a_stranger,
    a_stranger_is_told_the_same_by_events,
    whoever_is_shut_out_gets_no_new_token,
    a_stranger_who_signs_up_can_sign_in,
    a_test_number_has_a_fixed_code_and_no_limits,
);

const SIGN_IN: &str = "sign_in";

/// How many messages the gateway took for a number.
fn messages(stack: &Stack, phone: &str) -> usize {
    stack.sandbox.inbox().iter().filter(|message| phone.ends_with(&message.to)).count()
}

async fn a_verified_account(stack: &Stack) -> String {
    let id = sign_up(stack, json!({"username": "sita"})).await;
    verify_for(stack, &id, PHONE).await;
    id
}

async fn the_verified_number_of_an_active_account_signs_in(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let id = a_verified_account(&stack).await;
    clock.advance(COOLDOWN);
    let (verification, code) = begin_sent(&stack, json!({"phone": PHONE, "purpose": SIGN_IN})).await;
    let approved = Answer::of(
        stack
            .request(Method::POST, &format!("{VERIFICATIONS}/{verification}/check"))
            .header("idempotency-key", "lost")
            .json(&json!({ "code": code })),
    )
    .await;
    assert_eq!(approved.status, 200, "{approved:?}");
    let first = claims(&approved);
    assert_eq!((&first["purpose"], &first["account_id"]), (&json!(SIGN_IN), &json!(id)));
    let account = stack.get(&format!("{ACCOUNTS}/{id}")).await.body;
    assert!(account["last_login_at"].is_string(), "{account}");
    // The token was lost on its way: asked for again, it is for the same account.
    let again = Answer::of(
        stack
            .request(Method::POST, &format!("{VERIFICATIONS}/{verification}/check"))
            .header("idempotency-key", "lost")
            .json(&json!({ "code": code })),
    )
    .await;
    assert_eq!(claims(&again), first);
    stack.stop().await;
}

/// What an answer says apart from what is every verification's own.
fn likeness(answer: &Answer) -> (u16, Value, Vec<String>) {
    let mut body = answer.body.clone();
    for own in ["id", "phone", "operator", "client_token", "type"] {
        if let Some(object) = body.as_object_mut() {
            object.remove(own);
        }
    }
    let mut headers: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
    headers.sort();
    (answer.status, body, headers)
}

async fn a_stranger_is_told_the_same(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    a_verified_account(&stack).await;
    clock.advance(Duration::from_secs(3_700));
    let before = stack.sandbox.latest_to(PHONE).map(|message| message.id);
    // A fresh number has asked for less than one that was verified: give the stranger the same past.
    let past = begin(&stack, json!({"phone": OTHER_PHONE})).await.id();
    sent(&stack, &past).await;
    let known = begin(&stack, json!({"phone": PHONE})).await.id();
    sent(&stack, &known).await;
    clock.advance(Duration::from_secs(3_700));

    let mut seen = Vec::new();
    for phone in [PHONE, OTHER_PHONE] {
        let mut likenesses = Vec::new();
        let begun = begin(&stack, json!({"phone": phone, "purpose": SIGN_IN})).await;
        let (id, path) = (begun.id(), format!("{VERIFICATIONS}/{}", begun.id()));
        likenesses.push(likeness(&begun));
        sent(&stack, &id).await;
        likenesses.push(likeness(&stack.get(&path).await));
        likenesses
            .push(likeness(&stack.post(VERIFICATIONS, json!({"phone": phone, "purpose": SIGN_IN})).await));
        likenesses.push(likeness(&stack.post(&format!("{path}/resend"), json!({})).await));
        likenesses.push(likeness(&check(&stack, &id, "12").await));
        likenesses.push(likeness(&check(&stack, &id, "0000000").await));
        for code in ["111111", "222222"] {
            likenesses.push(likeness(&check(&stack, &id, code).await));
        }
        let other = json!({"phone": phone, "purpose": SIGN_IN, "session": "other"});
        likenesses.push(likeness(&stack.post(VERIFICATIONS, other).await));
        seen.push((id, likenesses));
    }
    let (stranger, known) = (seen.pop().unwrap(), seen.pop().unwrap());
    for (n, (theirs, ours)) in stranger.1.iter().zip(&known.1).enumerate() {
        assert_eq!(theirs, ours, "answer {n}");
    }

    // Later: another message, the pace, and at last the quotas.
    for round in 0..6 {
        clock.advance(COOLDOWN);
        let mut answers = Vec::new();
        for (id, phone) in [(&known.0, PHONE), (&stranger.0, OTHER_PHONE)] {
            let resent = stack.post(&format!("{VERIFICATIONS}/{id}/resend"), json!({})).await;
            if resent.status == 202 {
                sent(&stack, id).await;
            }
            answers.push(likeness(&resent));
            let own =
                stack.post(VERIFICATIONS, json!({"phone": phone, "purpose": SIGN_IN, "session": "x"})).await;
            answers.push(likeness(&own));
        }
        assert_eq!(answers[0], answers[2], "round {round}");
        assert_eq!(answers[1], answers[3], "round {round}");
    }
    assert_ne!(stack.sandbox.latest_to(PHONE).map(|message| message.id), before, "one of them was sent to");
    let strangers = messages(&stack, OTHER_PHONE);
    assert_eq!(strangers, 1, "the stranger's only message is the one before");
    stack.stop().await;
}

async fn no_code_is_right_for_a_stranger(shape: Shape) {
    let mut options = StackOptions::new(shape);
    // One digit of a code is known to be right: with four digits and no bound on checks all can be tried.
    options.rules.code_length = "4".parse().unwrap();
    (options.rules.max_checks, options.rules.number_max_failed_checks) = (20_000, 20_000);
    let stack = Box::pin(Stack::start(options)).await;
    let begun = begin(&stack, json!({"phone": PHONE, "purpose": SIGN_IN})).await;
    let id = begun.id();
    let codes: Vec<String> = (0..10_000).map(|code| format!("{code:04}")).collect();
    for some in codes.chunks(200) {
        let answers = futures_util::future::join_all(some.iter().map(|code| check(&stack, &id, code))).await;
        for answer in answers {
            assert_problem(&answer, 422, "incorrect-code");
        }
    }
    stack.stop().await;
}

async fn an_inactive_account_is_a_stranger(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let id = a_verified_account(&stack).await;
    clock.advance(COOLDOWN);
    let (verification, code) = begin_sent(&stack, json!({"phone": PHONE, "purpose": SIGN_IN})).await;
    let path = format!("{ACCOUNTS}/{id}");
    let patch = |active: bool| {
        call(&stack, stack.key.expose(), Method::PATCH, &path, Some(json!({ "is_active": active })))
    };
    assert_eq!(patch(false).await.status, 200);
    assert_problem(&check(&stack, &verification, &code).await, 422, "incorrect-code");
    let had = messages(&stack, PHONE);
    clock.advance(COOLDOWN);
    let resent = stack.post(&format!("{VERIFICATIONS}/{verification}/resend"), json!({})).await;
    assert_eq!(resent.status, 202, "{resent:?}");
    sent(&stack, &verification).await;
    assert_eq!(messages(&stack, PHONE), had, "nothing was sent");
    assert_eq!(patch(true).await.status, 200);
    assert_eq!(check(&stack, &verification, &code).await.status, 200);
    stack.stop().await;
}

/// The states that a stream tells, until the message has gone out and its code has expired.
async fn told(stack: &Stack, phone: &str) -> Vec<(i64, Value)> {
    let id = begin(stack, json!({"phone": phone, "purpose": SIGN_IN})).await.id();
    let (mut events, mut told) = (Events::open(stack, stack.key.expose(), &id).await, Vec::new());
    while let Some((version, mut state)) = events.next().await {
        let shown: Value = ["status", "delivery"].iter().map(|name| state[*name].take()).collect();
        let sent = shown[1]["status"] == "sent";
        told.push((version, json!([shown[0], shown[1]["status"], shown[1]["messages"], shown[1]["error"]])));
        if sent && shown[0] == "pending" {
            let path = format!("{VERIFICATIONS}/{id}");
            let taken = call(stack, stack.key.expose(), Method::DELETE, &path, None).await;
            assert_eq!(taken.status, 200);
        }
    }
    // Which states come so fast that they are told in one is a matter of chance.
    told.retain(|(_, state)| state[0] != "pending" || state[1] == "sent");
    told
}

async fn a_stranger_is_told_the_same_by_events(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    a_verified_account(&stack).await;
    clock.advance(COOLDOWN);
    let known = told(&stack, PHONE).await;
    assert_eq!(known.len(), 2, "{known:?}");
    assert_eq!(told(&stack, OTHER_PHONE).await, known);
    stack.stop().await;
}

async fn whoever_is_shut_out_gets_no_new_token(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let account = a_verified_account(&stack).await;
    clock.advance(COOLDOWN);
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE, "purpose": SIGN_IN})).await;
    let check = || {
        let request = stack.request(Method::POST, &format!("{VERIFICATIONS}/{id}/check"));
        Answer::of(request.header("idempotency-key", "k").json(&json!({ "code": code })))
    };
    let (first, again) = (check().await, check().await);
    assert_eq!(claims(&again)["account_id"], claims(&first)["account_id"]);
    assert_eq!(again.header("etag"), first.header("etag"), "{again:?}");
    let path = format!("{ACCOUNTS}/{account}");
    let shut = call(&stack, stack.key.expose(), Method::PATCH, &path, Some(json!({"is_active": false})));
    assert_eq!(shut.await.status, 200);
    assert_problem(&check().await, 409, "already-approved");
    stack.stop().await;
}

async fn a_stranger_who_signs_up_can_sign_in(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let early = begin(&stack, json!({"phone": PHONE, "purpose": SIGN_IN})).await.id();
    sent(&stack, &early).await;
    assert_eq!(messages(&stack, PHONE), 0);
    clock.advance(COOLDOWN);
    a_verified_account(&stack).await;
    clock.advance(COOLDOWN);
    // The same live verification, whose next message is a real one.
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE, "purpose": SIGN_IN})).await;
    assert_eq!(id, early);
    assert_eq!(check(&stack, &id, &code).await.status, 200);
    stack.stop().await;
}

async fn a_test_number_has_a_fixed_code_and_no_limits(shape: Shape) {
    let mut options = StackOptions::new(shape);
    options.rules.test_numbers = format!("{PHONE}=424242,{OTHER_PHONE}=0000").parse().unwrap();
    options.pattern = "^96".parse().unwrap();
    let (stack, _clock) = frozen_with(options).await;
    for n in 0..20 {
        let begun = begin(&stack, json!({"phone": PHONE, "session": n.to_string()})).await;
        sent(&stack, &begun.id()).await;
        assert_problem(&check(&stack, &begun.id(), "123456").await, 422, "incorrect-code");
        let approved = check(&stack, &begun.id(), "424242").await;
        assert_eq!((approved.status, &claims(&approved)["test"]), (200, &json!(true)), "{approved:?}");
    }
    let begun = begin(&stack, json!({"phone": OTHER_PHONE})).await;
    assert_problem(&check(&stack, &begun.id(), "424242").await, 422, "malformed-code");
    assert_eq!(check(&stack, &begun.id(), "0000").await.status, 200);
    for phone in [PHONE, OTHER_PHONE] {
        assert_eq!(messages(&stack, phone), 0, "nothing is sent");
        let number = stack.get(&format!("/v1/phones/{phone}")).await.body;
        assert_eq!((&number["otp_count"], &number["validated"]), (&json!(0), &json!(true)));
    }
    stack.stop().await;
}
