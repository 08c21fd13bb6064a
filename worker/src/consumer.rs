//! Takes jobs from the broker, for as many messages at a time as this worker may work on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hulak_broker::{Broker, Consumer, Delivery};
use hulak_runtime::shutdown::Shutdown;
use hulak_store::Monitor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::breaker::Breaker;
use crate::sender::{Handled, Sender};

/// The loop that takes jobs.
#[derive(Debug)]
pub struct JobLoop {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// Sends the messages.
    pub sender: Arc<Sender>,
    /// The circuit to the gateway.
    pub breaker: Arc<Breaker>,
    /// Whether the database is up.
    pub monitor: Monitor,
    /// Calls to the gateway at a time.
    pub concurrency: u16,
    /// Ends the loop.
    pub shutdown: Shutdown,
}

/// Why no more jobs are taken for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopReason {
    Shutdown,
    CircuitOpen,
    DatabaseDown,
    BrokerDown,
}

impl JobLoop {
    /// Consumes until shutdown, but not while the circuit is open, sending is paused or the database is down: then the jobs stay
    /// in the broker, and the messages in the store.
    pub async fn run(self) {
        let slots = Arc::new(Semaphore::new(usize::from(self.slots())));
        while !self.shutdown.has_begun() {
            let Some(mut consumer) = self.open().await else { return };
            let tracker = TaskTracker::new();
            let reason = loop {
                match self.next(&mut *consumer, &slots).await {
                    Ok((delivery, slot)) => self.begin(delivery, slot, &slots, &tracker).await,
                    Err(reason) => break reason,
                }
            };
            tracing::debug!(?reason, "taking no more jobs");
            // A job that has begun is finished and acknowledged on the connection that delivered it.
            tracker.close();
            tokio::select! { () = tracker.wait() => {}, () = self.shutdown.aborted() => {} }
            consumer.close().await;
        }
    }

    /// Messages to work on at a time: 50% more than there may be calls, so that the gateway does not wait while the database claims
    /// the next messages and records the last ones.
    const fn slots(&self) -> u16 {
        self.concurrency.saturating_add(self.concurrency / 2)
    }

    async fn open(&self) -> Option<Box<dyn Consumer>> {
        let mut phase = self.breaker.phase();
        let opened = async {
            self.monitor.up().await;
            // The breaker outlives this loop, so waiting cannot fail.
            let _ready = phase.wait_for(|phase| !phase.stops()).await.map(|phase| *phase);
            self.broker.consume(self.slots()).await.ok()
        };
        tokio::select! { consumer = opened => consumer, () = self.shutdown.begun() => None }
    }

    /// The next job, with a slot for its first message: a job is not taken before there is a free slot.
    async fn next(
        &self,
        consumer: &mut dyn Consumer,
        slots: &Arc<Semaphore>,
    ) -> Result<(Delivery, OwnedSemaphorePermit), StopReason> {
        let mut phase = self.breaker.phase();
        let next = async {
            let slot = Arc::clone(slots).acquire_owned().await.map_err(|_| StopReason::Shutdown)?;
            let delivery = consumer.next().await.ok_or(StopReason::BrokerDown)?;
            Ok((delivery, slot))
        };
        tokio::select! {
            biased;
            () = self.shutdown.begun() => Err(StopReason::Shutdown),
            _ = phase.wait_for(|phase| phase.stops()) => Err(StopReason::CircuitOpen),
            () = self.monitor.away() => Err(StopReason::DatabaseDown),
            next = next => next,
        }
    }

    async fn begin(
        &self,
        delivery: Delivery,
        slot: OwnedSemaphorePermit,
        slots: &Arc<Semaphore>,
        tracker: &TaskTracker,
    ) {
        let messages: Vec<_> = delivery.job.messages().collect();
        let progress = Arc::new(Progress::new(delivery, messages.len()));
        let mut slot = Some(slot);
        for message in messages {
            let permit = match slot.take() {
                Some(slot) => slot,
                None => {
                    let acquired = tokio::select! {
                        slot = Arc::clone(slots).acquire_owned() => slot.ok(),
                        () = self.shutdown.begun() => None,
                    };
                    // The rest of the job is not begun, so the job is requeued when its progress is dropped.
                    let Some(acquired) = acquired else { return };
                    acquired
                }
            };
            let (sender, progress) = (Arc::clone(&self.sender), Arc::clone(&progress));
            tracker.spawn(async move {
                let handled = sender.handle(message).await;
                progress.add(handled);
                drop(permit);
            });
        }
    }
}

/// The progress of a job. When it is dropped, the job is acknowledged if all its messages are done, and requeued otherwise.
#[derive(Debug)]
struct Progress {
    delivery: Option<Delivery>,
    left: AtomicUsize,
    requeue: AtomicBool,
}

impl Progress {
    fn new(delivery: Delivery, messages: usize) -> Self {
        Self { delivery: Some(delivery), left: AtomicUsize::new(messages), requeue: AtomicBool::new(false) }
    }

    fn add(&self, handled: Handled) {
        self.left.fetch_sub(1, Ordering::AcqRel);
        if handled == Handled::Requeue {
            self.requeue.store(true, Ordering::Release);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let Some(delivery) = self.delivery.take() else { return };
        // A message whose handling panicked was not counted. Its claim ends it in any case, so the second delivery of its job is
        // not needed, but harmless.
        let requeue = self.requeue.load(Ordering::Acquire) || self.left.load(Ordering::Acquire) > 0;
        tokio::spawn(async move { if requeue { delivery.requeue().await } else { delivery.ack().await } });
    }
}
