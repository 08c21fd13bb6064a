//! What this worker says of itself, and whether an operator has stopped sending.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::time::Timestamp;
use hulak_common::worker_registry::WorkerState;
use hulak_runtime::shutdown::Shutdown;
use hulak_store::{Monitor, Store};
use uuid::Uuid;

use crate::breaker::Breaker;
use crate::rate_limiter::Pacer;
use crate::sender::Sender;

/// Between two reports: a pause holds within a second. Apart from the signs of life, whose lateness would cost the share.
const EVERY: Duration = Duration::from_millis(500);

/// What is told.
#[derive(Debug)]
pub struct Report {
    /// This worker, as the registry knows it.
    pub id: Uuid,
    /// When it began.
    pub started_at: Timestamp,
    /// Messages in flight at most.
    pub concurrency: u16,
    /// Knows how many are in flight.
    pub sender: Arc<Sender>,
    /// The circuit, which also holds the pause.
    pub breaker: Arc<Breaker>,
    /// Knows the share of the rate.
    pub pacer: Arc<Pacer>,
    /// Where it is told.
    pub store: Arc<dyn Store>,
}

impl Report {
    /// Tells until the stop. While the database is away the pause stays as it was.
    pub async fn run(self, monitor: Monitor, shutdown: Shutdown) {
        let mut paused = false;
        loop {
            tokio::select! { () = monitor.up() => {}, () = shutdown.begun() => return }
            match self.store.report(self.id, &self.state(paused)).await {
                Ok(now) => {
                    if now != paused {
                        tracing::warn!(paused = now, "an operator has stopped sending, or let it go on");
                    }
                    paused = now;
                    self.breaker.pause(paused);
                }
                Err(error) => tracing::debug!(%error, "nothing told"),
            }
            tokio::select! { () = tokio::time::sleep(EVERY) => {}, () = shutdown.begun() => return }
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
            share: self.pacer.share(),
        }
    }
}
