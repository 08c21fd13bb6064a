//! What the tests of every crate share, without Hulak's programs: those are in `testkit-stack`.
//!
//! Layout: [`services`] starts PostgreSQL and RabbitMQ, [`database`] makes a database for one test, [`proxy`] breaks
//! connections, [`collector`] keeps traces, [`metrics`] reads `/metrics`, [`answer`] reads HTTP answers and polls,
//! [`stalls`] notices a busy machine, [`fixtures`] has rows and settings to begin with.
#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

pub mod answer;
pub mod collector;
pub mod database;
pub mod fixtures;
pub mod metrics;
pub mod program;
pub mod proxy;
pub mod services;
pub mod stalls;
