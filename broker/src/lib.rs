//! The seam to the broker: RabbitMQ in production, memory in the one-process shape.
//!
//! The broker is a fast road, not the book of record. Every message row in the store is its own outbox entry, so a
//! job that is lost here is published again, and a job that comes twice is refused by the claim. That is why
//! nothing here waits for a broker to come back before it answers a publisher, and why acks are allowed to get lost.

use std::fmt::Debug;

use async_trait::async_trait;
use tokio::sync::watch;

use hulak_common::job::{SendJob, StatusEvent};
use hulak_common::time::Timestamp;

pub mod amqp;
pub mod memory;

pub use amqp::AmqpBroker;
pub use memory::MemoryBroker;

/// Names of everything on the broker, so that deployments and tests can share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    prefix: String,
}

impl Topology {
    /// Names that begin with this prefix. Keep it short: AMQP bounds a name to 255 bytes.
    #[must_use]
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// The queue of jobs.
    #[must_use]
    pub fn send_queue(&self) -> String {
        format!("{}.send", self.prefix)
    }

    /// The exchange and the queue of dead letters, which share a name.
    #[must_use]
    pub fn dead(&self) -> String {
        format!("{}.dead", self.prefix)
    }

    /// The fan-out exchange of status events.
    #[must_use]
    pub fn events_exchange(&self) -> String {
        format!("{}.events", self.prefix)
    }
}

impl Default for Topology {
    fn default() -> Self {
        Self::new("hulak")
    }
}

/// Why a job or an event was not taken over by the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No connection, or the broker takes nothing at the moment. Surely not published.
    #[error("the broker is not available")]
    Unavailable,
    /// The broker said no: the queue is full, or missing. Surely not published.
    #[error("the broker refused the job")]
    Refused,
    /// The broker did not say. Perhaps published.
    #[error("the broker did not confirm the job")]
    Unconfirmed,
}

/// Why the broker cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// The address is not one. Never repeats the address, which holds a password.
    #[error("the broker's URL {0}")]
    Url(&'static str),
    /// There is no connection right now.
    #[error("the broker is not available")]
    Unavailable,
    /// The broker answered with an error.
    #[error("the broker answered: {0}")]
    Failed(String),
    /// [`Broker::close`] was called.
    #[error("the broker connection was closed")]
    Closed,
}

/// How the broker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerHealth {
    /// Connected.
    Up,
    /// Connected, but out of memory or disk: it takes no messages until that is over. Consuming goes on.
    Blocked,
    /// Not connected, or only in part. Being tried.
    Down,
}

/// A message that nobody could handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The beginning of its payload, with anything that is not UTF-8 replaced. Never log it: nobody knows what it is.
    pub payload: String,
    /// Why it died, in the broker's word: `rejected`, `delivery_limit`, …
    pub reason: String,
    /// When it died, if the broker says.
    pub died_at: Option<Timestamp>,
}

/// How many messages wait in the queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depths {
    /// Jobs for the workers.
    pub send: u64,
    /// Dead letters.
    pub dead: u64,
}

/// What API and workers need of a broker.
#[async_trait]
pub trait Broker: Send + Sync + Debug + 'static {
    /// Publishes the jobs, and answers for each, in order.
    ///
    /// All are written before the first confirmation is awaited. Answers at once when there is no connection, and
    /// after ten seconds at the latest. Dropping the future leaves open what was published.
    async fn publish(&self, jobs: &[SendJob]) -> Vec<Result<(), PublishError>>;

    /// Waits until connected, then starts consuming, with at most `prefetch` (at least 1) unacknowledged jobs at a
    /// time. Drop the future to stop waiting.
    ///
    /// # Errors
    /// [`BrokerError::Closed`] only: everything else is waited out.
    async fn consume(&self, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError>;

    /// Tells every subscriber, if it can: these are hints, so nothing is kept and nothing is confirmed.
    ///
    /// # Errors
    /// When they surely did not get on their way.
    async fn announce(&self, events: &[StatusEvent]) -> Result<(), PublishError>;

    /// Waits until connected, then listens to events from here on. Drop the future to stop waiting.
    ///
    /// # Errors
    /// [`BrokerError::Closed`] only.
    async fn subscribe(&self) -> Result<Box<dyn Subscription>, BrokerError>;

    /// How it is doing, and whenever that changes.
    fn health(&self) -> watch::Receiver<BrokerHealth>;

    /// How many messages wait in the queues; those in workers' hands are not counted. Answers within some seconds.
    ///
    /// # Errors
    /// When the broker cannot be asked now.
    async fn depths(&self) -> Result<Depths, BrokerError>;

    /// How many dead letters there are.
    ///
    /// # Errors
    /// When the broker cannot be asked now.
    async fn dead_count(&self) -> Result<u64, BrokerError>;

    /// Throws the dead letters away, and tells how many those were.
    ///
    /// # Errors
    /// When the broker cannot be asked now.
    async fn purge_dead(&self) -> Result<u64, BrokerError>;

    /// Looks at the oldest dead letters (at most `limit`, at most 100) and leaves them where they are.
    ///
    /// # Errors
    /// When the broker cannot be asked now.
    async fn peek_dead(&self, limit: usize) -> Result<Vec<DeadLetter>, BrokerError>;

    /// Says goodbye to the broker, within a few seconds. What is not acknowledged goes back to the queue; consumers
    /// and subscriptions end; publishing answers [`PublishError::Unavailable`]. Again: nothing happens.
    async fn close(&self);
}

/// A worker's end of the queue.
#[async_trait]
pub trait Consumer: Send {
    /// The next job. `None`: the connection is gone, call [`Broker::consume`] again.
    ///
    /// May be dropped and called again without losing a job.
    async fn next(&mut self) -> Option<Delivery>;

    /// Gives back to the queue whatever is not acknowledged yet, delivered or not. To finish what is under way,
    /// finish it and acknowledge before calling this. Dropping the consumer does the same, a little later.
    async fn close(self: Box<Self>);
}

/// An API process's ear for events.
#[async_trait]
pub trait Subscription: Send {
    /// The next events. `None`: the connection is gone, call [`Broker::subscribe`] again, and expect to have missed
    /// something. Events are also dropped, the oldest first, for a subscriber that falls far behind.
    async fn next(&mut self) -> Option<Vec<StatusEvent>>;
}

/// A job in a worker's hands.
///
/// Dropped without [`ack`](Self::ack) or [`requeue`](Self::requeue) it goes back to the queue when the consumer or
/// its connection closes (in memory: at once), and comes again marked as redelivered.
#[must_use = "acknowledge it, or it comes again"]
#[derive(Debug)]
pub struct Delivery {
    /// The job.
    pub job: SendJob,
    /// Whether it was delivered before. Perhaps not to us, and perhaps nobody began with it.
    pub redelivered: bool,
    handle: Handle,
}

/// The way back of a delivery.
#[derive(Debug)]
enum Handle {
    Amqp(amqp::AmqpHandle),
    Memory(memory::MemoryHandle),
}

impl Delivery {
    /// It is done with. Harmless when the connection is lost: the job then comes again, which a claim notices.
    pub async fn ack(self) {
        match self.handle {
            Handle::Amqp(handle) => handle.ack().await,
            Handle::Memory(handle) => handle.ack(),
        }
    }

    /// Gives it back for anybody to take, at once. Not a way to wait: a job given back comes again immediately.
    pub async fn requeue(self) {
        match self.handle {
            Handle::Amqp(handle) => handle.requeue().await,
            Handle::Memory(handle) => handle.requeue(),
        }
    }
}
