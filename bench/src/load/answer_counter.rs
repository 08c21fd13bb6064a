//! What is counted while a piece of work goes on.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::protocol::{Latency, Outcome};

/// Longer than anything that is waited for.
const LONGEST_US: u64 = 120_000_000;
const EXAMPLE: usize = 300;

/// Microseconds, to three digits.
#[derive(Debug)]
pub(crate) struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        Self::new()
    }
}

impl Times {
    /// Empty.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the bounds are constants that the histogram takes")]
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, 3).expect("bounds that a histogram takes"))
    }

    /// One more.
    pub(crate) fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(LONGEST_US).max(1));
    }

    /// The figures, in milliseconds.
    #[must_use]
    pub(crate) fn summary(&self) -> Latency {
        let at = |share| self.0.value_at_quantile(share) as f64 / 1_000.0;
        Latency {
            count: self.0.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.0.max() as f64 / 1_000.0,
        }
    }
}

/// Counts answers.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counting: Cell<bool>,
    done: Cell<u64>,
    statuses: RefCell<BTreeMap<u16, u64>>,
    unexpected: Cell<u64>,
    example: RefCell<Option<String>>,
    reconnects: Cell<u64>,
    times: RefCell<Times>,
}

impl Tally {
    /// Whether answers count from now on.
    pub(super) fn count(&self, on: bool) {
        self.counting.set(on);
    }

    /// Whether they count.
    #[must_use]
    pub(super) fn counts(&self) -> bool {
        self.counting.get()
    }

    /// An answer. `measured`: whether its request belongs to the time that counts.
    pub(super) fn answer(&self, status: u16, expected: bool, body: &[u8], took: Duration, measured: bool) {
        *self.statuses.borrow_mut().entry(status).or_default() += 1;
        if !expected {
            let text = String::from_utf8_lossy(&body[..body.len().min(EXAMPLE)]).into_owned();
            return self.complain(format!("{status}: {text}"));
        }
        if measured {
            self.done.set(self.done.get() + 1);
            self.times.borrow_mut().record(took);
        }
    }

    /// Something that was not expected.
    pub(super) fn complain(&self, what: String) {
        self.unexpected.set(self.unexpected.get() + 1);
        self.example.borrow_mut().get_or_insert(what);
    }

    /// Connections that were made anew.
    pub(super) fn reconnected(&self, times: u64) {
        self.reconnects.set(self.reconnects.get() + times);
    }

    /// What it came to.
    #[must_use]
    pub(super) fn outcome(&self, seconds: f64) -> Outcome {
        Outcome {
            seconds,
            done: self.done.get(),
            statuses: self.statuses.borrow().clone(),
            unexpected: self.unexpected.get(),
            example: self.example.borrow().clone(),
            reconnects: self.reconnects.get(),
            latency: self.times.borrow().summary(),
            ..Outcome::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_milliseconds() {
        let mut times = Times::new();
        for millis in 1..=1_000 {
            times.record(Duration::from_millis(millis));
        }
        let summary = times.summary();
        assert_eq!(summary.count, 1_000);
        for (is, should) in [(summary.p50, 500.0), (summary.p99, 990.0), (summary.max, 1_000.0)] {
            assert!((is - should).abs() / should < 0.002, "{is} {should}");
        }
    }

    #[test]
    fn errors_are_not_counted_as_work() {
        let tally = Tally::default();
        tally.answer(202, true, b"", Duration::from_millis(1), false);
        tally.answer(202, true, b"", Duration::from_millis(1), true);
        tally.answer(503, false, b"overloaded", Duration::from_millis(1), true);
        let outcome = tally.outcome(0.5);
        assert_eq!((outcome.done, outcome.unexpected, outcome.latency.count), (1, 1, 1));
        assert_eq!(outcome.example.as_deref(), Some("503: overloaded"));
        assert_eq!(outcome.statuses, BTreeMap::from([(202, 2), (503, 1)]));
        assert!((outcome.rate() - 2.0).abs() < f64::EPSILON);
    }
}
