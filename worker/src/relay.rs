//! Publishes what is due and was not published, or not confirmed, or confirmed long ago. Any number of workers may do
//! this side by side.

use std::sync::Arc;
use std::time::Duration;

use hulak_broker::{Broker, BrokerHealth};
use hulak_common::clock::SharedClock;
use hulak_common::job::Outgoing;
use hulak_runtime::metrics;
use hulak_runtime::shutdown::Shutdown;
use hulak_service::outbox::Outbox;
use hulak_store::{Monitor, Store};

/// Between two looks; due times are honoured to about this.
const TICK: Duration = Duration::from_millis(200);
/// Messages taken at once.
const BATCH: u32 = 512;

/// Relays until the stop.
pub async fn run(
    outbox: Outbox,
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    monitor: Monitor,
    clock: SharedClock,
    shutdown: Shutdown,
) {
    let health = broker.health();
    loop {
        tokio::select! { () = tokio::time::sleep(TICK) => {}, () = shutdown.begun() => return }
        tokio::select! { () = monitor.up() => {}, () = shutdown.begun() => return }
        // Without a broker nothing is taken off the table: it would only be put back.
        while *health.borrow() == BrokerHealth::Up && !shutdown.has_begun() {
            let ids = match store.take_due(BATCH, clock.now()).await {
                Ok(ids) => ids,
                Err(error) => {
                    tracing::warn!(%error, "the outbox cannot be read");
                    break;
                }
            };
            // Whose request it was is not kept: what is tried again much later belongs to no request any more.
            let messages: Vec<_> = ids.iter().copied().map(Outgoing::from).collect();
            let confirmed = outbox.publish(&messages).await;
            if !ids.is_empty() {
                metrics::worker().relayed.increment(ids.len() as u64);
                tracing::debug!(taken = ids.len(), confirmed, "relayed");
            }
            if ids.len() < BATCH as usize || confirmed == 0 {
                break;
            }
        }
    }
}
