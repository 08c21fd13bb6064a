//! A worker's calls of the gateway, and the rounds of its relay and reaper.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label};

use super::catalogue::{
    CALL_TIME, CALLS_MADE, CIRCUIT, CIRCUIT_OPENED, CREDITS, IN_FLIGHT, REAPED_CLAIMS, REAPED_VERIFICATIONS,
    RELAYED,
};
use hulak_common::text_enum::text_enum;

text_enum! {
    /// How a call of the gateway ended.
    Call {
        /// It took the message.
        Accepted => "accepted",
        /// It refused this message for good.
        Refused => "refused",
        /// It refused the account.
        Account => "account",
        /// It could not be reached, or asked to come back later.
        NotNow => "not_now",
        /// The outcome is not known.
        Unknown => "unknown",
    }
}

/// Counts a worker's work.
#[derive(Debug)]
pub struct WorkerMetrics {
    calls: Vec<Counter>,
    call_time: Histogram,
    credits: Gauge,
    circuit: Gauge,
    circuit_opened: Counter,
    in_flight: Gauge,
    /// Messages published by the relay.
    pub relayed: Counter,
    /// Verifications expired by the reaper.
    pub reaped_verifications: Counter,
    /// Claims taken back by the reaper.
    pub reaped_claims: Counter,
}

/// This process's metrics of its worker.
pub fn worker() -> &'static WorkerMetrics {
    static METRICS: OnceLock<WorkerMetrics> = OnceLock::new();
    METRICS.get_or_init(|| {
        let answer = |call: &Call| Label::from_static_parts("answer", call.as_str());
        let meter = WorkerMetrics {
            calls: Call::ALL.iter().map(|call| CALLS_MADE.counter(vec![answer(call)])).collect(),
            call_time: CALL_TIME.histogram(Vec::new()),
            credits: CREDITS.gauge(Vec::new()),
            circuit: CIRCUIT.gauge(Vec::new()),
            circuit_opened: CIRCUIT_OPENED.counter(Vec::new()),
            in_flight: IN_FLIGHT.gauge(Vec::new()),
            relayed: RELAYED.counter(Vec::new()),
            reaped_verifications: REAPED_VERIFICATIONS.counter(Vec::new()),
            reaped_claims: REAPED_CLAIMS.counter(Vec::new()),
        };
        meter.credits.set(f64::NAN);
        meter
    })
}

impl WorkerMetrics {
    /// Counts a call of the gateway.
    pub fn called(&self, call: Call, took: Duration) {
        if let Some(counter) = self.calls.get(call as usize) {
            counter.increment(1);
        }
        self.call_time.record(took.as_secs_f64());
    }

    /// Sets how many credits are left.
    pub fn credits(&self, left: f64) {
        self.credits.set(left);
    }

    /// Sets whether the circuit to the gateway is open.
    pub fn circuit(&self, open: bool) {
        self.circuit.set(if open { 1.0 } else { 0.0 });
    }

    /// Counts that the circuit has opened.
    pub fn circuit_opened(&self) {
        self.circuit_opened.increment(1);
    }

    /// A message is in flight from now until this is dropped.
    #[must_use]
    pub fn in_flight(&'static self) -> InFlight {
        self.in_flight.increment(1.0);
        InFlight(self)
    }
}

/// A message in flight.
#[derive(Debug)]
pub struct InFlight(&'static WorkerMetrics);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.decrement(1.0);
    }
}
