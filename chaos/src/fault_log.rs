//! When each fault was active.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hulak_common::clock::SharedClock;

use crate::millis::Millis;

/// What a fault may do to messages on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A SIGKILL.
    Kill,
    /// A stop in order.
    Stop,
    /// A message may be held back, and arrive long after its sender's timeout.
    Holding,
    /// Any other fault.
    Other,
}

/// A fault's span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultWindow {
    /// Its kind.
    pub kind: FaultKind,
    /// Its description.
    pub what: String,
    /// Its beginning.
    pub from: Millis,
    /// Its end; `None` while it lasts.
    pub to: Option<Millis>,
}

impl FaultWindow {
    /// Whether it was active at this moment, or ended less than `after` before.
    #[must_use]
    pub fn covers(&self, at: Millis, after: Millis) -> bool {
        self.from <= at && self.to.is_none_or(|to| at <= to + after)
    }
}

/// Keeps the windows of all faults.
#[derive(Debug)]
pub struct FaultLog {
    clock: SharedClock,
    windows: Mutex<Vec<FaultWindow>>,
}

/// An active fault; dropping it ends its window.
#[derive(Debug)]
pub struct OpenFault<'a> {
    fault_log: &'a FaultLog,
    index: usize,
}

impl FaultLog {
    /// An empty log.
    #[must_use]
    pub fn new(clock: SharedClock) -> Self {
        Self { clock, windows: Mutex::default() }
    }

    /// Records that a fault begins.
    pub fn open(&self, kind: FaultKind, what: impl Into<String>) -> OpenFault<'_> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.push(FaultWindow { kind, what: what.into(), from: self.clock.now().as_millis(), to: None });
        OpenFault { fault_log: self, index: windows.len() - 1 }
    }

    /// Records a fault of this length that ends now.
    pub fn past(&self, kind: FaultKind, what: impl Into<String>, took: Duration) {
        let to = self.clock.now();
        let from = (to - took).as_millis();
        let window = FaultWindow { kind, what: what.into(), from, to: Some(to.as_millis()) };
        self.windows.lock().unwrap_or_else(PoisonError::into_inner).push(window);
    }

    /// All windows so far.
    #[must_use]
    pub fn windows(&self) -> Vec<FaultWindow> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for OpenFault<'_> {
    fn drop(&mut self) {
        let now = self.fault_log.clock.now().as_millis();
        let mut windows = self.fault_log.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = windows.get_mut(self.index) {
            window.to = Some(now);
        }
    }
}
