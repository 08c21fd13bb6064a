//! One of Hulak's programs as a child, with every connection through a proxy of its own.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use hulak_testkit::proxy::Proxy;
use hulak_testkit::services::{Process, Signal, free_port, without_cargo_env};
use rustix::process::{Pid, kill_process};
use tokio::sync::Mutex;

use crate::ChaosError;
use crate::schedule::{Service, Target};

/// How long a program may take to end after SIGTERM: its own bound, and something for a busy machine.
pub const STOP_LIMIT: Duration = Duration::from_secs(25);

/// A way out of a program.
#[derive(Debug)]
pub struct Link {
    /// Where it leads.
    pub to: Service,
    /// The proxy on it.
    pub proxy: Proxy,
    /// One fault at a time.
    pub turn: Mutex<()>,
}

impl Link {
    /// Puts a proxy before `upstream`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn new(to: Service, upstream: SocketAddr) -> Result<Self, ChaosError> {
        Ok(Self { to, proxy: Proxy::start(upstream).await?, turn: Mutex::new(()) })
    }
}

/// A program: running, or about to be.
#[derive(Debug)]
pub struct Program {
    /// Which.
    pub target: Target,
    /// Where it is reached: the public address of an API; a worker has none.
    pub url: String,
    /// Its admin address.
    pub admin: String,
    /// Its ways out.
    pub links: Vec<Link>,
    /// What it writes.
    pub log: PathBuf,
    /// The child, `None` while it is down on purpose.
    pub process: Mutex<Option<Process>>,
    binary: PathBuf,
    settings: Vec<(&'static str, String)>,
}

impl Program {
    /// A program that is not started yet. `settings` are all but its addresses.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn new(
        target: Target,
        binary: PathBuf,
        log: PathBuf,
        links: Vec<Link>,
        mut settings: Vec<(&'static str, String)>,
    ) -> Result<Self, ChaosError> {
        let admin = format!("127.0.0.1:{}", free_port()?);
        settings.push(("HULAK_ADMIN_ADDR", admin.clone()));
        let mut url = String::new();
        if matches!(target, Target::Api(_)) {
            let address = format!("127.0.0.1:{}", free_port()?);
            url = format!("http://{address}");
            settings.push(("HULAK_HTTP_ADDR", address));
        }
        let admin = format!("http://{admin}");
        Ok(Self { target, url, admin, links, log, process: Mutex::new(None), binary, settings })
    }

    /// The way out to a service.
    #[must_use]
    pub fn link(&self, to: Service) -> Option<&Link> {
        self.links.iter().find(|link| link.to == to)
    }

    /// Starts it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn spawn(&self) -> Result<Process, ChaosError> {
        Ok(Process::spawn(self.command()?)?)
    }

    fn command(&self) -> Result<Command, ChaosError> {
        let mut command = without_cargo_env(&self.binary);
        // Nothing of the caller's may change what the program does.
        let ours = std::env::vars_os().map(|(name, _)| name);
        for name in ours.filter(|name| name.to_string_lossy().starts_with("HULAK_")) {
            command.env_remove(name);
        }
        command.arg(if matches!(self.target, Target::Worker(_)) { "worker" } else { "api" });
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        let log = File::options().create(true).append(true).open(&self.log)?;
        command.stdin(std::process::Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }

    /// Starts it, unless it runs.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn start(&self) -> Result<(), ChaosError> {
        let mut process = self.process.lock().await;
        if process.is_none() {
            *process = Some(self.spawn()?);
        }
        Ok(())
    }

    /// Stops it by SIGTERM. Answers how it ended when that was not in order.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub async fn stop(&self) -> Result<Option<BadEnd>, ChaosError> {
        match self.process.lock().await.take() {
            Some(process) => terminate(process).await,
            None => Ok(None),
        }
    }
}

/// The number of SIGTERM, everywhere.
pub const SIGTERM: i32 = 15;

/// An end that was not in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEnd {
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// For people.
    pub what: String,
}

/// Stops a child by SIGTERM. Answers how it ended when that was not in order.
///
/// # Errors
/// When the system cannot tell.
pub async fn terminate(mut process: Process) -> Result<Option<BadEnd>, ChaosError> {
    process.signal(Signal::Terminate);
    match tokio::time::timeout(STOP_LIMIT, process.wait()).await {
        Ok(status) => {
            let status = status?;
            let what = format!("ended with {status} after SIGTERM");
            Ok((!status.success()).then(|| BadEnd { signal: status.signal(), what }))
        }
        Err(_) => {
            process.kill()?;
            Ok(Some(BadEnd { signal: None, what: format!("did not end within {STOP_LIMIT:?} of SIGTERM") }))
        }
    }
}

/// Stops a child where it stands, or lets it go on.
pub fn freeze(process: &Process, frozen: bool) {
    let signal = if frozen { rustix::process::Signal::STOP } else { rustix::process::Signal::CONT };
    let id = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
    // Not waited for yet, so the id is still its own; if it has just died there is nothing to stop.
    let _gone = id.map(|id| kill_process(id, signal));
}
