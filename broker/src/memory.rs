//! A broker inside the process: a bounded queue of jobs and a broadcast of events.
//!
//! Nothing survives the process, and nothing has to: the relay publishes again every message that is due in the store.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::contract::{
    Broker, BrokerError, BrokerHealth, Consumer, DeadLetter, Delivery, Depths, PublishError, Settle,
    Subscription,
};
use hulak_common::job::{MAX_EVENTS, SendJob, StatusEvent};

/// Jobs held at most, waiting and delivered together.
const CAPACITY: usize = 10_000;
/// Batches of events a subscriber may lag behind before it misses some.
const EVENT_BATCHES: usize = 1_024;

/// The in-process [`Broker`].
pub struct MemoryBroker {
    shared: Arc<Shared>,
    events: broadcast::Sender<Arc<[StatusEvent]>>,
    health: watch::Sender<BrokerHealth>,
}

struct Shared {
    jobs: Mutex<Jobs>,
    /// One permit for every waiting job, so that waiting for a job is fair and may be dropped at any time.
    waiting: Semaphore,
    capacity: usize,
    closed: CancellationToken,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Waiting>,
    /// Delivered jobs by tag, with their consumer. They count towards the capacity, so that a job that is returned
    /// always finds room.
    in_flight: HashMap<u64, (u64, SendJob)>,
    last_number: u64,
}

struct Waiting {
    job: SendJob,
    redelivered: bool,
}

impl Jobs {
    /// A number for a consumer or a delivery, never used before.
    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

impl MemoryBroker {
    /// A broker for up to ten thousand jobs.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::with_capacity(CAPACITY)
    }

    /// A broker for up to `capacity` jobs.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::new(Shared {
                jobs: Mutex::default(),
                waiting: Semaphore::new(0),
                capacity,
                closed: CancellationToken::new(),
            }),
            events: broadcast::Sender::new(EVENT_BATCHES),
            health: watch::Sender::new(BrokerHealth::Up),
        })
    }
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let jobs = self.shared.lock();
        f.debug_struct("MemoryBroker")
            .field("waiting", &jobs.waiting.len())
            .field("in_flight", &jobs.in_flight.len())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: &SendJob) -> Result<(), PublishError> {
        let mut jobs = self.lock();
        if jobs.waiting.len() + jobs.in_flight.len() >= self.capacity {
            return Err(PublishError::Refused);
        }
        jobs.waiting.push_back(Waiting { job: job.clone(), redelivered: false });
        self.waiting.add_permits(1);
        Ok(())
    }

    /// Takes the oldest job, once a permit of `waiting` says that there is one.
    fn take(&self, consumer: u64) -> Option<(u64, Waiting)> {
        let mut jobs = self.lock();
        let waiting = jobs.waiting.pop_front()?;
        let tag = jobs.number();
        jobs.in_flight.insert(tag, (consumer, waiting.job.clone()));
        Some((tag, waiting))
    }

    fn ack(&self, tag: u64) {
        self.lock().in_flight.remove(&tag);
    }

    /// Returns a job to the front of the queue, unless it was acknowledged or returned before.
    fn give_back(&self, tag: u64) {
        let mut jobs = self.lock();
        if let Some((_, job)) = jobs.in_flight.remove(&tag) {
            jobs.waiting.push_front(Waiting { job, redelivered: true });
            self.waiting.add_permits(1);
        }
    }

    fn give_back_all_of(&self, consumer: u64) {
        let mut tags: Vec<u64> = {
            let jobs = self.lock();
            jobs.in_flight.iter().filter(|(_, (owner, _))| *owner == consumer).map(|(tag, _)| *tag).collect()
        };
        // The youngest first, so that the oldest ends up in front.
        tags.sort_unstable_by(|a, b| b.cmp(a));
        tags.into_iter().for_each(|tag| self.give_back(tag));
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    async fn publish(&self, jobs: &[SendJob]) -> Vec<Result<(), PublishError>> {
        if self.shared.closed.is_cancelled() {
            return vec![Err(PublishError::Unavailable); jobs.len()];
        }
        jobs.iter().map(|job| self.shared.push(job)).collect()
    }

    async fn consume(&self, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        if self.shared.closed.is_cancelled() {
            return Err(BrokerError::Closed);
        }
        Ok(Box::new(MemoryConsumer {
            number: self.shared.lock().number(),
            shared: Arc::clone(&self.shared),
            hands: Arc::new(Semaphore::new(usize::from(prefetch.max(1)))),
        }))
    }

    async fn announce(&self, events: &[StatusEvent]) -> Result<(), PublishError> {
        if self.shared.closed.is_cancelled() {
            return Err(PublishError::Unavailable);
        }
        for batch in events.chunks(MAX_EVENTS) {
            // An error only means that there is no subscriber.
            let _ = self.events.send(batch.into());
        }
        Ok(())
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, BrokerError> {
        if self.shared.closed.is_cancelled() {
            return Err(BrokerError::Closed);
        }
        let closed = self.shared.closed.clone();
        Ok(Box::new(MemorySubscription { events: self.events.subscribe(), closed }))
    }

    fn health(&self) -> watch::Receiver<BrokerHealth> {
        self.health.subscribe()
    }

    async fn depths(&self) -> Result<Depths, BrokerError> {
        Ok(Depths { send: self.shared.lock().waiting.len() as u64, dead: 0 })
    }

    /// Always none: this program itself made every job in the queue.
    async fn dead_count(&self) -> Result<u64, BrokerError> {
        Ok(0)
    }

    async fn purge_dead(&self) -> Result<u64, BrokerError> {
        Ok(0)
    }

    async fn peek_dead(&self, _limit: usize) -> Result<Vec<DeadLetter>, BrokerError> {
        Ok(Vec::new())
    }

    async fn close(&self) {
        self.shared.closed.cancel();
        self.shared.waiting.close();
        self.health.send_replace(BrokerHealth::Down);
    }
}

struct MemoryConsumer {
    number: u64,
    shared: Arc<Shared>,
    /// One permit for every job it may hold at a time.
    hands: Arc<Semaphore>,
}

#[async_trait]
impl Consumer for MemoryConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        let closed = self.shared.closed.clone();
        let hand = tokio::select! {
            biased;
            () = closed.cancelled() => return None,
            hand = Arc::clone(&self.hands).acquire_owned() => hand.ok()?,
        };
        self.shared.waiting.acquire().await.ok()?.forget();
        let (tag, Waiting { job, redelivered }) = self.shared.take(self.number)?;
        let handle = MemoryHandle { tag, shared: Arc::clone(&self.shared), _hand: hand };
        Some(Delivery { job, redelivered, handle: Box::new(handle) })
    }

    async fn close(self: Box<Self>) {}
}

impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        self.shared.give_back_all_of(self.number);
    }
}

/// A delivery from memory: returns the job to the queue when dropped.
struct MemoryHandle {
    tag: u64,
    shared: Arc<Shared>,
    _hand: OwnedSemaphorePermit,
}

#[async_trait]
impl Settle for MemoryHandle {
    /// The drop that follows finds no job to return.
    async fn ack(self: Box<Self>) {
        self.shared.ack(self.tag);
    }

    /// The drop returns the job.
    async fn requeue(self: Box<Self>) {}
}

impl Drop for MemoryHandle {
    fn drop(&mut self) {
        self.shared.give_back(self.tag);
    }
}

impl fmt::Debug for MemoryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryHandle").field(&self.tag).finish()
    }
}

struct MemorySubscription {
    events: broadcast::Receiver<Arc<[StatusEvent]>>,
    closed: CancellationToken,
}

#[async_trait]
impl Subscription for MemorySubscription {
    async fn next(&mut self) -> Option<Vec<StatusEvent>> {
        loop {
            let received = tokio::select! {
                biased;
                () = self.closed.cancelled() => return None,
                received = self.events.recv() => received,
            };
            match received {
                Ok(events) => return Some(events.to_vec()),
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    tracing::debug!(missed, "a subscriber fell behind and missed events");
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}
