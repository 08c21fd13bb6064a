//! The registry of live workers, and whether an operator has paused sending.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::Timestamp;

/// Sending has been stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// Since when.
    pub since: Timestamp,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What a worker says of itself with each sign of life.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerState {
    /// Its release.
    pub version: String,
    /// When it began.
    pub started_at: Timestamp,
    /// Messages in its hands.
    pub in_flight: u32,
    /// Messages that it may have in its hands.
    pub concurrency: u32,
    /// Its circuit to the gateway: `closed`, `trial`, `open`.
    pub circuit: String,
    /// The gateway's code that opened it.
    pub gateway_code: Option<i32>,
    /// Whether it has stopped because an operator said so.
    pub paused: bool,
    /// Its share of the account's rate, in messages a second.
    pub share: f64,
}

/// A worker in the registry.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerRecord {
    /// Its id, new at every start.
    pub id: Uuid,
    /// When it was last heard of.
    pub seen_at: Timestamp,
    /// What it said; nothing when it is of a release that says nothing.
    pub state: Option<WorkerState>,
}
