//! The simulator itself: its settings, its account with the messages it took, and its faults.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use hulak_common::clock::SharedClock;
use hulak_common::rng::Rng;
use hulak_runtime::shutdown::Shutdown;
use tokio::sync::{Semaphore, watch};

use crate::faults::{Fate, Faults};
use crate::ledger::{Ledger, Message, Stats, last_ten_digits};

/// Listeners to `/inbox/events` at a time.
const LISTENERS: usize = 64;

/// The settings of a simulator.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// The account's token; with `None`, any token that is not empty is right.
    pub token: Option<String>,
    /// The account's sender identity; with `None`, any that is not empty is right.
    pub from: Option<String>,
    /// Credits on the account; each part sent costs one.
    pub credits: u64,
    /// The faults.
    pub faults: Faults,
    /// Messages kept; beyond it the oldest are deleted.
    pub capacity: usize,
    /// Host names under which the pages may be visited, besides the loopback names and the bound address. The gateway's
    /// own paths accept any.
    pub allowed_hosts: Vec<String>,
    /// A page that asks for codes: an empty inbox links to it.
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
pub struct Sandbox(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) token: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) sign_up: Option<String>,
    pub(crate) clock: SharedClock,
    rng: Rng,
    faults: Mutex<Faults>,
    ledger: Mutex<Ledger>,
    /// Set once, when serving begins: the pages accept it as a host name.
    pub(crate) bound: OnceLock<SocketAddr>,
    /// Set with it: ends event streams, which would never end by themselves.
    pub(crate) shutdown: OnceLock<Shutdown>,
    /// Counts the changes that pages show.
    pub(crate) touched: watch::Sender<u64>,
    /// Slots for listeners.
    pub(crate) listeners: Arc<Semaphore>,
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
            listeners: Arc::new(Semaphore::new(LISTENERS)),
        }))
    }

    /// The messages taken, newest first.
    #[must_use]
    pub fn inbox(&self) -> Vec<Arc<Message>> {
        self.ledger().newest(None, usize::MAX)
    }

    /// The newest message to a number, in any of its spellings (`98…`, `977…`, `+977…`).
    #[must_use]
    pub fn latest_to(&self, to: &str) -> Option<Arc<Message>> {
        let number = last_ten_digits(to)?;
        self.ledger().newest(Some(&number), 1).pop()
    }

    /// Deletes every message; credits and counters stay.
    pub fn clear_inbox(&self) {
        self.forget(None);
    }

    /// The present faults.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.lock_faults().clone()
    }

    /// Changes the faults, from the next call on.
    pub fn set_faults(&self, faults: Faults) {
        *self.lock_faults() = faults;
        self.touch();
    }

    /// Sets the credits on the account.
    pub fn set_credits(&self, credits: u64) {
        self.ledger().set_credits(credits);
        self.touch();
    }

    /// The counters since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.ledger().stats()
    }

    pub(crate) fn forget(&self, to: Option<&str>) {
        self.ledger().forget(to);
        self.touch();
    }

    /// Wakes the listeners. Every call of the gateway does this, so without listeners it costs only a look at their number. A new
    /// listener subscribes before it reads the ledger, so it misses no change.
    pub(crate) fn touch(&self) {
        if self.0.touched.receiver_count() > 0 {
            self.0.touched.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock_faults(&self) -> MutexGuard<'_, Faults> {
        self.0.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn draw_fate(&self) -> Fate {
        self.lock_faults().fate(self.0.rng.fraction())
    }

    /// Waits for the set latency of an answer.
    pub(crate) async fn delay(&self) {
        let delay = self.lock_faults().delay(self.0.rng.fraction());
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
}
