//! Reports the state of this worker to the registry, and learns from the answer whether an operator has paused sending.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::time::Timestamp;
use hulak_common::worker_registry::WorkerState;
use hulak_runtime::shutdown::Shutdown;
use hulak_store::{Monitor, Store};
use uuid::Uuid;

use crate::breaker::Breaker;
use crate::rate_limiter::RateLimiter;
use crate::sender::Sender;

/// Between two reports: a pause takes effect within a second. Separate from the heartbeats, because a late heartbeat would cost
/// this worker its share of the rate.
const INTERVAL: Duration = Duration::from_millis(500);

/// What the reports are made of.
#[derive(Debug)]
pub struct StatusReport {
    /// This worker's id in the registry.
    pub id: Uuid,
    /// When it started.
    pub started_at: Timestamp,
    /// Calls to the gateway at a time, at most.
    pub concurrency: u16,
    /// Knows how many calls are in flight.
    pub sender: Arc<Sender>,
    /// The circuit to the gateway, which also holds the pause.
    pub breaker: Arc<Breaker>,
    /// Knows the share of the rate.
    pub rate_limiter: Arc<RateLimiter>,
    /// The database.
    pub store: Arc<Store>,
}

impl StatusReport {
    /// Reports until shutdown. While the database is down, the pause stays as it was.
    pub async fn run(self, monitor: Monitor, shutdown: Shutdown) {
        let mut paused = false;
        loop {
            tokio::select! { () = monitor.up() => {}, () = shutdown.begun() => return }
            match self.store.report(self.id, &self.state(paused)).await {
                Ok(now) => {
                    match (paused, now) {
                        (false, true) => tracing::warn!("sending paused by an operator"),
                        (true, false) => tracing::warn!("sending resumed by an operator"),
                        _ => {}
                    }
                    paused = now;
                    self.breaker.pause(paused);
                }
                Err(error) => tracing::debug!(%error, "the status report failed"),
            }
            tokio::select! { () = tokio::time::sleep(INTERVAL) => {}, () = shutdown.begun() => return }
        }
    }

    fn state(&self, paused: bool) -> WorkerState {
        let (circuit, gateway_code) = self.breaker.circuit();
        WorkerState {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
            in_flight: self.sender.in_flight(),
            concurrency: u32::from(self.concurrency),
            circuit: circuit.to_owned(),
            gateway_code,
            paused,
            share: self.rate_limiter.share(),
        }
    }
}
