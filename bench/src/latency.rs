//! How long answers took.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::protocol::Latency;

/// Longer than any answer may take.
const LONGEST_US: u64 = 120_000_000;

/// Counts latencies in microseconds, to three digits.
#[derive(Debug)]
pub(crate) struct LatencyHistogram(Histogram<u64>);

impl Default for LatencyHistogram {
    #[expect(clippy::expect_used, reason = "the bounds are constants that the histogram takes")]
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, 3).expect("bounds that a histogram takes"))
    }
}

impl LatencyHistogram {
    /// Counts one latency.
    pub(crate) fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(LONGEST_US).max(1));
    }

    /// The quantiles, in milliseconds.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_milliseconds() {
        let mut latencies = LatencyHistogram::default();
        for millis in 1..=1_000 {
            latencies.record(Duration::from_millis(millis));
        }
        let summary = latencies.summary();
        assert_eq!(summary.count, 1_000);
        for (is, should) in [(summary.p50, 500.0), (summary.p99, 990.0), (summary.max, 1_000.0)] {
            assert!((is - should).abs() / should < 0.002, "{is} {should}");
        }
    }
}
