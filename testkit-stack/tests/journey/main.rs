//! From the request to the phone and back, through everything, in both shapes.
#![expect(clippy::unwrap_used, reason = "a test may end where its expectation does")]

mod faults;
mod flow;
mod gateway;
mod poison;

use std::collections::HashMap;

use hulak_testkit::stack::{Answer, Stack};
use serde_json::{Value, json};

/// A number that no other number of this test is.
fn phone(n: usize) -> String {
    format!("98{n:08}")
}

/// Asks for a code, which has to be accepted.
async fn ask(stack: &Stack, phone: &str) -> String {
    let answer = stack.post("/v1/verifications", json!({ "phone": phone })).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.id()
}

/// Asks for codes for these many numbers, several at a time.
async fn ask_many(stack: &Stack, numbers: std::ops::Range<usize>) -> Vec<String> {
    let mut ids = Vec::new();
    for chunk in numbers.collect::<Vec<_>>().chunks(25) {
        let asked = chunk.iter().map(|n| async move { ask(stack, &phone(*n)).await });
        ids.extend(futures_util::future::join_all(asked).await);
    }
    ids
}

fn delivery(body: &Value) -> &str {
    body["delivery"]["status"].as_str().unwrap_or_default()
}

async fn until_delivery(stack: &Stack, id: &str, status: &str) -> Value {
    stack.until(id, |body| delivery(body) == status).await
}

/// How many messages the simulator took for each number.
fn received(stack: &Stack) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for message in stack.sandbox.inbox() {
        *counts.entry(message.to.clone()).or_default() += 1;
    }
    counts
}

async fn number(stack: &Stack, phone: &str) -> Value {
    stack.get(&format!("/v1/phones/{phone}")).await.body
}

async fn check(stack: &Stack, id: &str, code: &str) -> Answer {
    stack.post(&format!("/v1/verifications/{id}/check"), json!({ "code": code })).await
}

/// Runs each test once per shape.
macro_rules! both_shapes {
    ($($test:ident),+ $(,)?) => {
        mod one_process {
            use hulak_testkit::stack::Shape;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(Shape::OneProcess).await;
            })+
        }

        mod production {
            use hulak_testkit::stack::Shape;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(Shape::Production).await;
            })+
        }
    };
}
pub(crate) use both_shapes;
