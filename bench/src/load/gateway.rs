//! What the simulated gateway has accepted, as it reports itself.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use hulak_common::clock::Stopwatch;
use hulak_common::time::Timestamp;
use serde::Deserialize;
use tokio::sync::Notify;

use super::client::Client;
use super::requests::head;
use crate::error::BenchError;
use crate::latency::LatencyHistogram;

/// When the gateway accepts nothing for this long, the run has failed.
const STALL_LIMIT: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Stats {
    accepted: u64,
}

/// Reads how many messages the gateway has accepted.
#[derive(Debug)]
pub struct GatewayCounter {
    client: Client,
    request: Vec<u8>,
}

impl GatewayCounter {
    /// A counter without a connection yet.
    #[must_use]
    pub fn new(simulator: SocketAddr) -> Self {
        Self { client: Client::new(simulator), request: request(simulator, "/stats.json") }
    }

    /// Messages accepted since the gateway's start.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn taken(&mut self) -> Result<u64, BenchError> {
        let answer = self.client.call(&self.request).await?;
        Ok(serde_json::from_slice::<Stats>(answer.body)?.accepted)
    }
}

fn request(simulator: SocketAddr, path: &str) -> Vec<u8> {
    let mut request = format!("GET {path}").into_bytes();
    request.extend_from_slice(&head(simulator, "-"));
    request.extend_from_slice(b"\r\n");
    request
}

/// Lets requests through while not too many messages are accepted by the API and not sent yet.
#[derive(Debug)]
pub struct BacklogGate {
    most: u64,
    /// Requested, and neither refused by the API nor accepted by the gateway.
    asked: Cell<u64>,
    taken: Cell<u64>,
    changed: Notify,
}

impl BacklogGate {
    /// An open gate.
    #[must_use]
    pub fn new(most: u64) -> Self {
        Self { most, asked: Cell::new(0), taken: Cell::new(0), changed: Notify::new() }
    }

    /// Waits for room.
    ///
    /// # Errors
    /// When the gateway accepts nothing any more.
    pub async fn enter(&self) -> Result<(), BenchError> {
        while self.asked.get() - self.taken.get().min(self.asked.get()) >= self.most {
            tokio::time::timeout(STALL_LIMIT, self.changed.notified()).await.map_err(|_| {
                let (asked, taken) = (self.asked.get(), self.taken.get());
                BenchError::Invalid(format!(
                    "nothing is sent any more: {asked} requested, {taken} accepted by the gateway"
                ))
            })?;
        }
        self.asked.set(self.asked.get() + 1);
        Ok(())
    }

    /// Takes back a request that the API refused.
    pub fn withdraw(&self) {
        self.asked.set(self.asked.get() - 1);
    }

    /// Sets how many of these messages the gateway has accepted.
    pub fn taken(&self, taken: u64) {
        if self.taken.replace(taken) != taken {
            self.changed.notify_waiters();
        }
    }

    /// Lets all waiting requests through.
    pub fn open(&self) {
        self.taken.set(u64::MAX);
        self.changed.notify_waiters();
    }
}

#[derive(Deserialize)]
struct Taken {
    id: u64,
    to: String,
    received_at: Timestamp,
}

/// The time from when a request was due until the gateway accepted its message.
#[derive(Debug, Default)]
pub struct DeliveryTimes {
    due: RefCell<HashMap<u64, Timestamp>>,
    latencies: RefCell<LatencyHistogram>,
}

impl DeliveryTimes {
    /// Expects a message to this number, whose request was due at `at`.
    pub fn expect(&self, number: u64, at: Timestamp) {
        self.due.borrow_mut().insert(number, at);
    }

    /// Messages that have not arrived.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.due.borrow().len()
    }

    /// How long the messages took.
    #[must_use]
    pub(super) fn latencies(&self) -> std::cell::Ref<'_, LatencyHistogram> {
        self.latencies.borrow()
    }

    fn arrived(&self, message: &Taken) {
        let number = message.to.parse().ok();
        if let Some(due) = number.and_then(|number| self.due.borrow_mut().remove(&number)) {
            self.latencies.borrow_mut().record(message.received_at - due);
        }
    }
}

/// Reads the gateway's log as it grows.
#[derive(Debug)]
pub struct GatewayLog {
    client: Client,
    simulator: SocketAddr,
    since: u64,
}

impl GatewayLog {
    /// A log from the newest message on.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub async fn from_now(simulator: SocketAddr) -> Result<Self, BenchError> {
        // Ids count up by one from 1, so that the count of messages is the last id.
        let since = GatewayCounter::new(simulator).taken().await?;
        Ok(Self { client: Client::new(simulator), simulator, since })
    }

    /// Reads the messages since the last read.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub async fn read(&mut self, deliveries: &DeliveryTimes) -> Result<(), BenchError> {
        let request = request(self.simulator, &format!("/log.json?since={}", self.since));
        let answer = self.client.call(&request).await?;
        for message in serde_json::from_slice::<Vec<Taken>>(answer.body)? {
            self.since = self.since.max(message.id);
            deliveries.arrived(&message);
        }
        Ok(())
    }
}

/// Messages a second between two moments.
#[derive(Debug)]
pub struct Throughput {
    watch: Stopwatch,
    taken: u64,
}

impl Throughput {
    /// Begins with this count.
    #[must_use]
    pub fn from(taken: u64) -> Self {
        Self { watch: Stopwatch::start(), taken }
    }

    /// The rate until this count.
    #[must_use]
    pub fn until(&self, taken: u64) -> f64 {
        taken.saturating_sub(self.taken) as f64 / self.watch.elapsed().as_secs_f64().max(f64::EPSILON)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_gate_holds_back_until_the_gateway_has_taken() {
        let gate = BacklogGate::new(2);
        gate.enter().await.unwrap();
        gate.enter().await.unwrap();
        let third = gate.enter();
        tokio::pin!(third);
        assert!(futures_util::poll!(&mut third).is_pending());
        gate.taken(1);
        third.await.unwrap();
        let fourth = gate.enter();
        tokio::pin!(fourth);
        assert!(futures_util::poll!(&mut fourth).is_pending());
        gate.withdraw();
        gate.taken(1);
        assert!(futures_util::poll!(&mut fourth).is_pending(), "the gate is still at its limit");
        gate.taken(2);
        fourth.await.unwrap();
    }

    #[test]
    fn a_delivery_is_measured_from_when_its_request_was_due() {
        let deliveries = DeliveryTimes::default();
        deliveries.expect(9_812_345_678, Timestamp::from_millis(1_000));
        deliveries.expect(9_812_345_679, Timestamp::from_millis(1_000));
        for to in ["9812345678", "9800000000"] {
            let received_at = Timestamp::from_millis(1_250);
            deliveries.arrived(&Taken { id: 1, to: to.to_owned(), received_at });
        }
        assert_eq!(deliveries.missing(), 1);
        let summary = deliveries.latencies().summary();
        assert_eq!(summary.count, 1);
        assert!((summary.max - 250.0).abs() < 1.0);
    }
}
