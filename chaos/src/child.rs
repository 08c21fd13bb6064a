//! One of Hulak's programs as a child process, with a proxy for each of its connections.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::time::Duration;

use hulak_testkit::program::Program;
use hulak_testkit::proxy::Proxy;
use hulak_testkit::services::{Process, Signal, free_port, log_to};
use rustix::process::{Pid, kill_process};
use tokio::sync::Mutex;

use crate::error::ChaosError;
use crate::schedule::{Target, Upstream};

/// How long a program may take to end after SIGTERM: its own limit, and a reserve for a busy machine.
pub const STOP_LIMIT: Duration = Duration::from_secs(25);

/// A program's connection to a service, through a proxy.
#[derive(Debug)]
pub struct Link {
    /// The service.
    pub to: Upstream,
    /// The proxy.
    pub proxy: Proxy,
    /// Allows one fault at a time.
    pub turn: Mutex<()>,
}

impl Link {
    /// Puts a proxy before `upstream`.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn new(to: Upstream, upstream: SocketAddr) -> Result<Self, ChaosError> {
        Ok(Self { to, proxy: Proxy::start(upstream).await?, turn: Mutex::new(()) })
    }
}

/// A program, running or not.
#[derive(Debug)]
pub struct Child {
    /// Its name.
    pub target: Target,
    /// The public address of an API; empty for a worker.
    pub url: String,
    /// Its admin address.
    pub admin: String,
    /// Its connections.
    pub links: Vec<Link>,
    /// Its log.
    pub log: PathBuf,
    /// Its process, `None` while it is down on purpose.
    pub process: Mutex<Option<Process>>,
    program: Program,
    settings: Vec<(&'static str, String)>,
}

impl Child {
    /// A program that is not started yet. `settings` are all of its settings except its addresses.
    ///
    /// # Errors
    /// When no port is free.
    pub fn new(
        target: Target,
        program: Program,
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
        Ok(Self { target, url, admin, links, log, process: Mutex::new(None), program, settings })
    }

    /// Its connection to a service.
    #[must_use]
    pub fn link(&self, to: Upstream) -> Option<&Link> {
        self.links.iter().find(|link| link.to == to)
    }

    /// Starts it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn spawn(&self) -> Result<Process, ChaosError> {
        let mut command = self.program.command(self.settings.iter().map(|(name, value)| (name, value)));
        log_to(&mut command, &self.log)?;
        Ok(Process::spawn(command)?)
    }

    /// Starts it, unless it runs already.
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

    /// Stops it by SIGTERM. Answers how it ended, unless in order.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub async fn stop(&self) -> Result<Option<BadExit>, ChaosError> {
        match self.process.lock().await.take() {
            Some(process) => terminate(process).await,
            None => Ok(None),
        }
    }
}

/// The number of SIGTERM.
pub const SIGTERM: i32 = 15;

/// An end that was not in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadExit {
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Its description.
    pub what: String,
}

/// Stops a process by SIGTERM. Answers how it ended, unless in order.
///
/// # Errors
/// When the system cannot tell.
pub async fn terminate(mut process: Process) -> Result<Option<BadExit>, ChaosError> {
    process.signal(Signal::Terminate);
    match tokio::time::timeout(STOP_LIMIT, process.wait()).await {
        Ok(status) => {
            let status = status?;
            let what = format!("ended with {status} after SIGTERM");
            Ok((!status.success()).then(|| BadExit { signal: status.signal(), what }))
        }
        Err(_) => {
            process.kill()?;
            Ok(Some(BadExit { signal: None, what: format!("did not end within {STOP_LIMIT:?} of SIGTERM") }))
        }
    }
}

/// Stops a process with SIGSTOP, or continues it.
pub fn freeze(process: &Process, frozen: bool) {
    let signal = if frozen { rustix::process::Signal::STOP } else { rustix::process::Signal::CONT };
    let id = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
    // It was not waited for yet, so that the id is still its own. If it has just ended, the signal has no effect.
    let _gone = id.map(|id| kill_process(id, signal));
}
