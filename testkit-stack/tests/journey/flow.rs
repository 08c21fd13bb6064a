//! Nothing goes wrong, and everything moves.

use std::time::Duration;

use hulak_testkit::fixtures::wrong;
use hulak_testkit::stalls::Stalls;
use hulak_testkit_stack::{Shape, Stack, StackOptions};

use super::*;

both_shapes!(a_code_arrives_and_verifies_once, every_number_gets_one_message);

async fn a_code_arrives_and_verifies_once(shape: Shape) {
    let stack = Stack::start(StackOptions { workers: workers(shape), ..StackOptions::new(shape) }).await;
    let id = ask(&stack, "9812345678").await;
    // "Within a second": the first message after the start waits for nothing but the queue.
    let sent =
        tokio::time::timeout(Duration::from_secs(5), until_delivery(&stack, &id, "sent")).await.unwrap();
    assert_eq!(sent["status"], "pending");
    assert_eq!(sent["delivery"]["messages"], 1);
    let code = stack.code("9812345678");
    let refused = check(&stack, &id, &wrong(&code, 1)).await;
    assert_eq!((refused.status, &refused.body["checks_remaining"]), (422, &json!(4)));
    let approved = check(&stack, &id, &code).await;
    assert_eq!((approved.status, &approved.body["status"]), (200, &json!("approved")));
    let again = check(&stack, &id, &code).await;
    assert_eq!((again.status, again.problem()), (409, "already-approved"));
    let number = number(&stack, "9812345678").await;
    assert_eq!((&number["validated"], &number["otp_count"]), (&json!(true), &json!(1)));
    stack.stop().await;
}

async fn every_number_gets_one_message(shape: Shape) {
    let stack = Stack::start(StackOptions { workers: workers(shape), ..StackOptions::new(shape) }).await;
    let ids = ask_many(&stack, 0..150).await;
    for id in &ids {
        until_delivery(&stack, id, "sent").await;
    }
    let received = received(&stack);
    assert_eq!(received.len(), 150);
    assert!(received.values().all(|count| *count == 1));
    stack.stop().await;
}

/// SQLite serves one process; there a second worker would be a second process.
fn workers(shape: Shape) -> usize {
    if shape == Shape::Production { 3 } else { 1 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_come_and_go_and_every_request_is_sent_once() {
    let mut stack = Stack::start(StackOptions { workers: 2, ..StackOptions::new(Shape::Production) }).await;
    stack.set_faults(hulak_sandbox::Faults { latency_ms: 20, ..hulak_sandbox::Faults::none() });
    let mut ids = Vec::new();
    for round in 0..6 {
        ids.extend(ask_many(&stack, round * 50..(round + 1) * 50).await);
        // The oldest leaves while it is at work, and a new one comes.
        stack.workers.remove(0).stop().await;
        stack.add_worker().await;
    }
    for id in &ids {
        until_delivery(&stack, id, "sent").await;
    }
    let received = received(&stack);
    assert_eq!(received.len(), 300);
    assert!(received.values().all(|count| *count == 1), "{received:?}");
    for n in [0, 150, 299] {
        assert_eq!(number(&stack, &phone(n)).await["otp_count"], 1);
    }
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_apis_see_the_same() {
    let mut stack = Stack::start(StackOptions { apis: 2, ..StackOptions::new(Shape::Production) }).await;
    let id = ask(&stack, "9812345678").await;
    until_delivery(&stack, &id, "sent").await;
    stack.apis.swap(0, 1);
    let code = stack.code("9812345678");
    assert_eq!(check(&stack, &id, &code).await.status, 200);
    stack.apis.swap(0, 1);
    // At once as a rule, and within a second if the event was lost.
    stack.until(&id, |body| body["status"] == "approved").await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_accounts_rate_holds_across_workers() {
    let options = StackOptions { workers: 3, rate: 60.0, ..StackOptions::new(Shape::Production) };
    let stack = Stack::start(options).await;
    let stalls = Stalls::watch();
    let ids = ask_many(&stack, 0..150).await;
    for id in &ids {
        until_delivery(&stack, id, "sent").await;
    }
    let mut moments: Vec<i64> =
        stack.sandbox.inbox().iter().map(|message| message.received_at.as_millis()).collect();
    moments.sort_unstable();
    // Calls that were on their way while this process stood still arrive together after it. That the rate is also used up is
    // for `make chaos CHAOS="--measure rate"` to show.
    let span = 1_000 + i64::try_from(stalls.longest().as_millis()).unwrap();
    let most = usize::try_from(66 * span / 1_000).unwrap();
    for (n, moment) in moments.iter().enumerate() {
        let within = moments[n..].iter().take_while(|later| **later < moment + 1_000).count();
        assert!(within <= most, "{within} messages within a second at 60 a second: {stalls:?}");
    }
    stack.stop().await;
}
