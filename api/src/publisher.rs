//! After the commit: message ids to the broker, changes to the pollers. Nothing here is waited for by a caller, and
//! nothing here is the last word: the relay publishes what this drops.

use std::sync::Arc;
use std::time::Duration;

use hulak_broker::Broker;
use hulak_common::clock::SharedClock;
use hulak_common::job::{MessageId, Outgoing, StatusEvent};
use hulak_runtime::batch::{Batcher, Bounds};
use hulak_runtime::shutdown::Shutdown;
use hulak_runtime::trace;
use hulak_service::event_publisher::EventPublisher;
use hulak_service::outbox::Outbox;
use hulak_store::Store;

use crate::http::long_poll::Changes;

/// Message ids that may wait for the broker.
const QUEUE: usize = 16_384;
/// Ids published at once: their confirms are awaited together.
const BATCH: usize = 512;
/// Such batches in flight side by side.
const LANES: usize = 2;
/// What is accepted within this time shares jobs: each costs the broker, the API and a worker about the same, however many ids
/// are in it.
const REST: Duration = Duration::from_millis(10);

/// Publishes in the background.
#[derive(Debug, Clone)]
pub(crate) struct Publisher {
    jobs: Batcher<Outgoing, ()>,
    announcer: EventPublisher,
    changes: Arc<Changes>,
}

impl Publisher {
    /// Starts publishing.
    #[must_use]
    pub(crate) fn start(
        broker: &Arc<dyn Broker>,
        changes: Arc<Changes>,
        store: Arc<Store>,
        clock: SharedClock,
        shutdown: Shutdown,
    ) -> Self {
        let outbox = Outbox::start(Arc::clone(broker), store, clock, shutdown);
        let jobs = Batcher::spawn(
            Bounds { queue: QUEUE, batch: BATCH, lanes: LANES, rest: REST },
            move |messages: Vec<Outgoing>| {
                let outbox = outbox.clone();
                async move {
                    outbox.publish(&messages).await;
                    vec![(); messages.len()]
                }
            },
        );
        Self { jobs, announcer: EventPublisher::start(Arc::clone(broker)), changes }
    }

    /// Has a message published, on behalf of the request that this task works for.
    pub(crate) fn publish(&self, id: MessageId) {
        if self.jobs.offer(Outgoing { id, request: trace::current() }).is_err() {
            tracing::debug!(%id, "left to the relay: too many are waiting");
        }
    }

    /// Has changes announced. Who waits here needs no broker to hear of them.
    pub(crate) fn announce(&self, events: Vec<StatusEvent>) {
        self.changes.note(&events);
        self.announcer.announce(events);
    }
}
