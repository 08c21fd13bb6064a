//! What a broker does for the API and the workers: the contract that RabbitMQ and the one in memory keep.

use std::fmt::Debug;

use async_trait::async_trait;
use tokio::sync::watch;

use hulak_common::job::{SendJob, StatusEvent};
use hulak_common::time::Timestamp;

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

/// Why the broker did not take a job or an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is no connection, or the broker is blocked. The message was not published.
    #[error("the broker is not available")]
    Unavailable,
    /// The broker refused it: the queue is full, or missing. The message was not published.
    #[error("the broker refused the job")]
    Refused,
    /// No confirm came. The message may have been published.
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

/// The state of the connections to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerHealth {
    /// Connected.
    Up,
    /// Connected, but the broker is short of memory or disk and blocks publishing. Consuming goes on.
    Blocked,
    /// At least one connection is missing; the supervisor keeps reconnecting.
    Down,
}

/// A dead letter: a message that no worker could read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The beginning of its payload, with anything that is not UTF-8 replaced. Never log it: it may hold anything.
    pub payload: String,
    /// Why it was dead-lettered, in the broker's word: `rejected`, `delivery_limit`, …
    pub reason: String,
    /// When it was dead-lettered, if the broker gives a time.
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

/// What the API and the workers need of a broker.
#[async_trait]
pub trait Broker: Send + Sync + Debug + 'static {
    /// Publishes the jobs, and answers for each, in order.
    ///
    /// All are written before the first confirm is awaited. It answers at once when there is no connection, and
    /// after ten seconds at the latest. If the future is dropped, any of the jobs may have been published.
    async fn publish(&self, jobs: &[SendJob]) -> Vec<Result<(), PublishError>>;

    /// Waits until connected, then starts consuming, with at most `prefetch` (at least 1) unacknowledged jobs at a
    /// time. Drop the future to stop waiting.
    ///
    /// # Errors
    /// [`BrokerError::Closed`] only: every other error is retried.
    async fn consume(&self, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError>;

    /// Sends events to every subscriber. They are hints: the broker neither stores nor confirms them.
    ///
    /// # Errors
    /// When the events were not sent.
    async fn announce(&self, events: &[StatusEvent]) -> Result<(), PublishError>;

    /// Waits until connected, then receives the events that are sent from then on. Drop the future to stop waiting.
    ///
    /// # Errors
    /// [`BrokerError::Closed`] only.
    async fn subscribe(&self) -> Result<Box<dyn Subscription>, BrokerError>;

    /// The state of the connections, and every change of it.
    fn health(&self) -> watch::Receiver<BrokerHealth>;

    /// How many messages wait in the queues; jobs that a worker has not acknowledged yet are not counted. Answers within some seconds.
    ///
    /// # Errors
    /// When the broker cannot be asked now.
    async fn depths(&self) -> Result<Depths, BrokerError>;

    /// How many dead letters there are.
    ///
    /// # Errors
    /// When the broker cannot be asked now.
    async fn dead_count(&self) -> Result<u64, BrokerError>;

    /// Deletes all dead letters, and returns how many there were.
    ///
    /// # Errors
    /// When the broker cannot be asked now.
    async fn purge_dead(&self) -> Result<u64, BrokerError>;

    /// Reads the oldest dead letters (at most `limit`, at most 100) without removing them.
    ///
    /// # Errors
    /// When the broker cannot be asked now.
    async fn peek_dead(&self, limit: usize) -> Result<Vec<DeadLetter>, BrokerError>;

    /// Closes the connections, within a few seconds. Unacknowledged jobs go back to the queue; consumers
    /// and subscriptions end; publishing answers [`PublishError::Unavailable`]. A second call does nothing.
    async fn close(&self);
}

/// A worker's consumer of the job queue.
#[async_trait]
pub trait Consumer: Send {
    /// The next job. `None`: the connection is gone, call [`Broker::consume`] again.
    ///
    /// May be dropped and called again without losing a job.
    async fn next(&mut self) -> Option<Delivery>;

    /// Returns every unacknowledged job to the queue, delivered or not. To keep the jobs under way,
    /// finish and acknowledge them before this call. Dropping the consumer does the same, a little later.
    async fn close(self: Box<Self>);
}

/// An API process's subscription to events.
#[async_trait]
pub trait Subscription: Send {
    /// The next events. `None`: the connection is gone, call [`Broker::subscribe`] again, and expect to have missed
    /// some. Events are also dropped, the oldest first, for a subscriber that falls far behind.
    async fn next(&mut self) -> Option<Vec<StatusEvent>>;
}

/// A job that was delivered to a worker.
///
/// Dropped without [`ack`](Self::ack) or [`requeue`](Self::requeue) it goes back to the queue when the consumer or
/// its connection closes (in memory: at once), and comes again marked as redelivered.
#[must_use = "acknowledge it, or it comes again"]
#[derive(Debug)]
pub struct Delivery {
    /// The job.
    pub job: SendJob,
    /// Whether it was delivered before, perhaps to another worker, which may not have begun with it.
    pub redelivered: bool,
    pub(crate) handle: Box<dyn Settle>,
}

/// Acknowledges or requeues one delivery.
#[async_trait]
pub(crate) trait Settle: Send + Sync + Debug {
    /// Acknowledges it.
    async fn ack(self: Box<Self>);
    /// Returns it to the queue.
    async fn requeue(self: Box<Self>);
}

impl Delivery {
    /// Acknowledges the job. If the connection is lost, the job is delivered again, and its claim answers that it is done.
    pub async fn ack(self) {
        self.handle.ack().await;
    }

    /// Returns the job to the queue, from where it is delivered again at once: this is no way to wait.
    pub async fn requeue(self) {
        self.handle.requeue().await;
    }
}
