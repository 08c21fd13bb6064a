//! What a store has to do, asked of both stores.
//!
//! Every test has a database of its own and passes the time in; nothing here waits for a clock.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod accounts;
mod check;
mod claim;
mod clients;
mod create;
mod deadlocks;
mod harness;
mod keys;
mod operators;
mod pages;
mod plans;
mod races;
mod racing;
mod record;
mod relay_reaper;
mod requests;
mod resend;
mod statements;
mod story;
mod unlocked;
mod watch;
