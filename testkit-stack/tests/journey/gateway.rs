//! What the gateway can answer.

use std::time::Duration;

use hulak_common::clock::Stopwatch;
use hulak_common::time::Timestamp;
use hulak_sandbox::Faults;
use hulak_testkit_stack::{Shape, Stack, StackOptions, eventually, rules};

use super::*;

both_shapes!(
    a_receiver_that_is_refused_fails_with_the_gateways_reason,
    a_gateway_that_stumbles_is_tried_again,
    an_account_that_is_refused_costs_no_message,
    a_lost_answer_is_sent_once_more_and_counted_apart,
    a_lost_answer_is_left_alone_when_told_so,
    what_expires_before_it_is_sent_is_not_sent,
    what_is_asked_to_wait_is_tried_at_its_time,
    what_has_expired_does_not_hold_up_what_has_not,
    one_message_goes_first_and_a_refusal_doubles_the_wait,
    what_sends_nothing_takes_no_part_of_the_rate,
);

fn forced(code: u16) -> Faults {
    Faults { response_code: Some(code), ..Faults::none() }
}

async fn a_receiver_that_is_refused_fails_with_the_gateways_reason(shape: Shape) {
    let stack = Stack::start(StackOptions::new(shape)).await;
    stack.set_faults(forced(1007));
    let id = ask(&stack, "9812345678").await;
    let failed = until_delivery(&stack, &id, "failed").await;
    assert_eq!(failed["delivery"]["error"], json!({ "code": "invalid-receiver", "gateway_code": "1007" }));
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
    rules.limits.cooldown = Duration::from_secs(1).into();
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
    rules.ambiguous = hulak_common::rules::AmbiguousPolicy::Never;
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

async fn what_is_asked_to_wait_is_tried_at_its_time(shape: Shape) {
    let stack = Stack::start(StackOptions::new(shape)).await;
    // The machine may be busy, so one round of three has to be in time.
    let mut late = Vec::new();
    for round in 0..3 {
        late = lateness(&stack, round * 4..(round + 1) * 4).await;
        if late.iter().all(|late| *late < Duration::from_millis(500)) {
            return stack.stop().await;
        }
    }
    panic!("due times are not honoured within 500 ms: {late:?}");
}

/// How long after their due times messages arrive that the gateway has asked to wait.
async fn lateness(stack: &Stack, numbers: std::ops::Range<usize>) -> Vec<Duration> {
    stack.set_faults(Faults { retry_after_s: Some(3), ..forced(503) });
    let mut waiting = Vec::new();
    // One after the other, so that they are not due at the same look of the relay.
    for n in numbers {
        let id = ask(stack, &phone(n)).await;
        let body = stack.until(&id, |body| !body["delivery"]["next_attempt_at"].is_null()).await;
        let time = |text: &Value| text.as_str().unwrap().parse::<Timestamp>().unwrap();
        let due = time(&body["delivery"]["next_attempt_at"]);
        assert!(due >= time(&body["created_at"]) + Duration::from_secs(3), "{body}");
        waiting.push((n, id, due));
    }
    stack.set_faults(Faults::none());
    let mut late = Vec::new();
    for (n, id, due) in waiting {
        until_delivery(stack, &id, "sent").await;
        let received = stack.sandbox.latest_to(&phone(n)).unwrap().received_at;
        assert!(received >= due, "not before its time");
        late.push(received - due);
    }
    late
}

/// The gateway is slower than the demand: who asks now is not to wait behind codes that are of no use any more.
async fn what_has_expired_does_not_hold_up_what_has_not(shape: Shape) {
    let mut rules = rules();
    rules.code_ttl = Duration::from_secs(5);
    let stack = Stack::start(StackOptions { rules, rate: 4.0, ..StackOptions::new(shape) }).await;
    let old = ask_many(&stack, 0..100).await;
    stack.until(&old[99], |body| body["status"] == "expired").await;
    // At four a second it would be its turn in twenty seconds, and its code dead by then.
    let fresh = ask(&stack, "9812345678").await;
    stack.until(&fresh, |body| !["queued", "sending"].contains(&delivery(body))).await;
    assert_eq!(delivery(&stack.get(&format!("/v1/verifications/{fresh}")).await.body), "sent");
    let sent = received(&stack).len() - 1;
    assert!(sent < 60, "{sent} of 100 at four a second: nothing expired, and nothing was shown");
    stack.stop().await;
}

/// 1008 is never told by the probe, so that each probe is good and only a message finds out.
async fn one_message_goes_first_and_a_refusal_doubles_the_wait(shape: Shape) {
    // A permit every 200 ms: nearly all are still waiting for theirs when the first refusal comes back.
    let stack = Stack::start(StackOptions { rate: 5.0, ..StackOptions::new(shape) }).await;
    stack.set_faults(forced(1008));
    let ids = ask_many(&stack, 0..20).await;
    let calls = || stack.sandbox.stats().requests;
    eventually("the first refusal", || async { (calls() > 0).then_some(()) }).await;
    let opening = calls();
    assert!(opening <= 2, "{opening} calls before the circuit was open");
    let mut watch = Stopwatch::start();
    for (trial, wait) in [(1, 800), (2, 1_600), (3, 3_200)] {
        eventually("a trial", || async { (calls() >= opening + trial).then_some(()) }).await;
        assert_eq!(calls(), opening + trial, "one message, not all of them");
        // A moment less: the call is counted when it begins, and the wait begins at its end.
        assert!(watch.elapsed() > Duration::from_millis(wait - 100), "{trial}: {:?}", watch.elapsed());
        watch = Stopwatch::start();
    }
    for id in &ids {
        let body = stack.get(&format!("/v1/verifications/{id}")).await.body;
        assert!(["queued", "sending"].contains(&delivery(&body)), "{body}");
    }
    stack.set_faults(Faults::none());
    for id in &ids {
        until_delivery(&stack, id, "sent").await;
    }
    assert!(received(&stack).values().all(|count| *count == 1));
    stack.stop().await;
}

/// Sign-ins of numbers without an account, at a rate that would take a minute and more for all of them.
async fn what_sends_nothing_takes_no_part_of_the_rate(shape: Shape) {
    let stack = Stack::start(StackOptions { rate: 1.0, ..StackOptions::new(shape) }).await;
    let strangers = (100..160).map(|n| {
        let body = json!({ "phone": format!("98{n:08}"), "purpose": "sign_in" });
        stack.post("/v1/verifications", body)
    });
    for answer in futures_util::future::join_all(strangers).await {
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    let watch = Stopwatch::start();
    let id = ask(&stack, "9812345678").await;
    until_delivery(&stack, &id, "sent").await;
    assert!(watch.elapsed() < Duration::from_secs(15), "it waited for decoys: {:?}", watch.elapsed());
    assert_eq!(stack.sandbox.inbox().len(), 1);
    stack.stop().await;
}
