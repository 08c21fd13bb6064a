//! The programs that are measured: where a release has them, and one that runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hulak_testkit::program::{Program, ready};
use hulak_testkit::services::{Process, Signal, free_port, log_to, without_cargo_env};
use tokio::time::timeout;

use crate::error::BenchError;

/// Long: a program that opens a full database takes its time.
const READY_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(25);
/// Bytes of a log that are shown when its program fails.
const LOG_TAIL: usize = 2_000;

/// The programs of one release, by role.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The API.
    pub api: Program,
    /// A worker.
    pub worker: Program,
    /// The gateway simulator.
    pub sandbox: Program,
    /// All of it in one process, on SQLite.
    pub one_process: Program,
}

impl Programs {
    /// Those in this directory: one `hulak` that knows all roles, or `hulak`, `hulak-api`, `hulak-worker` and
    /// `hulak-sandbox`, as earlier releases have them.
    ///
    /// # Errors
    /// When one of them is not there.
    pub fn in_directory(directory: &Path) -> Result<Self, BenchError> {
        let hulak = directory.join("hulak");
        let in_role = |role: &'static str| match Program::in_role(&hulak, role) {
            program if program.has_role() => program,
            _ => Program::without_role(directory.join(format!("hulak-{role}"))),
        };
        let programs = Self {
            api: in_role("api"),
            worker: in_role("worker"),
            sandbox: in_role("sandbox"),
            one_process: Program::without_role(&hulak),
        };
        for program in [&programs.one_process, &programs.api, &programs.worker, &programs.sandbox] {
            must_exist(program.path())?;
        }
        Ok(programs)
    }
}

/// A program of the benchmark itself, which is built beside this one.
///
/// # Errors
/// When it is not there.
pub fn helper(name: &str) -> Result<PathBuf, BenchError> {
    let path = own_directory()?.join(name);
    must_exist(&path)?;
    Ok(path)
}

/// Where this program is.
///
/// # Errors
/// When the system cannot tell.
pub fn own_directory() -> Result<PathBuf, BenchError> {
    let own = std::env::current_exe()?;
    Ok(own.parent().unwrap_or(Path::new(".")).to_owned())
}

fn must_exist(path: &Path) -> Result<(), BenchError> {
    if path.is_file() {
        return Ok(());
    }
    Err(BenchError::Setup(format!("{} is not there: `make bench` builds all programs", path.display())))
}

/// Starts the handler without Hulak that polling is compared with, and answers its address.
///
/// # Errors
/// When it cannot be started.
pub fn start_bare_handler() -> Result<(Process, SocketAddr), BenchError> {
    let address = local_address()?;
    let mut command = without_cargo_env(helper("hulak-bench-bare")?);
    command.arg(address.to_string());
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    Ok((Process::spawn(command)?, address))
}

/// A free port on loopback.
///
/// # Errors
/// When the system has none.
pub fn local_address() -> Result<SocketAddr, BenchError> {
    Ok(SocketAddr::from(([127, 0, 0, 1], free_port()?)))
}

/// A program that runs, with its log in a file. Dropping it ends the process.
#[derive(Debug)]
pub struct RunningProgram {
    /// Its name in the tables.
    pub name: String,
    process: Process,
    log: PathBuf,
}

impl RunningProgram {
    /// Starts a program and waits until it is ready and connected, as `/readyz` at `admin` says.
    ///
    /// # Errors
    /// When it ends or is not ready in time; the end of its log is in the error.
    pub async fn start(
        name: &str,
        mut command: Command,
        log: PathBuf,
        admin: SocketAddr,
    ) -> Result<Self, BenchError> {
        log_to(&mut command, &log)?;
        let mut started = Self { name: name.to_owned(), process: Process::spawn(command)?, log };
        let admin = format!("http://{admin}");
        let ended = tokio::select! {
            ready = timeout(READY_LIMIT, ready(&admin)) => match ready {
                Ok(()) => return Ok(started),
                Err(_) => format!("is not ready after {READY_LIMIT:?}"),
            },
            status = started.process.wait() => format!("ended: {}", status?),
        };
        Err(started.error(&ended))
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends it by SIGTERM.
    ///
    /// # Errors
    /// When the system cannot tell how it ended.
    pub async fn stop(mut self) -> Result<(), BenchError> {
        self.process.signal(Signal::Terminate);
        self.process.wait_or_kill(STOP_LIMIT).await?;
        Ok(())
    }

    fn error(&self, what: &str) -> BenchError {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]).into_owned();
        BenchError::Setup(format!("{} {what}; its log ends with:\n{tail}", self.name))
    }
}
