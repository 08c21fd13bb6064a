//! From the request for a code to the approval, and what can become of the message.

use hulak_testkit_stack::{Answer, Faults, Shape, eventually};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::*;

both_shapes!(
    a_number_is_verified,
    a_caller_can_follow_the_location,
    a_refused_message_says_why,
    a_stranger_cannot_tell_that_signing_in_sends_nothing,
    requests_at_the_same_moment_make_one_verification,
    of_many_right_codes_at_the_same_moment_one_wins,
);

const RESOURCE: [&str; 13] = [
    "id",
    "phone",
    "operator",
    "purpose",
    "status",
    "delivery",
    "checks_remaining",
    "resend_after",
    "expires_at",
    "created_at",
    "updated_at",
    "version",
    "metadata",
];

fn members(value: &Value) -> Vec<&str> {
    let mut names: Vec<_> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

fn sorted(names: &[&'static str]) -> Vec<&'static str> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names
}

/// As it is answered right after the request, before a worker has had it or while one has.
fn assert_new(answer: &Answer) {
    let body = &answer.body;
    let mut expected = sorted(&RESOURCE);
    expected.insert(expected.partition_point(|name| *name < "client_token"), "client_token");
    assert_eq!(members(body), expected);
    assert_eq!(body["phone"], PHONE);
    assert_eq!(body["operator"], "ncell");
    assert_eq!(body["purpose"], "sign_up");
    assert_eq!(body["status"], "pending");
    let delivery = json!({"status": "queued", "messages": 1, "last_sent_at": null, "next_attempt_at": null, "error": null});
    assert_eq!(body["delivery"], delivery);
    assert_eq!(body["checks_remaining"], 5);
    assert_eq!(body["version"], 1);
    assert_eq!(body["metadata"], json!({"order": {"id": 7, "note": "नेपाल \u{0} \"quoted\""}}));
    let created = moment(&body["created_at"]);
    assert_eq!(created, moment(&body["updated_at"]));
    assert_eq!(moment(&body["resend_after"]), created + COOLDOWN);
    assert_eq!(moment(&body["expires_at"]), created + CODE_TTL);
    assert!(body["created_at"].as_str().unwrap().ends_with('Z'), "{body}");
    assert!(body["client_token"].as_str().unwrap().starts_with("vt_"));
}

async fn a_number_is_verified(shape: Shape) {
    let stack = start(shape).await;
    let before = machine_time();
    let created = begin(
        &stack,
        json!({
            "phone": "981-2345678", "purpose": "sign_up", "session": "web session", "locale": "ne",
            "origin": "example.com", "end_user_ip": "2001:db8::1",
            "metadata": {"order": {"id": 7, "note": "नेपाल \u{0} \"quoted\""}},
        }),
    )
    .await;
    assert_new(&created);
    assert_eq!(created.header("content-type"), "application/json");
    assert_eq!(created.header("cache-control"), "no-store");
    let id = created.id();

    let read = sent(&stack, &id).await;
    assert_eq!(members(&read), sorted(&RESOURCE));
    assert_eq!((&read["delivery"]["messages"], &read["delivery"]["error"]), (&json!(1), &Value::Null));
    assert!(moment(&read["delivery"]["last_sent_at"]) >= moment(&read["created_at"]));
    assert!(read["version"].as_i64() > Some(1));

    let code = stack.code(PHONE);
    assert_eq!(code.len(), 6);
    let refused = check(&stack, &id, &wrong(&code, 1)).await;
    assert_problem(&refused, 422, "incorrect-code");
    assert_eq!(refused.body["checks_remaining"], 4);

    let approved = check(&stack, &id, &code).await;
    assert_eq!(approved.status, 200, "{approved:?}");
    assert_eq!(approved.header("cache-control"), "no-store");
    assert_eq!(members(&approved.body), ["status", "token", "verification"]);
    assert_eq!(approved.body["status"], "approved");
    assert_eq!(approved.body["token"].as_str().unwrap().split('.').count(), 3);
    assert_eq!(members(&approved.body["verification"]), sorted(&RESOURCE));
    assert_eq!(approved.body["verification"]["status"], "approved");
    assert_eq!(approved.body["verification"]["checks_remaining"], 4);

    assert_problem(&check(&stack, &id, &code).await, 409, "already-approved");
    assert_problem(&check(&stack, &id, &wrong(&code, 1)).await, 409, "already-approved");
    let read = stack.get(&format!("{VERIFICATIONS}/{id}")).await;
    assert_eq!(read.body, approved.body["verification"]);

    let number = stack.get(&format!("/v1/phones/{PHONE}")).await;
    assert_eq!(number.status, 200, "{number:?}");
    assert_eq!((&number.body["validated"], &number.body["otp_count"]), (&json!(true), &json!(1)));
    assert!(moment(&number.body["validated_at"]) + SECOND > before);
    assert_eq!(stack.sandbox.stats().accepted, 1);
    stack.stop().await;
}

async fn a_caller_can_follow_the_location(shape: Shape) {
    let stack = start(shape).await;
    let created = begin(&stack, json!({"phone": PHONE})).await;
    let location = created.header("location");
    assert_eq!(location, format!("{VERIFICATIONS}/{}", created.id()));
    let followed = stack.get(location).await;
    assert_eq!((followed.status, followed.id()), (200, created.id()));
    assert_eq!(followed.body["purpose"], "verify", "the default");
    assert_eq!(followed.body["metadata"], json!({}), "the default");
    let again = stack.post(VERIFICATIONS, json!({"phone": PHONE})).await;
    assert_eq!((again.status, again.header("location")), (200, location));
    stack.stop().await;
}

async fn a_refused_message_says_why(shape: Shape) {
    let stack = start(shape).await;
    stack.set_faults(Faults { response_code: Some(1007), ..Faults::none() });
    let created = begin(&stack, json!({"phone": PHONE})).await;
    let (id, token) = (created.id(), created.body["client_token"].as_str().unwrap());
    let body = stack.until(&id, |body| body["delivery"]["status"] == "failed").await;
    let theirs = call(&stack, token, reqwest::Method::GET, &format!("{VERIFICATIONS}/{id}"), None).await;
    let seen = json!({"code": "invalid-receiver", "gateway_code": null});
    assert_eq!(theirs.body["delivery"]["error"], seen, "the gateway's code is the application's business");
    assert_eq!(body["delivery"]["error"], json!({"code": "invalid-receiver", "gateway_code": "1007"}));
    assert_eq!(body["delivery"]["last_sent_at"], Value::Null);
    assert_eq!(body["status"], "pending", "another message may still arrive");
    let number = stack.get(&format!("/v1/phones/{PHONE}")).await;
    assert_eq!(number.body["otp_count"], 0);
    stack.stop().await;
}

async fn a_stranger_cannot_tell_that_signing_in_sends_nothing(shape: Shape) {
    let stack = start(shape).await;
    let created = begin(&stack, json!({"phone": PHONE, "purpose": "sign_in"})).await;
    let body = sent(&stack, &created.id()).await;
    assert!(body["delivery"]["last_sent_at"].is_string());
    let number = stack.get(&format!("/v1/phones/{PHONE}")).await;
    assert_eq!(number.body["otp_count"], 0);
    assert_eq!(stack.sandbox.stats().requests, 0);
    stack.stop().await;
}

async fn requests_at_the_same_moment_make_one_verification(shape: Shape) {
    let stack = start(shape).await;
    let mut requests = JoinSet::new();
    for _ in 0..24 {
        let request = stack.request(reqwest::Method::POST, VERIFICATIONS).json(&json!({"phone": PHONE}));
        requests.spawn(Answer::of(request));
    }
    let answers = requests.join_all().await;
    let first = answers[0].id();
    assert!(answers.iter().all(|answer| answer.id() == first), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer.status == 202).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 23, "{answers:?}");
    let body = sent(&stack, &first).await;
    assert_eq!(body["delivery"]["messages"], 1);
    assert_eq!(stack.sandbox.stats().accepted, 1);
    stack.stop().await;
}

async fn of_many_right_codes_at_the_same_moment_one_wins(shape: Shape) {
    let stack = start(shape).await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    let mut requests = JoinSet::new();
    for _ in 0..24 {
        let path = format!("{VERIFICATIONS}/{id}/check");
        requests.spawn(Answer::of(
            stack.request(reqwest::Method::POST, &path).json(&json!({ "code": code.clone() })),
        ));
    }
    let answers = requests.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:?}");
    for loser in answers.iter().filter(|answer| answer.status != 200) {
        assert_problem(loser, 409, "already-approved");
    }
    let number = eventually("the count", || async {
        let number = stack.get(&format!("/v1/phones/{PHONE}")).await;
        (number.body["otp_count"] == 1).then_some(number)
    })
    .await;
    assert_eq!(number.body["checks_failed"], 0);
    stack.stop().await;
}
