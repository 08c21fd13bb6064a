//! What stands in the SMS: the code first, the line for a machine last, and no more parts than allowed.

use hulak_common::code::Salt;
use hulak_common::phone::PhoneNumber;
use hulak_common::rng::Rng;
use hulak_common::sms::measure;
use hulak_common::sms_template::{MAX_RETRIEVER_BYTES, MaxParts, Templates};
use hulak_common::verification::Locale;
use hulak_store::Create;
use hulak_testkit::fixtures::live_key;
use hulak_testkit_stack::{Shape, Stack, StackOptions, eventually};
use serde_json::{Value, json};

use crate::support::*;

both_shapes!(
    a_message_is_written_in_the_language_asked_for,
    an_app_finds_its_hash_at_the_end,
    a_browser_finds_its_origin_at_the_end,
    a_resend_has_the_same_last_line,
    what_does_not_fit_is_refused_at_the_edge,
    an_application_signs_with_a_name_of_its_own,
);

const HASH: &str = "FA+9qCX9VSu";

/// Sends a message, and gives its code and its text.
async fn send(stack: &Stack, body: Value) -> (String, String) {
    begin_sent(stack, body.clone()).await;
    let phone = body["phone"].as_str().unwrap();
    let message = stack.sandbox.latest_to(phone).unwrap();
    (message.code.clone().unwrap(), message.text.clone())
}

fn english(code: &str) -> String {
    format!("{code} is your Hulak code. Do not share it with anyone.")
}

fn nepali(code: &str) -> String {
    format!("{code} तपाईंको Hulak कोड हो। कसैलाई नदिनुहोस्।")
}

async fn a_message_is_written_in_the_language_asked_for(shape: Shape) {
    let stack = start(shape).await;
    let credits = stack.sandbox.stats().credits;
    let (code, text) = send(&stack, json!({"phone": PHONE})).await;
    assert_eq!(text, english(&code));
    let (code, text) = send(&stack, json!({"phone": "+9779812345679", "locale": "en"})).await;
    assert_eq!(text, english(&code));
    let (code, text) = send(&stack, json!({"phone": OTHER_PHONE, "locale": "ne"})).await;
    assert_eq!(text, nepali(&code));
    assert_eq!(stack.sandbox.stats().credits, credits - 3, "one part each");
    stack.stop().await;
}

async fn an_app_finds_its_hash_at_the_end(shape: Shape) {
    let stack = start(shape).await;
    let (code, text) = send(&stack, json!({"phone": PHONE, "app_hash": HASH})).await;
    assert_eq!(text, format!("{}\n{HASH}", english(&code)));
    assert!(text.len() <= MAX_RETRIEVER_BYTES);
    let (code, text) = send(&stack, json!({"phone": OTHER_PHONE, "app_hash": HASH, "locale": "ne"})).await;
    assert_eq!(text, format!("{}\n{HASH}", nepali(&code)));
    assert!(text.len() <= MAX_RETRIEVER_BYTES);
    stack.stop().await;
}

async fn a_browser_finds_its_origin_at_the_end(shape: Shape) {
    let stack = start(shape).await;
    let (code, text) = send(&stack, json!({"phone": PHONE, "origin": "Login.Example.com"})).await;
    assert_eq!(text, format!("{}\n@login.example.com #{code}", english(&code)));
    let credits = stack.sandbox.stats().credits;
    let (code, text) =
        send(&stack, json!({"phone": OTHER_PHONE, "origin": "login.example.com", "locale": "ne"})).await;
    assert_eq!(text, format!("{}\n@login.example.com #{code}", nepali(&code)));
    assert_eq!((measure(&text).parts, stack.sandbox.stats().credits), (2, credits - 2));
    stack.stop().await;
}

async fn a_resend_has_the_same_last_line(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE, "origin": "example.com"})).await;
    // The second time so late that the code is another one.
    for _ in 0..2 {
        clock.advance(CODE_TTL - SECOND);
        assert_eq!(stack.post(&format!("{VERIFICATIONS}/{id}/resend"), json!({})).await.status, 202);
        sent(&stack, &id).await;
    }
    let message = stack.sandbox.latest_to(PHONE).unwrap();
    let newer = message.code.clone().unwrap();
    assert_ne!(newer, code);
    assert_eq!(message.text, format!("{}\n@example.com #{newer}", english(&newer)));
    stack.stop().await;
}

async fn what_does_not_fit_is_refused_at_the_edge(shape: Shape) {
    let stack = start(shape).await;
    let both = json!({"phone": PHONE, "app_hash": HASH, "origin": "example.com"});
    let answer = stack.post(VERIFICATIONS, both).await;
    assert_problem(&answer, 422, "invalid-request");
    assert_eq!(fields(&answer), ["origin"]);
    assert_eq!(answer.body["errors"][0]["detail"], "give app_hash or origin, not both");

    let host = format!("{}b", "a.".repeat(126));
    for (locale, detail) in [
        ("en", "with this line the en message is 2 parts (291 characters, GSM 7-bit), of 1 allowed"),
        ("ne", "with this line the ne message is 5 parts (293 characters, UCS-2), of 2 allowed"),
    ] {
        let body = json!({"phone": PHONE, "origin": host, "locale": locale});
        let answer = stack.post(VERIFICATIONS, body).await;
        assert_problem(&answer, 422, "invalid-request");
        assert_eq!(fields(&answer), ["origin"]);
        assert_eq!(answer.body["errors"][0]["detail"], detail);
    }
    assert_eq!(stack.sandbox.stats().requests, 0);

    // What just fits has given up the other words for it.
    let host = format!("{0}.{0}.example.com", "a".repeat(44));
    let (code, text) = send(&stack, json!({"phone": PHONE, "origin": host})).await;
    assert_eq!(text, format!("{code} is your Hulak code.\n@{host} #{code}"));
    assert_eq!(measure(&text).parts, 1);
    stack.stop().await;
}

async fn an_application_signs_with_a_name_of_its_own(shape: Shape) {
    let templates = Templates::new("Installation".to_owned(), MaxParts::default()).unwrap();
    let stack = Box::pin(Stack::start(StackOptions { templates, ..StackOptions::new(shape) })).await;
    let (code, text) = send(&stack, json!({"phone": OTHER_PHONE})).await;
    assert_eq!(text, format!("{code} is your Installation code. Do not share it with anyone."));

    let (rng, now) = (Rng::system(), machine_time());
    let key = live_key(rng.uuid(), PhoneNumber::parse(PHONE).unwrap());
    let request = Create {
        locale: Locale::Ne,
        app_name: Some("मेरो पसल".to_owned()),
        ..Create::new(rng.uuid_v7(now), Salt(rng.bytes()), key)
    };
    // Not by an API, so the relay publishes it.
    stack.store.create(&[request], now).await.answers.remove(0).unwrap();
    let message = eventually("the message", || async { stack.sandbox.latest_to(PHONE) }).await;
    let code = message.code.as_deref().unwrap();
    assert_eq!(message.text, format!("{code} तपाईंको मेरो पसल कोड हो। कसैलाई नदिनुहोस्।"));
    stack.stop().await;
}
