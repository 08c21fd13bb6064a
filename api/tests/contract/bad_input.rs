//! What `POST /v1/verifications` refuses: each names its field, and none of it leaves a trace.

use std::collections::HashSet;

use hulak_testkit_stack::Shape;
use serde_json::{Value, json};

use crate::support::*;

both_shapes!(
    each_bad_field_is_named,
    each_bad_number_gets_a_reason_of_its_own,
    all_bad_fields_are_named_at_once,
    a_bad_address_is_not_found,
    what_is_only_unusual_is_taken,
);

/// A body with a good number and one more field.
fn with(field: &str, value: impl Into<Value>) -> Value {
    json!({"phone": PHONE, field: value.into()})
}

/// What is refused as `invalid-request`: the body, and the field that it must name.
fn bad_fields() -> Vec<(Value, &'static str)> {
    let mut bad = vec![
        (json!({}), "phone"),
        (json!({"purpose": "verify"}), "phone"),
        (json!({"phone": null}), "phone"),
        (json!({"phone": 9_812_345_678_u64}), "phone"),
        (json!({"phone": true}), "phone"),
        (json!({"phone": [PHONE]}), "phone"),
        (json!({"phone": {"number": PHONE}}), "phone"),
        (json!({"Phone": PHONE}), "Phone"),
        (with("phone_number", PHONE), "phone_number"),
        (with("", 1), ""),
        (json!([]), "body"),
        (json!([PHONE]), "body"),
        (json!([PHONE, null, null, null, null, null, null, null, null]), "body"),
        (json!(PHONE), "body"),
        (json!(5), "body"),
        (json!(null), "body"),
    ];
    let fields: [(&'static str, &[Value]); 8] = [
        (
            "purpose",
            &[json!(1), json!(""), json!("login"), json!("Verify"), json!("verify "), json!(["verify"])],
        ),
        (
            "session",
            &[json!(1), json!("x".repeat(129)), json!("a\u{0}b"), json!("a\nb"), json!("\u{7f}"), json!({})],
        ),
        ("locale", &[json!(1), json!(""), json!("fr"), json!("EN"), json!("en-US")]),
        ("account_id", &[json!(1), json!(""), json!("x"), json!("01990000-0000-7000-8000-000000000000")]),
        (
            "app_hash",
            &[json!(1), json!(""), json!("FA+9qCX9VS"), json!("FA+9qCX9VSuu"), json!("FA+9qCX9VS ")],
        ),
        (
            "origin",
            &[
                json!(1),
                json!(""),
                json!("https://example.com"),
                json!("example.com:80"),
                json!("example.com/x"),
                json!("exa mple.com"),
                json!("a..b"),
                json!("-a.com"),
                json!("नेपाल.com"),
                json!(format!("{}.com", "a".repeat(64))),
                json!("a.".repeat(127) + "com"),
            ],
        ),
        (
            "end_user_ip",
            &[
                json!(1),
                json!(""),
                json!("localhost"),
                json!("1.2.3"),
                json!("1.2.3.4:80"),
                json!("[::1]"),
                json!("::g"),
            ],
        ),
        ("metadata", &[json!(1), json!("text"), json!([]), json!([{"a": 1}]), json!(true)]),
    ];
    for (field, values) in fields {
        bad.extend(values.iter().map(|value| (with(field, value.clone()), field)));
    }
    bad
}

async fn each_bad_field_is_named(shape: Shape) {
    let stack = start(shape).await;
    let bad = bad_fields();
    assert!(bad.len() > 50);
    for (body, field) in &bad {
        let answer = stack.post(VERIFICATIONS, body.clone()).await;
        assert_problem(&answer, 422, "invalid-request");
        assert_eq!(fields(&answer), [*field], "{body}");
        let detail = answer.body["errors"][0]["detail"].as_str().unwrap_or_default();
        assert!(detail.len() > 5 && !detail.contains("struct") && !detail.contains("at line"), "{detail}");
    }
    // None of them sent, charged or began anything.
    let created = begin(&stack, json!({"phone": PHONE})).await;
    assert_eq!(created.body["version"], 1);
    sent(&stack, &created.id()).await;
    assert_eq!(stack.sandbox.stats().requests, 1);
    stack.stop().await;
}

async fn each_bad_number_gets_a_reason_of_its_own(shape: Shape) {
    let stack = start(shape).await;
    let spaces = " ".repeat(65);
    let bad = [
        "",
        &spaces,
        "98l2345678",
        "981+2345678",
        "+0981234567",
        "+919812345678",
        "01-4221234",
        "8812345678",
        "981234567",
        "98123456789",
        "9779812345",
        "9831234567",
    ];
    let mut reasons = HashSet::new();
    for phone in bad {
        let answer = stack.post(VERIFICATIONS, json!({ "phone": phone })).await;
        assert_problem(&answer, 422, "invalid-phone");
        assert_eq!(fields(&answer), ["phone"], "{phone:?}");
        let reason = answer.body["errors"][0]["detail"].as_str().unwrap().to_owned();
        let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
        assert!(digits.len() < 5 || !reason.contains(&digits), "a number is not repeated: {reason}");
        assert!(reasons.insert(reason), "{phone:?} has the reason of another: {answer:?}");
    }
    for phone in ["9912345678", "9512345678"] {
        let answer = stack.post(VERIFICATIONS, json!({ "phone": phone })).await;
        assert_problem(&answer, 422, "unsupported-phone");
        assert_eq!(fields(&answer), ["phone"], "{phone}");
    }
    stack.stop().await;
}

async fn all_bad_fields_are_named_at_once(shape: Shape) {
    let stack = start(shape).await;
    let body = json!({
        "phone": "12", "purpose": "x", "locale": "x", "session": "\n", "app_hash": "x", "origin": "/",
        "end_user_ip": "x", "account_id": "x",
    });
    let answer = stack.post(VERIFICATIONS, body.clone()).await;
    assert_problem(&answer, 422, "invalid-phone");
    let named: HashSet<_> = fields(&answer).into_iter().collect();
    assert_eq!(named, body.as_object().unwrap().keys().map(String::as_str).collect());
    let answer =
        stack.post(VERIFICATIONS, json!({"phone": "9512345678", "purpose": "x", "locale": "x"})).await;
    assert_problem(&answer, 422, "invalid-request");
    assert_eq!(fields(&answer), ["purpose", "locale"]);
    stack.stop().await;
}

async fn a_bad_address_is_not_found(shape: Shape) {
    let stack = start(shape).await;
    let unknown = "01990000-0000-7000-8000-000000000000";
    for id in
        [unknown, "nonsense", "0", "%20", "-1", "01990000-0000-7000-8000-00000000000g", &"9".repeat(500)]
    {
        let path = format!("{VERIFICATIONS}/{id}");
        assert_problem(&stack.get(&path).await, 404, "not-found");
        let body = json!({"code": "123456"});
        assert_problem(&stack.post(&format!("{path}/check"), body).await, 404, "not-found");
    }
    stack.stop().await;
}

async fn what_is_only_unusual_is_taken(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let unusual = [
        with("purpose", Value::Null),
        with("metadata", Value::Null),
        with("metadata", json!({"a": null, "": [1.5, -2, {"b": {}}], "✉": "\u{10ffff}"})),
        with("session", "नेपाल 🇳🇵".repeat(10)),
        with("session", "x".repeat(128)),
        with("origin", "LOCALHOST"),
        with("end_user_ip", "::ffff:1.2.3.4"),
        with("app_hash", "///////++++"),
        json!({"phone": PHONE, "account_id": null, "app_hash": null, "origin": null, "session": null}),
    ];
    for (n, mut body) in unusual.into_iter().enumerate() {
        body["phone"] = json!(format!("+97798412345{n:02}"));
        let answer = begin(&stack, body.clone()).await;
        let metadata = body.get("metadata").filter(|value| !value.is_null()).cloned().unwrap_or(json!({}));
        assert_eq!(answer.body["metadata"], metadata);
        let read = stack.get(&format!("{VERIFICATIONS}/{}", answer.id())).await;
        assert_eq!(read.body["metadata"], metadata, "as it was kept");
        clock.advance(SECOND);
    }
    stack.stop().await;
}
