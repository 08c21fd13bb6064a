//! The benchmark: real programs, a real database and a real broker on one machine, loaded by a process of its own. Each
//! scenario is compared with a ceiling: what the machine can do without Hulak, measured just before it.
//!
//! # Layout
//! From the bottom up:
//! - [`phone_numbers`], [`stats`], [`usage`] (processor time and memory of processes), [`protocol`] (between this program
//!   and the load process), [`options`];
//! - [`load`]: the load process; [`load_process`]: the same, seen from this program;
//! - [`machine`], [`writeback`], [`services`] (PostgreSQL and RabbitMQ), [`programs`], [`deployment`] (the programs of one
//!   scenario), [`fill`] (a database as after a year);
//! - [`ceiling`]: what the machine can do; [`report`]: the results as text and JSON;
//! - [`mod@bench`]: the state of a run and what all scenarios share; [`scenario`]: the scenarios.

pub mod bench;
pub mod ceiling;
pub mod deployment;
pub mod error;
pub mod fill;
mod latency;
pub mod load;
pub mod load_process;
pub mod machine;
pub mod options;
pub mod phone_numbers;
pub mod programs;
pub mod protocol;
pub mod report;
pub mod scenario;
pub mod services;
pub mod stats;
pub mod usage;
pub mod writeback;
