//! Takes jobs from the broker, as many messages at a time as this worker may have in hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hulak_broker::{Broker, Consumer, Delivery};
use hulak_runtime::shutdown::Shutdown;
use hulak_store::Monitor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::breaker::Breaker;
use crate::sender::{Handled, Sender};

/// What consuming takes.
#[derive(Debug)]
pub struct Intake {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// Sends the messages.
    pub sender: Arc<Sender>,
    /// The circuit to the gateway.
    pub breaker: Arc<Breaker>,
    /// How the database is doing.
    pub monitor: Monitor,
    /// Calls to the gateway at a time.
    pub concurrency: u16,
    /// When to stop.
    pub shutdown: Shutdown,
}

/// Why no more jobs are taken for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    Stopping,
    CircuitOpen,
    DatabaseAway,
    BrokerGone,
}

impl Intake {
    /// Consumes until the stop. While the circuit is open, sending paused or the database away it does not: the jobs stay with the
    /// broker, the messages in the store.
    pub async fn run(self) {
        let slots = Arc::new(Semaphore::new(usize::from(self.places())));
        while !self.shutdown.has_begun() {
            let Some(mut consumer) = self.open().await else { return };
            let tracker = TaskTracker::new();
            let pause = loop {
                match self.next(&mut *consumer, &slots).await {
                    Ok((delivery, slot)) => self.begin(delivery, slot, &slots, &tracker).await,
                    Err(pause) => break pause,
                }
            };
            tracing::debug!(?pause, "taking no more jobs");
            // What has begun is finished and acknowledged on the connection it came by.
            tracker.close();
            tokio::select! { () = tracker.wait() => {}, () = self.shutdown.aborted() => {} }
            consumer.close().await;
        }
    }

    /// Messages in hand at a time: half as many again as there may be calls, so that the gateway does not wait while the
    /// database claims the next ones and records the last ones.
    const fn places(&self) -> u16 {
        self.concurrency.saturating_add(self.concurrency / 2)
    }

    async fn open(&self) -> Option<Box<dyn Consumer>> {
        let mut phase = self.breaker.phase();
        let opened = async {
            self.monitor.up().await;
            // The breaker outlives this call, so waiting cannot fail.
            let _ready = phase.wait_for(|phase| !phase.stops()).await.map(|phase| *phase);
            self.broker.consume(self.places()).await.ok()
        };
        tokio::select! { consumer = opened => consumer, () = self.shutdown.begun() => None }
    }

    /// The next job, with a slot for its first message: a job is not taken before there is room for it.
    async fn next(
        &self,
        consumer: &mut dyn Consumer,
        slots: &Arc<Semaphore>,
    ) -> Result<(Delivery, OwnedSemaphorePermit), Pause> {
        let mut phase = self.breaker.phase();
        let next = async {
            let slot = Arc::clone(slots).acquire_owned().await.map_err(|_| Pause::Stopping)?;
            let delivery = consumer.next().await.ok_or(Pause::BrokerGone)?;
            Ok((delivery, slot))
        };
        tokio::select! {
            biased;
            () = self.shutdown.begun() => Err(Pause::Stopping),
            _ = phase.wait_for(|phase| phase.stops()) => Err(Pause::CircuitOpen),
            () = self.monitor.away() => Err(Pause::DatabaseAway),
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
        let ticket = Arc::new(Ticket::new(delivery, messages.len()));
        let mut slot = Some(slot);
        for message in messages {
            let permit = match slot.take() {
                Some(slot) => slot,
                None => {
                    let acquired = tokio::select! {
                        slot = Arc::clone(slots).acquire_owned() => slot.ok(),
                        () = self.shutdown.begun() => None,
                    };
                    // The rest of the job is not begun: its ticket gives it back.
                    let Some(acquired) = acquired else { return };
                    acquired
                }
            };
            let (sender, ticket) = (Arc::clone(&self.sender), Arc::clone(&ticket));
            tracker.spawn(async move {
                let handled = sender.handle(message).await;
                ticket.note(handled);
                drop(permit);
            });
        }
    }
}

/// A job in work: acknowledged when the last of its messages is done, given back when one was not begun.
#[derive(Debug)]
struct Ticket {
    delivery: Option<Delivery>,
    left: AtomicUsize,
    give_back: AtomicBool,
}

impl Ticket {
    fn new(delivery: Delivery, messages: usize) -> Self {
        Self { delivery: Some(delivery), left: AtomicUsize::new(messages), give_back: AtomicBool::new(false) }
    }

    fn note(&self, handled: Handled) {
        self.left.fetch_sub(1, Ordering::AcqRel);
        if handled == Handled::GiveBack {
            self.give_back.store(true, Ordering::Release);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(delivery) = self.delivery.take() else { return };
        // A message whose handling panicked was not noted: its claim remembers it, so its job need not come again, but
        // nothing is lost when it does.
        let again = self.give_back.load(Ordering::Acquire) || self.left.load(Ordering::Acquire) > 0;
        tokio::spawn(async move { if again { delivery.requeue().await } else { delivery.ack().await } });
    }
}
