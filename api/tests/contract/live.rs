//! One live verification a client, number, purpose and session.

use hulak_testkit_stack::{Faults, Shape, StackOptions};
use reqwest::Method;
use serde_json::json;

use crate::support::*;

both_shapes!(
    a_reload_neither_kills_the_code_nor_buys_a_message,
    a_late_resend_begins_a_new_code,
    an_unsent_message_is_not_sent_twice,
    sessions_and_purposes_are_apart,
    clients_are_apart,
    what_has_ended_makes_room,
    twenty_spellings_are_one_number,
);

async fn a_reload_neither_kills_the_code_nor_buys_a_message(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE, "metadata": {"n": 1}})).await;
    let before = stack.get(&format!("{VERIFICATIONS}/{id}")).await.body;
    clock.advance(COOLDOWN - MILLISECOND);
    let reload = stack.post(VERIFICATIONS, json!({"phone": PHONE, "metadata": {"n": 2}})).await;
    assert_eq!((reload.status, reload.id()), (200, id.clone()));
    assert!(reload.body["client_token"].as_str().is_some_and(|token| token.starts_with("vt_")));
    let mut same = reload.body.clone();
    same.as_object_mut().unwrap().remove("client_token");
    assert_eq!(same, before, "a reload changes nothing");
    assert_eq!(stack.sandbox.stats().accepted, 1);

    clock.advance(MILLISECOND);
    let resend = stack.post(VERIFICATIONS, json!({"phone": PHONE})).await;
    assert_eq!((resend.status, resend.id()), (202, id.clone()));
    assert_eq!(resend.body["delivery"]["messages"], 2);
    assert_eq!(moment(&resend.body["expires_at"]), moment(&before["expires_at"]) + COOLDOWN);
    assert_eq!(moment(&resend.body["resend_after"]), moment(&before["resend_after"]) + COOLDOWN);
    sent(&stack, &id).await;
    assert_eq!(stack.sandbox.stats().accepted, 2);
    assert_eq!(stack.code(PHONE), code, "the same code while enough of its life remains");
    assert_eq!(check(&stack, &id, &code).await.status, 200);
    stack.stop().await;
}

async fn a_late_resend_begins_a_new_code(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let (id, first) = begin_sent(&stack, json!({"phone": PHONE})).await;
    check(&stack, &id, &wrong(&first, 1)).await;
    clock.advance(CODE_TTL - MILLISECOND);
    begin(&stack, json!({"phone": PHONE})).await;
    sent(&stack, &id).await;
    assert_eq!(stack.code(PHONE), first);
    // Less than three of the code's ten minutes are left.
    clock.advance(121 * SECOND);
    let resend = begin(&stack, json!({"phone": PHONE})).await;
    assert_eq!((resend.id(), &resend.body["delivery"]["messages"]), (id.clone(), &json!(3)));
    assert_eq!(resend.body["checks_remaining"], 4, "wrong checks stay counted");
    sent(&stack, &id).await;
    let second = stack.code(PHONE);
    assert_ne!(first, second);
    assert_problem(&check(&stack, &id, &first).await, 422, "incorrect-code");
    assert_eq!(check(&stack, &id, &second).await.status, 200);
    stack.stop().await;
}

async fn an_unsent_message_is_not_sent_twice(shape: Shape) {
    let mut options = StackOptions::new(shape);
    // Shorter than a claim, which would run out otherwise.
    options.rules.limits.cooldown = (10 * SECOND).into();
    let (stack, clock) = frozen_with(options).await;
    // The gateway takes long: the message is on its way while the caller asks again.
    stack.set_faults(Faults { latency_ms: 2_000, ..Faults::none() });
    let id = begin(&stack, json!({"phone": PHONE})).await.id();
    stack.until(&id, |body| body["delivery"]["status"] == "sending").await;
    clock.advance(10 * SECOND);
    let again = begin(&stack, json!({"phone": PHONE})).await;
    assert_eq!((again.id(), &again.body["delivery"]["messages"]), (id.clone(), &json!(1)));
    assert_eq!(again.body["delivery"]["status"], "sending");
    sent(&stack, &id).await;
    assert_eq!(stack.sandbox.stats().requests, 1);
    stack.stop().await;
}

async fn sessions_and_purposes_are_apart(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let bodies = [
        json!({"phone": PHONE}),
        json!({"phone": PHONE, "session": "one"}),
        json!({"phone": PHONE, "session": "ONE"}),
        json!({"phone": PHONE, "session": "one", "purpose": "sign_up"}),
        json!({"phone": PHONE, "purpose": "sign_up"}),
    ];
    let mut seen = Vec::new();
    for body in &bodies {
        seen.push(begin_sent(&stack, body.clone()).await);
        clock.advance(COOLDOWN);
    }
    let ids: std::collections::HashSet<_> = seen.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), bodies.len(), "{seen:?}");
    // Each is live beside the others, and knows its own code only.
    for ((id, code), (_, other)) in seen.iter().zip(seen.iter().cycle().skip(1)) {
        if code != other {
            assert_problem(&check(&stack, id, other).await, 422, "incorrect-code");
        }
    }
    for (id, code) in &seen {
        assert_eq!(check(&stack, id, code).await.status, 200);
    }
    // An empty session and `verify` are what nothing stands for.
    clock.advance(3_600 * SECOND);
    let plain = begin(&stack, json!({"phone": PHONE})).await.id();
    let explicit =
        stack.post(VERIFICATIONS, json!({"phone": PHONE, "session": "", "purpose": "verify"})).await;
    assert_eq!((explicit.status, explicit.id()), (200, plain));
    stack.stop().await;
}

async fn clients_are_apart(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let other = another_client(&stack, "shop").await;
    let (ours, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    let post = async |path: &str, body| call(&stack, other.expose(), Method::POST, path, Some(body)).await;

    let path = format!("{VERIFICATIONS}/{ours}");
    assert_problem(&call(&stack, other.expose(), Method::GET, &path, None).await, 404, "not-found");
    let foreign = post(&format!("{path}/check"), json!({ "code": code })).await;
    assert_problem(&foreign, 404, "not-found");
    assert_eq!(stack.get(&path).await.body["checks_remaining"], 5, "a stranger spends nothing");

    // One phone, one person being disturbed: the limits are for all clients together.
    assert_problem(&post(VERIFICATIONS, json!({"phone": PHONE})).await, 429, "rate-limited");
    clock.advance(COOLDOWN);
    let theirs = post(VERIFICATIONS, json!({"phone": PHONE})).await;
    assert_eq!(theirs.status, 202, "{theirs:?}");
    assert_ne!(theirs.id(), ours);
    assert_eq!(check(&stack, &ours, &code).await.status, 200);
    assert_problem(&stack.get(&format!("{VERIFICATIONS}/{}", theirs.id())).await, 404, "not-found");
    stack.stop().await;
}

async fn what_has_ended_makes_room(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let (approved, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    assert_eq!(check(&stack, &approved, &code).await.status, 200);
    let soon = stack.post(VERIFICATIONS, json!({"phone": PHONE})).await;
    assert_problem(&soon, 429, "rate-limited");
    clock.advance(COOLDOWN);
    let (expired, old) = begin_sent(&stack, json!({"phone": PHONE})).await;
    assert_ne!(expired, approved);
    // At the very moment of its end, before anybody has written it down.
    clock.advance(CODE_TTL);
    let next = begin(&stack, json!({"phone": PHONE})).await;
    assert_ne!(next.id(), expired);
    assert_eq!(next.body["delivery"]["messages"], 1);
    assert_problem(&check(&stack, &expired, &old).await, 410, "verification-expired");
    stack.stop().await;
}

async fn twenty_spellings_are_one_number(shape: Shape) {
    let (stack, _clock) = frozen(shape).await;
    let spellings = [
        "9812345678",
        "09812345678",
        "+9779812345678",
        "9779812345678",
        "009779812345678",
        "+009779812345678",
        "+97709812345678",
        "+977 981-2345678",
        "+977-98-1234-5678",
        "+977 (0) 981 2345678",
        "(+977) 981 234 5678",
        "[977] 981.234.5678",
        "  981 234 5678\t\r\n",
        "+977\u{A0}981\u{202F}234\u{2009}56\u{3000}78",
        "981\u{2013}2345678",
        "98\u{AD}12\u{200B}345678",
        "\u{202A}+977 981-2345678\u{202C}",
        "९८१२३४५६७८",
        "+९७७ ९८१-२३४५६७८",
        "＋９７７（９８１）２３４５６７８",
        "tel:+977-981-2345678",
        "९८१2345६७८",
    ];
    let first = begin(&stack, json!({"phone": spellings[0]})).await.id();
    for spelling in &spellings[1..] {
        let again = stack.post(VERIFICATIONS, json!({"phone": spelling})).await;
        assert_eq!((again.status, again.id()), (200, first.clone()), "{spelling:?}");
        assert_eq!(again.body["phone"], PHONE, "{spelling:?}");
    }
    sent(&stack, &first).await;
    assert_eq!(stack.sandbox.stats().accepted, 1);
    stack.stop().await;
}
