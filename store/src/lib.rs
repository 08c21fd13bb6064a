//! The seam to the database: one set of decisions, two databases that keep the rows.
//!
//! The hot calls take batches, because a commit shared by a hundred requests costs about as much as a commit for one.
//! Every answer is per item: one item's trouble never fails its neighbours.
//!
//! # Layout
//! - [`Store`]: what callers have; its calls are beside what they need, in `tables` and `runner`.
//! - `requests`: what callers ask, and what they are answered.
//! - `runner`: runs batches of decisions in transactions, with retries, and keeps one item's trouble from its neighbours.
//! - `decide`: the decisions, pure, written once: load and lock, decide in memory, write back.
//! - `transaction`: what decisions need of a database.
//! - `tables`: a file for each table: its columns, what they mean, and its SQL.
//! - `postgres`, `sqlite`: connections, transactions and migrations.
//! - [`Monitor`]: whether the database answers.

mod connections;
mod decide;
mod error;
mod monitor;
mod postgres;
mod requests;
mod runner;
mod sql_text;
mod sqlite;
mod store;
mod tables;
mod transaction;

pub use connections::Connections;
pub use error::StoreError;
pub use monitor::{Health, Monitor};
pub use requests::Batch;
pub use requests::accounts::{
    AccountChanged, AccountConflict, AccountList, AccountPatch, GroupPut, GroupRef, NewAccount, PutGroup,
};
pub use requests::claims::{AsClaimed, Claim, Claimed, Grant, Load, Outcome, Reaped, Record, Recorded};
pub use requests::clients::KeyOwner;
pub use requests::pages::{Exchange, Exchanged, NewPage, PageApproval, PageMade, Spent};
pub use requests::staff::StoredSample;
pub use requests::verifications::{
    Block, Cancel, Canceled, Check, Checked, Create, Created, Ended, List, Resend, Resent, TakesEffect,
};
pub use store::Store;
pub use tables::workers::WORKER_TTL;
