//! A real PostgreSQL and a real RabbitMQ, thrown away after use.
//!
//! Both run as children of this process on loopback ports, and die with it however it ends. Waiting uses tokio's
//! timers: a test that pauses tokio's clock cannot start services.

use std::os::unix::fs::PermissionsExt as _;

mod error;
pub mod install;
mod ports;
mod postgres;
mod process;
mod rabbitmq;

pub use error::ServiceError;
pub use ports::free_port;
pub use postgres::{Durability, Postgres, PostgresOptions};
pub use process::{Process, Signal, exit_code, log_to, without_cargo_env};
pub use rabbitmq::RabbitMq;

/// A new directory for the data of services and programs. The services run as users of their own, and must get into it.
///
/// # Errors
/// When the system refuses.
pub fn data_directory(prefix: &str) -> std::io::Result<tempfile::TempDir> {
    let directory = tempfile::Builder::new().prefix(prefix).tempdir()?;
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))?;
    Ok(directory)
}
