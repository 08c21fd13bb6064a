//! From the message table to the broker: what the publisher does after a commit, and the relay for the messages it missed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use hulak_broker::Broker;
use hulak_common::clock::{SharedClock, Stopwatch};
use hulak_common::job::{MAX_IDS, MessageId, Outgoing, SendJob};
use hulak_common::time::Timestamp;
use hulak_runtime::shutdown::Shutdown;
use hulak_store::Store;

/// How often confirms are written to the store: a few at a time, because a large write delays the requests of that moment.
const CONFIRM_TICK: Duration = Duration::from_millis(50);
/// How long a confirm waits before that. Most messages are claimed by then, and need no such write; it has to be well below
/// the time after which the relay publishes again.
const CONFIRM_DELAY: Duration = Duration::from_secs(1);
/// Confirms that may wait to be written, and as many in the queue before them; those beyond are dropped, and the relay
/// publishes a harmless copy.
const CONFIRM_QUEUE: usize = 65_536;
/// A batch becomes this many jobs before messages share one: enough for several workers to begin at once.
const JOBS: usize = 4;
/// Confirms in one statement.
const CONFIRM_BATCH: usize = 1_000;

/// Publishes messages and writes down which of them the broker has confirmed.
#[derive(Debug, Clone)]
pub struct Outbox {
    broker: Arc<dyn Broker>,
    clock: SharedClock,
    confirmed: mpsc::Sender<Confirmed>,
}

/// A message that the broker has confirmed, and when it was published.
type Confirmed = (MessageId, Timestamp);

impl Outbox {
    /// Starts writing confirms to the store, until `shutdown` begins and the waiting ones are written.
    #[must_use]
    pub fn start(broker: Arc<dyn Broker>, store: Arc<Store>, clock: SharedClock, shutdown: Shutdown) -> Self {
        let (confirmed, waiting) = mpsc::channel(CONFIRM_QUEUE);
        tokio::spawn(note_confirms(waiting, store, shutdown));
        Self { broker, clock, confirmed }
    }

    /// Publishes these messages, several in one job, and answers how many the broker has confirmed. The others are left
    /// to the relay.
    pub async fn publish(&self, messages: &[Outgoing]) -> usize {
        let jobs = SendJob::pack(messages, per_job(messages.len()));
        let published_at = self.clock.now();
        let results = self.broker.publish(&jobs).await;
        let mut count = 0;
        for (job, result) in jobs.iter().zip(results) {
            match result {
                Ok(()) => {
                    for id in job.ids() {
                        count += 1;
                        // If the queue is full, the relay publishes a copy, which the claim refuses.
                        let _forgotten = self.confirmed.try_send((*id, published_at));
                    }
                }
                Err(error) => tracing::debug!(%error, messages = job.ids().len(), "left to the relay"),
            }
        }
        count
    }
}

/// Few messages get a job each, so that they spread evenly over the workers; many share jobs, to spare the broker.
fn per_job(messages: usize) -> usize {
    (messages / JOBS).clamp(1, MAX_IDS)
}

async fn note_confirms(mut waiting: mpsc::Receiver<Confirmed>, store: Arc<Store>, shutdown: Shutdown) {
    let mut kept = VecDeque::new();
    loop {
        let stopping = tokio::select! {
            () = tokio::time::sleep(CONFIRM_TICK) => false,
            () = shutdown.begun() => true,
        };
        let age = Stopwatch::start();
        while kept.len() < CONFIRM_QUEUE
            && let Ok(one) = waiting.try_recv()
        {
            kept.push_back((age, one));
        }
        let stopping = stopping || waiting.is_closed();
        let due = kept.partition_point(|(age, _)| stopping || age.elapsed() >= CONFIRM_DELAY);
        let confirmed: Vec<_> = kept.drain(..due).map(|(_, one)| one).collect();
        note(&confirmed, &store).await;
        if stopping {
            return;
        }
    }
}

async fn note(confirmed: &[Confirmed], store: &Store) {
    // With the time of publishing: a message that fell due later (a retry, for instance) is not what the broker confirmed.
    for chunk in confirmed.chunks(CONFIRM_BATCH) {
        if let Err(error) = store.confirm_published(chunk).await {
            tracing::debug!(%error, messages = chunk.len(), "confirms were not written; the relay publishes copies");
        }
    }
}
