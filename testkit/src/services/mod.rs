//! A real PostgreSQL and a real RabbitMQ, thrown away after use.
//!
//! Both run as children of this process on loopback ports, and die with it however it ends. Waiting uses tokio's
//! timers: a test that pauses tokio's clock cannot start services.

mod error;
pub mod install;
mod ports;
mod postgres;
mod process;
mod rabbitmq;

pub use error::ServiceError;
pub use ports::free_port;
pub use postgres::{Durability, Postgres, PostgresOptions};
pub use process::{Process, Signal, exit_code, without_cargo_env};
pub use rabbitmq::RabbitMq;
