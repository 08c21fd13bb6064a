//! What it ran on.

use std::fs;
use std::path::Path;

use serde::Serialize;
use sqlx::{Connection as _, PgConnection};

use crate::BenchError;
use crate::services::Services;

/// The machine and the versions.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Processors that this process may use.
    pub cores: usize,
    /// Their model.
    pub model: String,
    /// Bytes of memory.
    pub memory: u64,
    /// The kernel.
    pub kernel: String,
    /// PostgreSQL's version.
    pub postgres: String,
    /// RabbitMQ's version.
    pub rabbitmq: String,
    /// The compiler's.
    pub rustc: String,
    /// What was measured, by its revision.
    pub revision: String,
    /// How busy the machine was before anything was started: processes that wanted to run.
    pub load_before: f64,
}

impl Machine {
    /// Looks.
    ///
    /// # Errors
    /// When a service does not say.
    pub async fn look(services: &Services, load_before: f64) -> Result<Self, BenchError> {
        let mut database = PgConnection::connect(&services.postgres_url("postgres")).await?;
        let postgres: String = sqlx::query_scalar("SHOW server_version").fetch_one(&mut database).await?;
        let rabbitmq = services.rabbit().ctl(&["version"]).await?;
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Ok(Self {
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            model: field(&cpus, "model name").unwrap_or_else(|| "unknown".to_owned()),
            memory: memory(),
            kernel: read("/proc/sys/kernel/osrelease"),
            postgres,
            rabbitmq: rabbitmq.lines().last().unwrap_or_default().trim().to_owned(),
            rustc: said("rustc", &["--version"]),
            revision: said("git", &["describe", "--always", "--dirty"]),
            load_before,
        })
    }
}

/// How many processes wanted to run in the last minute.
#[must_use]
pub fn load() -> f64 {
    read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

/// Bytes of memory.
#[must_use]
pub fn memory() -> u64 {
    let kilobytes = field(&read("/proc/meminfo"), "MemTotal");
    let number = kilobytes.and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

/// Bytes that are free where a directory is.
///
/// # Errors
/// When it is not there.
pub fn free(directory: &Path) -> Result<u64, BenchError> {
    let disk = rustix::fs::statvfs(directory).map_err(std::io::Error::from)?;
    Ok(disk.f_bavail * disk.f_frsize)
}

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program).args(arguments).output();
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    text.map_or_else(|| "unknown".to_owned(), |text| String::from_utf8_lossy(&text).trim().to_owned())
}
