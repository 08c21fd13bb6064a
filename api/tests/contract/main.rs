//! The HTTP contract, held against both shapes of Hulak: real router, real workers, a simulated gateway.
//!
//! The production half needs a database and a broker; `make test` starts them. What time decides is tested on a clock
//! that stands still until a test moves it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may end where its expectation does")]

/// Makes two tests of each function: one a shape.
macro_rules! both_shapes {
    ($($test:ident),+ $(,)?) => {
        mod one_process {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                Box::pin(super::$test(hulak_testkit_stack::Shape::OneProcess)).await;
            })+
        }
        mod production {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                Box::pin(super::$test(hulak_testkit_stack::Shape::Production)).await;
            })+
        }
    };
}

mod accounts;
mod admin;
mod again;
mod approval;
mod bad_input;
mod bodies;
mod checks;
mod client_tokens;
mod clients;
mod conditional;
mod console;
mod cors;
mod credentials;
mod guide;
mod independent;
mod limits;
mod lists;
mod live;
mod messages;
mod once;
mod openapi;
mod outage;
mod pages;
mod phones;
mod problems;
mod python;
mod requests;
mod schemathesis;
mod several;
mod sign_in;
mod support;
mod waiting;
mod walk;
