//! A simulator of the Sparrow SMS gateway: its documented behaviour under `/v2/`, an inbox to read what it took, and
//! faults on demand.
//!
//! It is a program for development and tests. Everything is in memory and bounded; nothing it takes is ever sent.

mod control;
mod fault_form;
mod faults;
mod fields;
mod gateway;
mod host_guard;
mod ledger;
mod live;
mod no_answer;
mod page;
mod refusal;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use hulak_common::clock::SharedClock;
use hulak_common::rng::Rng;
use hulak_runtime::serve::{ServeOptions, serve};
use hulak_runtime::shutdown::Shutdown;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::faults::Fate;
pub use crate::faults::{Faults, InvalidFault};
use crate::ledger::Ledger;
pub use crate::ledger::{Message, Stats};
pub use crate::refusal::Refusal;

/// How long a stop waits for answers in flight. Calls held without an answer are let go at once.
const DRAIN: Duration = Duration::from_secs(5);

/// Longer than the 90 s for which the usual client keeps an idle connection, so that it is the client who closes.
const IDLE: Duration = Duration::from_secs(120);

/// How a simulator starts out.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// The account's token; `None` takes any that is not empty.
    pub token: Option<String>,
    /// The account's sender identity; `None` takes any that is not empty.
    pub from: Option<String>,
    /// Credits on the account; each part sent costs one.
    pub credits: u64,
    /// What goes wrong.
    pub faults: Faults,
    /// Messages remembered; beyond it the oldest are forgotten.
    pub capacity: usize,
    /// Names under which the pages may be visited, besides the loopback ones and the bound address. The gateway's
    /// own paths answer to any.
    pub allowed_hosts: Vec<String>,
    /// A page that asks for codes, which an empty inbox leads to.
    pub sign_up: Option<String>,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            token: None,
            from: None,
            credits: 1_000_000,
            faults: Faults::default(),
            capacity: 100_000,
            allowed_hosts: Vec::new(),
            sign_up: None,
        }
    }
}

/// A simulator. Clones share one account and one inbox.
#[derive(Debug, Clone)]
pub struct Sandbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    token: Option<String>,
    from: Option<String>,
    allowed_hosts: Vec<String>,
    sign_up: Option<String>,
    clock: SharedClock,
    rng: Rng,
    faults: Mutex<Faults>,
    ledger: Mutex<Ledger>,
    /// Set once, when serving begins: the pages answer to it.
    bound: OnceLock<SocketAddr>,
    /// Set with it: ends what would never end.
    shutdown: OnceLock<Shutdown>,
    /// Counts up when something has changed that pages show.
    touched: watch::Sender<u64>,
    /// Places for those who listen.
    listeners: Arc<Semaphore>,
}

impl Sandbox {
    /// A simulator with an empty inbox.
    #[must_use]
    pub fn new(config: SandboxConfig, clock: SharedClock, rng: Rng) -> Self {
        Self(Arc::new(Inner {
            token: config.token,
            from: config.from,
            allowed_hosts: config.allowed_hosts,
            sign_up: config.sign_up,
            clock,
            rng,
            faults: Mutex::new(config.faults),
            ledger: Mutex::new(Ledger::new(config.credits, config.capacity)),
            bound: OnceLock::new(),
            shutdown: OnceLock::new(),
            touched: watch::Sender::new(0),
            listeners: Arc::new(Semaphore::new(live::LISTENERS)),
        }))
    }

    /// What it serves. A call that gets no answer (a drop or a timeout) is answered 504 by the bare router: only
    /// [`run`] can close the connection instead.
    pub fn router(&self) -> Router {
        gateway::routes(self.clone()).merge(control::routes(self.clone()))
    }

    /// The messages taken, newest first.
    #[must_use]
    pub fn inbox(&self) -> Vec<Arc<Message>> {
        self.ledger().newest(None, usize::MAX)
    }

    /// The newest message to a number, in any of its spellings (`98…`, `977…`, `+977…`).
    #[must_use]
    pub fn latest_to(&self, to: &str) -> Option<Arc<Message>> {
        let number = ledger::last_ten_digits(to)?;
        self.ledger().newest(Some(&number), 1).pop()
    }

    /// Forgets every message; credits and counters stay.
    pub fn clear_inbox(&self) {
        self.forget(None);
    }

    /// What goes wrong at present.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.lock_faults().clone()
    }

    /// Changes what goes wrong, from the next call on.
    pub fn set_faults(&self, faults: Faults) {
        *self.lock_faults() = faults;
        self.touch();
    }

    /// Sets the credits on the account.
    pub fn set_credits(&self, credits: u64) {
        self.ledger().set_credits(credits);
        self.touch();
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.ledger().stats()
    }

    fn forget(&self, to: Option<&str>) {
        self.ledger().forget(to);
        self.touch();
    }

    /// Wakes who listens. A call of the gateway comes by here, so with nobody there it costs one look. A listener that
    /// comes a moment later finds the change by itself: it looks at the ledger once it is counted.
    fn touch(&self) {
        if self.0.touched.receiver_count() > 0 {
            self.0.touched.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_faults(&self) -> MutexGuard<'_, Faults> {
        self.0.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw_fate(&self) -> Fate {
        self.lock_faults().fate(self.0.rng.fraction())
    }

    /// Waits as long as the gateway is set to think about an answer.
    async fn think(&self) {
        let delay = self.lock_faults().delay(self.0.rng.fraction());
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
}

/// Serves a simulator until a stop is asked for.
///
/// # Errors
/// When the listener is broken.
pub async fn run(listener: TcpListener, sandbox: Sandbox, shutdown: Shutdown) -> std::io::Result<()> {
    let bound = listener.local_addr()?;
    // A second `run` of the same simulator keeps the first address; both are the operator's own.
    let _ = sandbox.0.bound.set(bound);
    let _ = sandbox.0.shutdown.set(shutdown.clone());
    let service = no_answer::keeping(sandbox.router(), shutdown.clone());
    let options =
        ServeOptions { max_connections: 8192, header_timeout: IDLE, drain: DRAIN, ..ServeOptions::default() };
    serve(listener, service, options, shutdown).await
}
