//! From the request to the phone and back, through everything, in both shapes.
#![expect(clippy::unwrap_used, reason = "a test may end where its expectation does")]

mod faults;
mod flow;
mod gateway;
mod poison;

use std::collections::HashMap;

use hulak_testkit_stack::Stack;
use hulak_testkit_stack::steps::{ask, check, until_delivery};
use serde_json::{Value, json};

/// A number that no other number of this test is.
fn phone(n: usize) -> String {
    format!("98{n:08}")
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

/// Runs each test once per shape.
macro_rules! both_shapes {
    ($($test:ident),+ $(,)?) => {
        mod one_process {
            use hulak_testkit_stack::Shape;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(Shape::OneProcess).await;
            })+
        }

        mod production {
            use hulak_testkit_stack::Shape;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(Shape::Production).await;
            })+
        }
    };
}
pub(crate) use both_shapes;
