//! The whole of Hulak inside a test's process, and the walk that looks for anything personal left behind.
//!
//! Layout: [`stack`] starts the real router, workers, broker, database and the simulator; [`personal`] walks through every
//! feature of a running Hulak, in this process or in others; [`steps`] makes, awaits and checks verifications.
#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

pub mod personal;
pub mod stack;
pub mod steps;

pub use hulak_testkit::answer::{Answer, eventually};
pub use hulak_testkit::fixtures::rules;
pub use stack::*;
