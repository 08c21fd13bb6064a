//! What the clients were answered.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::millis::Millis;

/// What the clients were answered.
#[derive(Debug, Default)]
pub struct CallLog {
    /// The verifications that were accepted (202) or found live (200), with their numbers' ten digits.
    pub accepted: HashMap<Uuid, String>,
    /// How many of them were new.
    pub created: usize,
    /// Every code that was checked.
    pub checks: Vec<Checked>,
    /// Verifications that were confirmed as canceled.
    pub canceled: Vec<Uuid>,
    /// When each API answered a request for a code.
    pub decided: Vec<Vec<Millis>>,
    /// Calls without an answer, or with 503, that were repeated.
    pub again: u64,
    /// Requests that were given up after many repetitions.
    pub given_up: u64,
    /// How often each status was answered.
    pub statuses: BTreeMap<u16, u64>,
}

/// A check of a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The verification.
    pub verification: Uuid,
    /// The code.
    pub code: String,
    /// The status; `None` when the outcome is unknown.
    pub status: Option<u16>,
}

/// A log that many tasks write to.
#[derive(Debug, Default)]
pub struct SharedLog(Mutex<CallLog>);

impl SharedLog {
    /// Locks the log.
    pub fn lock(&self) -> MutexGuard<'_, CallLog> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
