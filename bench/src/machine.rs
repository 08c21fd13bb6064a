//! The machine and the versions that a run was made with.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::error::BenchError;

/// The services' versions.
#[derive(Debug, Clone, Serialize)]
pub struct Versions {
    /// PostgreSQL's version.
    pub postgres: String,
    /// RabbitMQ's version.
    pub rabbitmq: String,
}

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
    /// The services' versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// The compiler's version.
    pub rustc: String,
    /// The revision that was measured.
    pub revision: String,
    /// Processes that wanted to run before the benchmark started anything.
    pub load_before: f64,
}

impl Machine {
    /// Describes this machine.
    #[must_use]
    pub fn describe(versions: Versions, load_before: f64) -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            model: field(&cpus, "model name").unwrap_or_else(|| "unknown".to_owned()),
            memory: memory(),
            kernel: read("/proc/sys/kernel/osrelease"),
            versions,
            rustc: output_of("rustc", &["--version"]),
            revision: output_of("git", &["describe", "--always", "--dirty"]),
            load_before,
        }
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

/// Free bytes on the disk of a directory.
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

fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program).args(arguments).output();
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    text.map_or_else(|| "unknown".to_owned(), |text| String::from_utf8_lossy(&text).trim().to_owned())
}
