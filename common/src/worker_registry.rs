//! The registry of live workers, and whether an operator has paused sending.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::gateway_codes::GatewayCode;
use crate::time::Timestamp;

/// A pause: an operator has stopped sending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// Since when.
    pub since: Timestamp,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// The state that a worker reports about itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerState {
    /// Its release.
    pub version: String,
    /// When it began.
    pub started_at: Timestamp,
    /// Messages in flight.
    pub in_flight: u32,
    /// Messages that may be in flight.
    pub concurrency: u32,
    /// Its circuit to the gateway: `closed`, `trial`, `open`.
    pub circuit: String,
    /// The gateway's code that opened it.
    pub gateway_code: Option<GatewayCode>,
    /// Whether it has stopped because of a pause.
    pub paused: bool,
    /// Its share of the account's rate, in messages a second.
    pub share: f64,
}

/// A worker in the registry.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerRecord {
    /// Its id, new at every start.
    pub id: Uuid,
    /// The time of its last heartbeat.
    pub seen_at: Timestamp,
    /// The state it reported; `None` for a release that reports none.
    pub state: Option<WorkerState>,
}
