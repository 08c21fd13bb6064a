//! Publishes status events for pollers: it collects events while a batch is under way, and drops those that do not fit. An
//! event is a hint; a poller that misses one reads the store a little later.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use hulak_broker::Broker;
use hulak_common::job::StatusEvent;

/// Events that may wait for the broker.
const QUEUE: usize = 16_384;
/// Events taken at once.
const BATCH: usize = 1_024;

/// Between two batches, so that there are fifty a second at most: each costs the broker and every subscriber about the same,
/// however many events are in it.
const REST: Duration = Duration::from_millis(20);

/// Publishes status events to every subscriber.
#[derive(Debug, Clone)]
pub struct EventPublisher(mpsc::Sender<StatusEvent>);

impl EventPublisher {
    /// Starts sending; it ends when every clone is dropped.
    #[must_use]
    pub fn start(broker: Arc<dyn Broker>) -> Self {
        let (queue, mut waiting) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            let mut events = Vec::with_capacity(BATCH);
            while waiting.recv_many(&mut events, BATCH).await > 0 {
                if let Err(error) = broker.announce(&events).await {
                    tracing::debug!(%error, events = events.len(), "events dropped");
                }
                events.clear();
                tokio::time::sleep(REST).await;
            }
        });
        Self(queue)
    }

    /// Queues events; never waits.
    pub fn announce(&self, events: impl IntoIterator<Item = StatusEvent>) {
        for event in events {
            if self.0.try_send(event).is_err() {
                return;
            }
        }
    }
}
