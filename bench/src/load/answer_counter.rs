//! Counts the answers of a command.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::latency::LatencyHistogram;
use crate::protocol::Outcome;

/// Bytes of an unexpected answer that are kept.
const EXAMPLE: usize = 300;

/// Counts answers.
#[derive(Debug, Default)]
pub(super) struct AnswerCounter {
    counting: Cell<bool>,
    done: Cell<u64>,
    statuses: RefCell<BTreeMap<u16, u64>>,
    unexpected: Cell<u64>,
    example: RefCell<Option<String>>,
    reconnects: Cell<u64>,
    latencies: RefCell<LatencyHistogram>,
}

impl AnswerCounter {
    /// Sets whether answers count from now on.
    pub(super) fn set_counting(&self, on: bool) {
        self.counting.set(on);
    }

    /// Whether answers count now.
    #[must_use]
    pub(super) fn is_counting(&self) -> bool {
        self.counting.get()
    }

    /// Counts an answer; its latency only with `measured`, when its request belongs to the sample.
    pub(super) fn answer(&self, status: u16, expected: bool, body: &[u8], took: Duration, measured: bool) {
        *self.statuses.borrow_mut().entry(status).or_default() += 1;
        if !expected {
            let text = String::from_utf8_lossy(&body[..body.len().min(EXAMPLE)]).into_owned();
            return self.report_error(format!("{status}: {text}"));
        }
        if measured {
            self.done.set(self.done.get() + 1);
            self.latencies.borrow_mut().record(took);
        }
    }

    /// Counts something unexpected, and keeps the first as an example.
    pub(super) fn report_error(&self, what: String) {
        self.unexpected.set(self.unexpected.get() + 1);
        self.example.borrow_mut().get_or_insert(what);
    }

    /// Counts reconnections.
    pub(super) fn reconnected(&self, count: u64) {
        self.reconnects.set(self.reconnects.get() + count);
    }

    /// The counts, of a sample of this many seconds.
    #[must_use]
    pub(super) fn outcome(&self, seconds: f64) -> Outcome {
        Outcome {
            seconds,
            done: self.done.get(),
            statuses: self.statuses.borrow().clone(),
            unexpected: self.unexpected.get(),
            example: self.example.borrow().clone(),
            reconnects: self.reconnects.get(),
            latency: self.latencies.borrow().summary(),
            ..Outcome::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_not_counted_as_work() {
        let answers = AnswerCounter::default();
        answers.answer(202, true, b"", Duration::from_millis(1), false);
        answers.answer(202, true, b"", Duration::from_millis(1), true);
        answers.answer(503, false, b"overloaded", Duration::from_millis(1), true);
        let outcome = answers.outcome(0.5);
        assert_eq!((outcome.done, outcome.unexpected, outcome.latency.count), (1, 1, 1));
        assert_eq!(outcome.example.as_deref(), Some("503: overloaded"));
        assert_eq!(outcome.statuses, BTreeMap::from([(202, 2), (503, 1)]));
        assert!((outcome.rate() - 2.0).abs() < f64::EPSILON);
    }
}
