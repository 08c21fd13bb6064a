//! What the simulated gateway took, as it says itself.

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
use super::tally::Times;
use crate::BenchError;

/// With nothing taken for so long, something is broken.
const STALLED: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Stats {
    accepted: u64,
}

/// The gateway's counters.
#[derive(Debug)]
pub struct Counter {
    client: Client,
    request: Vec<u8>,
}

impl Counter {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(simulator: SocketAddr) -> Self {
        Self { client: Client::new(simulator), request: request(simulator, "/stats.json") }
    }

    /// Messages taken since its start.
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

/// Lets requests through as long as not too many messages are on their way.
#[derive(Debug)]
pub struct Gate {
    most: u64,
    /// Asked for, and neither refused nor taken by the gateway.
    asked: Cell<u64>,
    taken: Cell<u64>,
    moved: Notify,
}

impl Gate {
    /// Nothing is on its way.
    #[must_use]
    pub fn new(most: u64) -> Self {
        Self { most, asked: Cell::new(0), taken: Cell::new(0), moved: Notify::new() }
    }

    /// Waits for room.
    ///
    /// # Errors
    /// When the gateway takes nothing any more.
    pub async fn enter(&self) -> Result<(), BenchError> {
        while self.asked.get() - self.taken.get().min(self.asked.get()) >= self.most {
            tokio::time::timeout(STALLED, self.moved.notified()).await.map_err(|_| {
                let (asked, taken) = (self.asked.get(), self.taken.get());
                BenchError::Worthless(format!("nothing is sent any more: {asked} asked for, {taken} taken"))
            })?;
        }
        self.asked.set(self.asked.get() + 1);
        Ok(())
    }

    /// A request that came to nothing.
    pub fn withdraw(&self) {
        self.asked.set(self.asked.get() - 1);
    }

    /// What the gateway has taken of these.
    pub fn taken(&self, taken: u64) {
        if self.taken.replace(taken) != taken {
            self.moved.notify_waiters();
        }
    }

    /// Lets all through who wait.
    pub fn open(&self) {
        self.taken.set(u64::MAX);
        self.moved.notify_waiters();
    }
}

#[derive(Deserialize)]
struct Taken {
    id: u64,
    to: String,
    received_at: Timestamp,
}

/// Compares when a message was meant to be asked for with when the gateway took it.
#[derive(Debug, Default)]
pub struct Arrivals {
    meant: RefCell<HashMap<u64, Timestamp>>,
    times: RefCell<Times>,
}

impl Arrivals {
    /// A message to this number was meant to be asked for at `at`.
    pub fn expect(&self, number: u64, at: Timestamp) {
        self.meant.borrow_mut().insert(number, at);
    }

    /// How many have not arrived.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.meant.borrow().len()
    }

    /// How long they took.
    #[must_use]
    pub(super) fn times(&self) -> std::cell::Ref<'_, Times> {
        self.times.borrow()
    }

    fn arrived(&self, message: &Taken) {
        let number = message.to.parse().ok();
        if let Some(meant) = number.and_then(|number| self.meant.borrow_mut().remove(&number)) {
            self.times.borrow_mut().record(message.received_at - meant);
        }
    }
}

/// Reads the gateway's log as it grows.
#[derive(Debug)]
pub struct Log {
    client: Client,
    simulator: SocketAddr,
    since: u64,
}

impl Log {
    /// Begins after what is there already.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub async fn from_now(simulator: SocketAddr) -> Result<Self, BenchError> {
        // Ids count up by one from 1, so the number of messages is the last one's id.
        let since = Counter::new(simulator).taken().await?;
        Ok(Self { client: Client::new(simulator), simulator, since })
    }

    /// What came since the last look.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub async fn read(&mut self, arrivals: &Arrivals) -> Result<(), BenchError> {
        let request = request(self.simulator, &format!("/log.json?since={}", self.since));
        let answer = self.client.call(&request).await?;
        for message in serde_json::from_slice::<Vec<Taken>>(answer.body)? {
            self.since = self.since.max(message.id);
            arrivals.arrived(&message);
        }
        Ok(())
    }
}

/// Messages a second between two moments.
#[derive(Debug)]
pub struct Slope {
    watch: Stopwatch,
    taken: u64,
}

impl Slope {
    /// Begins here.
    #[must_use]
    pub fn from(taken: u64) -> Self {
        Self { watch: Stopwatch::start(), taken }
    }

    /// Ends here.
    #[must_use]
    pub fn to(&self, taken: u64) -> f64 {
        taken.saturating_sub(self.taken) as f64 / self.watch.elapsed().as_secs_f64().max(f64::EPSILON)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_gate_holds_back_until_the_gateway_has_taken() {
        let gate = Gate::new(2);
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
        assert!(futures_util::poll!(&mut fourth).is_pending(), "nobody was told");
        gate.taken(2);
        fourth.await.unwrap();
    }

    #[test]
    fn an_arrival_is_measured_from_when_it_was_meant() {
        let arrivals = Arrivals::default();
        arrivals.expect(9_812_345_678, Timestamp::from_millis(1_000));
        arrivals.expect(9_812_345_679, Timestamp::from_millis(1_000));
        for to in ["9812345678", "9800000000"] {
            let received_at = Timestamp::from_millis(1_250);
            arrivals.arrived(&Taken { id: 1, to: to.to_owned(), received_at });
        }
        assert_eq!(arrivals.missing(), 1);
        let summary = arrivals.times().summary();
        assert_eq!(summary.count, 1);
        assert!((summary.max - 250.0).abs() < 1.0);
    }
}
