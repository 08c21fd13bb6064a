//! `GET /v1/phones/{phone}`: what is known of a number.

use hulak_testkit_stack::{Shape, eventually};
use reqwest::Method;
use serde_json::json;

use crate::support::*;

both_shapes!(
    a_number_never_seen_has_zeros,
    every_spelling_finds_the_number,
    a_bad_number_is_named,
    counts_are_for_all_and_proofs_for_one,
);

async fn a_number_never_seen_has_zeros(shape: Shape) {
    let stack = start(shape).await;
    let answer = stack.get(&format!("/v1/phones/{OTHER_PHONE}")).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
    let zeros = json!({
        "phone": OTHER_PHONE, "operator": "ntc", "validated": false, "validated_at": null, "otp_count": 0,
        "ambiguous_count": 0, "last_sent_at": null, "checks_failed": 0, "blocked_until": null,
    });
    assert_eq!(answer.body, zeros);
    // A number that is not served is a number all the same; nobody knows its operator.
    let unserved = stack.get("/v1/phones/9912345678").await;
    assert_eq!((unserved.status, &unserved.body["operator"]), (200, &json!(null)));
    stack.stop().await;
}

async fn every_spelling_finds_the_number(shape: Shape) {
    let stack = start(shape).await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    check(&stack, &id, &code).await;
    let canonical = stack.get(&format!("/v1/phones/{PHONE}")).await;
    assert_eq!((&canonical.body["otp_count"], &canonical.body["validated"]), (&json!(1), &json!(true)));
    for spelling in [
        "9812345678",
        "%2B9779812345678",
        "009779812345678",
        "981-2345678",
        "+977%20981%202345678",
        "%E0%A5%AF%E0%A5%AE%E0%A5%A7%E0%A5%A8%E0%A5%A9%E0%A5%AA%E0%A5%AB%E0%A5%AC%E0%A5%AD%E0%A5%AE",
    ] {
        let answer = stack.get(&format!("/v1/phones/{spelling}")).await;
        assert_eq!((answer.status, &answer.body), (200, &canonical.body), "{spelling}");
    }
    stack.stop().await;
}

async fn a_bad_number_is_named(shape: Shape) {
    let stack = start(shape).await;
    for spelling in
        ["nonsense", "981234567", "98123456789", "+14155550100", "01-4221234", "98%2F12345678", "%20"]
    {
        let answer = stack.get(&format!("/v1/phones/{spelling}")).await;
        assert_problem(&answer, 422, "invalid-phone");
        assert_eq!(fields(&answer), ["phone"], "{spelling}");
    }
    stack.stop().await;
}

async fn counts_are_for_all_and_proofs_for_one(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let other = another_client(&stack, "shop").await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    check(&stack, &id, &wrong(&code, 1)).await;
    let path = format!("/v1/phones/{PHONE}");
    let (ours, theirs) =
        (stack.get(&path).await.body, call(&stack, other.expose(), Method::GET, &path, None).await.body);
    for (member, here, there) in [("otp_count", 1, 1), ("checks_failed", 1, 0)] {
        assert_eq!((&ours[member], &theirs[member]), (&json!(here), &json!(there)), "{member}");
    }
    assert_eq!(ours["last_sent_at"], theirs["last_sent_at"]);
    assert!(ours["last_sent_at"].is_string());
    check(&stack, &id, &code).await;
    let theirs = call(&stack, other.expose(), Method::GET, &path, None).await.body;
    assert_eq!((&theirs["validated"], &theirs["validated_at"]), (&json!(false), &json!(null)));

    // Each message counts once, whoever asked for it.
    clock.advance(COOLDOWN);
    let body = Some(json!({"phone": PHONE}));
    assert_eq!(call(&stack, other.expose(), Method::POST, VERIFICATIONS, body).await.status, 202);
    eventually("the second message", || async {
        (stack.get(&path).await.body["otp_count"] == 2).then_some(())
    })
    .await;
    stack.stop().await;
}
