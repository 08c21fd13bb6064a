//! What the gateway can answer.

use std::time::Duration;

use hulak_sandbox::Faults;
use hulak_testkit::stack::{Shape, Stack, StackOptions, eventually, rules};

use super::*;

both_shapes!(
    a_receiver_that_is_refused_fails_with_the_gateways_reason,
    a_gateway_that_stumbles_is_tried_again,
    an_account_that_is_refused_costs_no_message,
    a_lost_answer_is_sent_once_more_and_counted_apart,
    a_lost_answer_is_left_alone_when_told_so,
    what_expires_before_it_is_sent_is_not_sent,
);

fn forced(code: u16) -> Faults {
    Faults { response_code: Some(code), ..Faults::none() }
}

async fn a_receiver_that_is_refused_fails_with_the_gateways_reason(shape: Shape) {
    let stack = Stack::start(StackOptions::new(shape)).await;
    stack.set_faults(forced(1007));
    let id = ask(&stack, "9812345678").await;
    let failed = until_delivery(&stack, &id, "failed").await;
    assert_eq!(failed["delivery"]["error"], json!({ "code": "invalid-receiver", "gateway_code": 1007 }));
    assert_eq!(failed["status"], "pending");
    assert_eq!(number(&stack, "9812345678").await["otp_count"], 0);
    stack.stop().await;
}

async fn a_gateway_that_stumbles_is_tried_again(shape: Shape) {
    let stack = Stack::start(StackOptions::new(shape)).await;
    stack.set_faults(forced(503));
    let id = ask(&stack, "9812345678").await;
    let waiting = stack.until(&id, |body| !body["delivery"]["next_attempt_at"].is_null()).await;
    assert_eq!(delivery(&waiting), "queued");
    assert_eq!(waiting["delivery"]["error"]["code"], "gateway-unavailable");
    stack.set_faults(Faults::none());
    let sent = until_delivery(&stack, &id, "sent").await;
    assert_eq!(sent["delivery"]["error"], Value::Null);
    assert_eq!(number(&stack, "9812345678").await["otp_count"], 1);
    assert_eq!(stack.sandbox.inbox().len(), 1);
    stack.stop().await;
}

async fn an_account_that_is_refused_costs_no_message(shape: Shape) {
    let stack = Stack::start(StackOptions::new(shape)).await;
    stack.set_faults(forced(1012));
    let ids = ask_many(&stack, 0..20).await;
    // One of them has met the refusal; from then on the circuit is open and nobody else is tried.
    eventually("a refusal", || async { (stack.sandbox.stats().refused > 0).then_some(()) }).await;
    for id in &ids {
        let body = stack.get(&format!("/v1/verifications/{id}")).await.body;
        assert!(["queued", "sending"].contains(&delivery(&body)), "{body}");
    }
    stack.set_faults(Faults::none());
    for id in &ids {
        until_delivery(&stack, id, "sent").await;
    }
    assert!(received(&stack).values().all(|count| *count == 1));
    assert_eq!(received(&stack).len(), 20);
    stack.stop().await;
}

/// The gateway takes the message, and the connection dies before its answer.
fn dropping() -> Faults {
    Faults { drop_rate: 1.0, ..Faults::none() }
}

async fn a_lost_answer_is_sent_once_more_and_counted_apart(shape: Shape) {
    let mut rules = rules();
    rules.limits.cooldown = Duration::from_secs(1);
    let stack = Stack::start(StackOptions { rules, ..StackOptions::new(shape) }).await;
    stack.set_faults(dropping());
    let id = ask(&stack, "9812345678").await;
    stack.until(&id, |body| !body["delivery"]["error"].is_null()).await;
    stack.set_faults(Faults::none());
    until_delivery(&stack, &id, "sent").await;
    let number = number(&stack, "9812345678").await;
    assert_eq!((&number["otp_count"], &number["ambiguous_count"]), (&json!(1), &json!(1)));
    let codes: Vec<_> = stack.sandbox.inbox().iter().map(|message| message.code.clone()).collect();
    assert_eq!(codes.len(), 2);
    assert_eq!(codes[0], codes[1], "the copy carries the same code");
    stack.stop().await;
}

async fn a_lost_answer_is_left_alone_when_told_so(shape: Shape) {
    let mut rules = rules();
    rules.ambiguous = hulak_common::store::AmbiguousPolicy::Never;
    let stack = Stack::start(StackOptions { rules, ..StackOptions::new(shape) }).await;
    stack.set_faults(dropping());
    let id = ask(&stack, "9812345678").await;
    until_delivery(&stack, &id, "unknown").await;
    assert_eq!(number(&stack, "9812345678").await["ambiguous_count"], 1);
    // It had arrived, as the right code proves.
    let approved = check(&stack, &id, &stack.code("9812345678")).await;
    assert_eq!(approved.body["verification"]["delivery"]["status"], "sent");
    stack.stop().await;
}

async fn what_expires_before_it_is_sent_is_not_sent(shape: Shape) {
    let mut rules = rules();
    rules.code_ttl = Duration::from_secs(2);
    let stack = Stack::start(StackOptions { rules, ..StackOptions::new(shape) }).await;
    stack.set_faults(forced(503));
    let id = ask(&stack, "9812345678").await;
    let expired = stack.until(&id, |body| body["status"] == "expired" && delivery(body) == "expired").await;
    assert_eq!(expired["delivery"]["messages"], 1);
    stack.set_faults(Faults::none());
    assert_eq!(stack.sandbox.inbox().len(), 0);
    assert_eq!(number(&stack, "9812345678").await["otp_count"], 0);
    stack.stop().await;
}
