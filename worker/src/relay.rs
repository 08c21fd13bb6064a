//! Publishes due messages that were not published, not confirmed, or confirmed too long ago. Any number of workers may do this
//! at the same time.

use std::sync::Arc;
use std::time::Duration;

use hulak_broker::{Broker, BrokerHealth};
use hulak_common::clock::SharedClock;
use hulak_common::job::Outgoing;
use hulak_runtime::metrics;
use hulak_runtime::shutdown::Shutdown;
use hulak_service::outbox::Outbox;
use hulak_store::{Monitor, Store};

/// Between two polls of the outbox: a message is published at most this long after its due time.
const TICK: Duration = Duration::from_millis(200);
/// Messages published at once.
const BATCH: u32 = 512;

/// Relays until shutdown.
pub async fn run(
    outbox: Outbox,
    store: Arc<Store>,
    broker: Arc<dyn Broker>,
    monitor: Monitor,
    clock: SharedClock,
    shutdown: Shutdown,
) {
    let health = broker.health();
    loop {
        tokio::select! { () = tokio::time::sleep(TICK) => {}, () = shutdown.begun() => return }
        tokio::select! { () = monitor.up() => {}, () = shutdown.begun() => return }
        // Without a broker no message is taken from the outbox: it would only be put back.
        while *health.borrow() == BrokerHealth::Up && !shutdown.has_begun() {
            let ids = match store.take_due(BATCH, clock.now()).await {
                Ok(ids) => ids,
                Err(error) => {
                    tracing::warn!(%error, "the outbox cannot be read");
                    break;
                }
            };
            // The trace of the request is not stored: a message that is retried much later belongs to no request.
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
