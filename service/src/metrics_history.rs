//! The counters of every process over the last day: rates, sums and times for the console.
//!
//! Each process stores its own metrics every few seconds, so that the console shows what Prometheus would. A process has a
//! new id at each start, so the counters under one id only grow.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use hulak_common::clock::SharedClock;
use hulak_common::time::Timestamp;
use hulak_runtime::shutdown::Shutdown;
use hulak_store::StoredSample;
use hulak_store::{Monitor, Store};

/// From one sample to the next. Sample times are whole multiples of it, so that the store can thin them out evenly.
pub const EVERY: Duration = Duration::from_secs(5);
/// A sample larger than this is not stored; an ordinary one has two or three KiB.
const MAX_BODY: usize = 64 * 1024;
/// How wide a bar of the last hour is.
pub const FINE: Duration = Duration::from_secs(60);
/// How wide a bar of the last day is.
pub const COARSE: Duration = Duration::from_secs(1_800);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Counters and gauges under short names: `created/ntc`, `messages/sent/ncell`, `gateway/ntc/0.5`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// When the process began.
    pub started_at: Timestamp,
    /// Counters; those that are zero are absent.
    pub counters: BTreeMap<String, u64>,
    /// Gauges.
    pub gauges: BTreeMap<String, f64>,
}

/// The metrics that are stored, their short names, and the labels that are appended to them.
const COUNTERS: &[(&str, &str, &[&str])] = &[
    ("hulak_verifications_created_total", "created", &["operator"]),
    ("hulak_verifications_ended_total", "ended", &["status", "operator"]),
    ("hulak_checks_total", "checks", &["result"]),
    ("hulak_messages_total", "messages", &["outcome", "operator"]),
    ("hulak_message_parts_total", "parts", &["operator"]),
    ("hulak_delivery_failures_total", "failures", &["reason"]),
    ("hulak_gateway_calls_total", "calls", &["answer"]),
];
const HISTOGRAMS: &[(&str, &str)] = &[
    ("hulak_request_to_gateway_seconds_bucket", "gateway"),
    ("hulak_request_to_approval_seconds_bucket", "approval"),
];
const GAUGES: &[&str] = &["hulak_gateway_credits", "hulak_outbox_waiting"];

impl Sample {
    /// Reads metrics in the text format of Prometheus.
    #[must_use]
    pub fn of_metrics(text: &str, started_at: Timestamp) -> Self {
        let mut sample = Self { started_at, ..Self::default() };
        // The cumulative count of the bucket before: the text gives each bucket with all below it.
        let mut below = HashMap::<String, u64>::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let label = |wanted: &str| label(labels, wanted).unwrap_or_default();
            if let Some((_, short, keys)) = COUNTERS.iter().find(|(known, ..)| *known == name) {
                let key =
                    keys.iter().fold((*short).to_owned(), |key, wanted| format!("{key}/{}", label(wanted)));
                sample.count(key, value as u64);
            } else if name == "hulak_http_requests_total" {
                sample.count(format!("requests/{}", class(label("status"))), value as u64);
            } else if let Some((_, short)) = HISTOGRAMS.iter().find(|(known, _)| *known == name) {
                let histogram = format!("{short}/{}", label("operator"));
                let lower = below.entry(histogram.clone()).or_default();
                let own = (value as u64).saturating_sub(*lower);
                *lower = value as u64;
                sample.count(format!("{histogram}/{}", label("le")), own);
            } else if GAUGES.contains(&name) && value.is_finite() {
                sample.gauges.insert(name.trim_start_matches("hulak_").to_owned(), value);
            }
        }
        sample
    }

    fn count(&mut self, key: String, value: u64) {
        if value > 0 {
            *self.counters.entry(key).or_default() += value;
        }
    }
}

fn label<'a>(labels: &'a str, wanted: &str) -> Option<&'a str> {
    labels.trim_end_matches('}').split(',').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name == wanted).then(|| value.trim_matches('"'))
    })
}

fn class(status: &str) -> &'static str {
    match status.as_bytes().first() {
        _ if status == "429" => "limited",
        Some(b'2' | b'3') => "good",
        Some(b'4') => "refused",
        _ => "failed",
    }
}

/// Stores this process's counters.
#[derive(Debug)]
pub struct Sampler {
    /// This process.
    pub process: Uuid,
    /// The store.
    pub store: Arc<Store>,
    /// The clock.
    pub clock: SharedClock,
}

impl Sampler {
    /// Stores a sample every [`EVERY`] until the stop. One that fails is left out: the next one holds its counts, too.
    pub async fn run(self, monitor: Monitor, shutdown: Shutdown) {
        let started_at = self.clock.now();
        loop {
            let wait = EVERY - Duration::from_millis(self.clock.now().as_millis().rem_euclid(5_000) as u64);
            tokio::select! { () = tokio::time::sleep(wait) => {}, () = shutdown.begun() => return }
            tokio::select! { () = monitor.up() => {}, () = shutdown.begun() => return }
            let at = align(self.clock.now(), EVERY);
            let sample = Sample::of_metrics(&hulak_runtime::metrics::render(), started_at);
            let Ok(body) = serde_json::to_string(&sample) else { continue };
            if body.len() > MAX_BODY {
                tracing::warn!(bytes = body.len(), "the sample of the counters is too large to be stored");
                continue;
            }
            let sample = StoredSample { process: self.process, at, body };
            if let Err(error) = self.store.put_sample(&sample).await {
                tracing::debug!(%error, "the counters were not stored");
            }
        }
    }
}

/// The last whole multiple of `step` before `at`.
fn align(at: Timestamp, step: Duration) -> Timestamp {
    let step = step.as_millis() as i64;
    Timestamp::from_millis(at.as_millis().div_euclid(step) * step)
}

/// A window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// The last hour, a minute a bar.
    Hour,
    /// The last day, half an hour a bar.
    Day,
}

impl Span {
    /// How wide a bar is.
    #[must_use]
    pub const fn step(self) -> Duration {
        match self {
            Self::Hour => FINE,
            Self::Day => COARSE,
        }
    }

    /// How long it is.
    #[must_use]
    pub const fn length(self) -> Duration {
        match self {
            Self::Hour => HOUR,
            Self::Day => DAY,
        }
    }
}

type Counts = HashMap<String, u64>;

/// What all processes counted, by time.
#[derive(Debug, Default)]
pub struct Board {
    processes: HashMap<Uuid, (Timestamp, Sample)>,
    fine: BTreeMap<Timestamp, Counts>,
    coarse: BTreeMap<Timestamp, Counts>,
    since: Option<Timestamp>,
}

impl Board {
    /// The time from which samples have to be read: a little before the newest one, because processes store at different times.
    #[must_use]
    pub fn wants(&self, now: Timestamp) -> Timestamp {
        let newest = self.processes.values().map(|(at, _)| *at).max();
        newest.map_or(now - DAY, |at| (at - Duration::from_secs(20)).max(now - DAY))
    }

    /// Adds samples, the oldest first. Samples that it has already are ignored.
    pub fn take(&mut self, stored: &[StoredSample]) {
        for one in stored {
            let Ok(sample) = serde_json::from_str::<Sample>(&one.body) else { continue };
            let since = *self.since.get_or_insert(one.at);
            let known = self.processes.get(&one.process);
            if known.is_some_and(|(at, _)| *at >= one.at) {
                continue;
            }
            match known {
                Some((_, before)) => {
                    let grown = grown(&before.counters, &sample.counters);
                    self.add(one.at, &grown);
                }
                // The process began after the first sample, so its first sample holds all its counts.
                None if sample.started_at >= since - EVERY => {
                    let counts: Vec<_> = sample.counters.iter().map(|(key, n)| (key.clone(), *n)).collect();
                    self.add(one.at, &counts);
                }
                None => {}
            }
            self.processes.insert(one.process, (one.at, sample));
        }
    }

    fn add(&mut self, at: Timestamp, counts: &[(String, u64)]) {
        // A sample counts what happened before it.
        let at = at - Duration::from_millis(1);
        for (bars, step) in [(&mut self.fine, FINE), (&mut self.coarse, COARSE)] {
            let bar = bars.entry(align(at, step)).or_default();
            for (key, count) in counts {
                *bar.entry(key.clone()).or_default() += count;
            }
        }
    }

    /// Drops bars that are too old, and processes that have stopped.
    pub fn trim(&mut self, now: Timestamp) {
        self.fine = self.fine.split_off(&align(now - HOUR - FINE, FINE));
        self.coarse = self.coarse.split_off(&align(now - DAY - COARSE, COARSE));
        self.processes.retain(|_, (at, _)| *at > now - HOUR);
    }

    fn bars(&self, span: Span) -> &BTreeMap<Timestamp, Counts> {
        match span {
            Span::Hour => &self.fine,
            Span::Day => &self.coarse,
        }
    }

    /// What was counted under names that begin like this, bar by bar, the oldest first; the last bar is not over yet.
    #[must_use]
    pub fn series(&self, prefix: &str, span: Span, now: Timestamp) -> Vec<u64> {
        let bars = self.bars(span);
        let steps = i64::try_from(span.length().as_millis() / span.step().as_millis()).unwrap_or(0);
        let last = align(now, span.step());
        (0..steps)
            .rev()
            .map(|back| {
                let at = Timestamp::from_millis(last.as_millis() - back * span.step().as_millis() as i64);
                bars.get(&at).map_or(0, |bar| sum(bar, prefix))
            })
            .collect()
    }

    /// What was counted under names that begin like this, in all of a span.
    #[must_use]
    pub fn total(&self, prefix: &str, span: Span, now: Timestamp) -> u64 {
        self.series(prefix, span, now).iter().sum()
    }

    /// What was counted within the last `minutes` whole minutes and the present one.
    #[must_use]
    pub fn recent(&self, prefix: &str, minutes: usize, now: Timestamp) -> u64 {
        self.series(prefix, Span::Hour, now).iter().rev().take(minutes + 1).sum()
    }

    /// The next parts of the names that begin with `prefix/`, with their sums.
    #[must_use]
    pub fn split(&self, prefix: &str, span: Span, now: Timestamp) -> BTreeMap<String, u64> {
        let mut parts = BTreeMap::new();
        let from = align(now - span.length() + span.step(), span.step());
        for bar in self.bars(span).range(from..).map(|(_, bar)| bar) {
            for (key, count) in bar {
                if let Some(rest) = key.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')) {
                    let part = rest.split('/').next().unwrap_or(rest);
                    *parts.entry(part.to_owned()).or_default() += count;
                }
            }
        }
        parts
    }

    /// The time below which a share of what a histogram measured lies, in seconds; `None` when nothing was measured.
    #[must_use]
    pub fn quantile(&self, histogram: &str, share: f64, span: Span, now: Timestamp) -> Option<f64> {
        let mut buckets: Vec<(f64, u64)> = self
            .split(histogram, span, now)
            .into_iter()
            .map(|(le, count)| (le.parse().unwrap_or(f64::INFINITY), count))
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        quantile(&buckets, share)
    }

    /// The newest value of a gauge, over all processes.
    #[must_use]
    pub fn gauge(&self, name: &str) -> Option<f64> {
        let told = self.processes.values().filter_map(|(at, sample)| Some((at, *sample.gauges.get(name)?)));
        told.max_by_key(|(at, _)| **at).map(|(_, value)| value)
    }

    /// The carriers that have counts.
    #[must_use]
    pub fn carriers(&self, now: Timestamp) -> Vec<String> {
        let mut all: Vec<_> = self.split("created", Span::Day, now).into_keys().collect();
        all.sort();
        all
    }
}

fn sum(bar: &Counts, prefix: &str) -> u64 {
    let below =
        |key: &str| key.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    bar.iter().filter(|(key, _)| below(key)).map(|(_, count)| count).sum()
}

fn grown(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Vec<(String, u64)> {
    after
        .iter()
        .map(|(key, value)| {
            let base = before.get(key).copied().unwrap_or(0);
            // Less than before: the counter began again at zero.
            (key.clone(), if base <= *value { value - base } else { *value })
        })
        .filter(|(_, growth)| *growth > 0)
        .collect()
}

/// Assumes that values are spread evenly within a bucket; those in the last one, which has no upper bound, count as its lower bound.
fn quantile(buckets: &[(f64, u64)], share: f64) -> Option<f64> {
    let total: u64 = buckets.iter().map(|(_, count)| count).sum();
    if total == 0 {
        return None;
    }
    let rank = share * total as f64;
    let (mut lower, mut seen) = (0.0, 0.0);
    for (upper, count) in buckets {
        let count = *count as f64;
        if seen + count >= rank && count > 0.0 {
            return Some(if upper.is_finite() {
                lower + (upper - lower) * (rank - seen) / count
            } else {
                lower
            });
        }
        seen += count;
        lower = *upper;
    }
    Some(lower)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000 + 30_000);

    const METRICS: &str = r#"# HELP hulak_verifications_created_total Verifications begun.
# TYPE hulak_verifications_created_total counter
hulak_verifications_created_total{operator="ntc"} 7
hulak_verifications_created_total{operator="ncell"} 0
hulak_http_requests_total{method="POST",route="/v1/verifications",status="202"} 5
hulak_http_requests_total{method="GET",route="/v1/verifications/{id}",status="200"} 4
hulak_http_requests_total{method="GET",route="/v1/verifications/{id}",status="429"} 3
hulak_request_to_gateway_seconds_bucket{operator="ntc",le="0.1"} 2
hulak_request_to_gateway_seconds_bucket{operator="ntc",le="0.5"} 6
hulak_request_to_gateway_seconds_bucket{operator="ntc",le="+Inf"} 7
hulak_request_to_gateway_seconds_sum{operator="ntc"} 1.5
hulak_gateway_credits 120.5
hulak_outbox_waiting NaN
something else entirely
"#;

    #[test]
    fn metrics_become_short_names() {
        let sample = Sample::of_metrics(METRICS, NOW);
        let counters: Vec<_> = sample.counters.iter().map(|(key, n)| (key.as_str(), *n)).collect();
        assert_eq!(
            counters,
            [
                ("created/ntc", 7),
                ("gateway/ntc/+Inf", 1),
                ("gateway/ntc/0.1", 2),
                ("gateway/ntc/0.5", 4),
                ("requests/good", 9),
                ("requests/limited", 3),
            ]
        );
        assert_eq!(sample.gauges, [("gateway_credits".to_owned(), 120.5)].into());
    }

    fn sample(process: u128, seconds_ago: u64, started_ago: u64, count: u64) -> StoredSample {
        let sample = Sample {
            started_at: NOW - Duration::from_secs(started_ago),
            counters: [("created/ntc".to_owned(), count)].into(),
            gauges: BTreeMap::new(),
        };
        StoredSample {
            process: Uuid::from_u128(process),
            at: NOW - Duration::from_secs(seconds_ago),
            body: serde_json::to_string(&sample).unwrap(),
        }
    }

    #[test]
    fn rates_come_from_differences_while_processes_start_and_end() {
        let mut board = Board::default();
        let samples = [
            sample(1, 300, 9_000, 1_000), // its counts before the first sample are unknown
            sample(1, 240, 9_000, 1_010),
            sample(2, 120, 125, 4), // began after the first sample
            sample(2, 60, 125, 9),
            sample(1, 0, 9_000, 1_011),
        ];
        board.take(&samples);
        board.take(&samples);
        assert_eq!(board.total("created", Span::Hour, NOW), 10 + 4 + 5 + 1);
        assert_eq!(board.total("created/ntc", Span::Day, NOW), 20);
        assert_eq!(board.total("create", Span::Day, NOW), 0);
        let series = board.series("created", Span::Hour, NOW);
        assert_eq!(series.len(), 60);
        assert_eq!(series[54..], [0, 10, 0, 4, 5, 1]);
        assert_eq!(board.recent("created", 1, NOW), 6);
        assert_eq!(board.split("created", Span::Hour, NOW), [("ntc".to_owned(), 20)].into());
        board.trim(NOW + HOUR + HOUR);
        assert_eq!(board.total("created", Span::Hour, NOW), 0);
    }

    #[test]
    fn counters_that_begin_again_are_added_from_zero() {
        let mut board = Board::default();
        board.take(&[sample(1, 60, 900, 50), sample(1, 0, 900, 3)]);
        assert_eq!(board.total("created", Span::Hour, NOW), 3);
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let mut board = Board::default();
        let broken = StoredSample { body: "{".to_owned(), ..sample(1, 60, 60, 1) };
        board.take(&[broken, sample(2, 60, 60, 2)]);
        assert_eq!(board.total("created", Span::Hour, NOW), 2);
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let buckets = [(1.0, 50), (2.0, 50), (f64::INFINITY, 0)];
        assert_eq!(quantile(&buckets, 0.5), Some(1.0));
        assert_eq!(quantile(&buckets, 0.75), Some(1.5));
        assert_eq!(quantile(&[(1.0, 0), (f64::INFINITY, 3)], 0.5), Some(1.0));
        assert_eq!(quantile(&[(1.0, 0)], 0.5), None);
    }

    proptest! {
        #[test]
        fn quantiles_never_fall(counts in proptest::collection::vec(0_u64..1_000, 5), a in 0.0..1.0, b in 0.0..1.0) {
            let bounds = [0.1, 0.5, 1.0, 10.0, f64::INFINITY];
            let buckets: Vec<_> = bounds.into_iter().zip(counts).collect();
            let (low, high) = if a < b { (a, b) } else { (b, a) };
            let (low, high) = (quantile(&buckets, low), quantile(&buckets, high));
            prop_assert!(low <= high);
        }

        #[test]
        fn any_text_can_be_read(text in any::<String>()) {
            let _sample = Sample::of_metrics(&text, NOW);
        }
    }
}
