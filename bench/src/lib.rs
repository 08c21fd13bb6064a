//! The measurement: real programs, a real database and a real broker on one machine, driven by a load process of its own,
//! and beside each scenario the raw ceilings that it is compared with, measured just before it.
//!
//! One run: [`services`] starts PostgreSQL and RabbitMQ, [`world`] the programs of a scenario, [`driver`] the load,
//! [`ceiling`] measures what the machine can do at all, [`scenario`] what Hulak does with it, [`report`] writes it down.

pub mod ceiling;
pub mod config;
pub mod driver;
mod error;
pub mod fill;
pub mod load;
pub mod machine;
pub mod numbers;
pub mod process;
pub mod protocol;
pub mod report;
pub mod scenario;
pub mod services;
pub mod stats;
pub mod world;
pub mod writeback;

pub use error::BenchError;
