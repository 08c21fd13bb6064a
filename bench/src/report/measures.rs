//! Every measure and its target.

use serde::Serialize;

/// The target of a measure: a rate has a lower bound, a time or a size an upper one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "bound", rename_all = "kebab-case")]
pub enum Target {
    /// More is better.
    AtLeast {
        /// Below this the target is missed.
        must: f64,
        /// The goal.
        want: f64,
    },
    /// Less is better.
    AtMost {
        /// Above this the target is missed.
        must: f64,
        /// The goal.
        want: f64,
    },
}

/// How a value compares with its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rating {
    /// The goal is reached.
    Good,
    /// The bound is kept.
    Ok,
    /// The bound is not kept.
    Missed,
}

impl Target {
    /// How this value compares.
    #[must_use]
    pub fn rate(self, is: f64) -> Rating {
        let (must, want) = match self {
            Self::AtLeast { must, want } => (is >= must, is >= want),
            Self::AtMost { must, want } => (is <= must, is <= want),
        };
        match (must, want) {
            (_, true) => Rating::Good,
            (true, false) => Rating::Ok,
            (false, false) => Rating::Missed,
        }
    }

    /// The bound and the goal as text.
    #[must_use]
    pub fn texts(self) -> (String, String) {
        match self {
            Self::AtLeast { must, want } => (format!("≥ {must}"), format!("≥ {want}")),
            Self::AtMost { must, want } => (format!("≤ {must}"), format!("≤ {want}")),
        }
    }
}

/// A measure.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Measure {
    /// Its name in the JSON.
    pub key: &'static str,
    /// What is measured, in the tables.
    pub title: &'static str,
    /// The unit of its value.
    pub unit: &'static str,
    /// What it is divided by, where the ratio counts.
    pub divisor: Option<&'static str>,
    /// The target of the ratio, or of the value where there is no ratio.
    pub target: Option<Target>,
}

const fn least(must: f64, want: f64) -> Option<Target> {
    Some(Target::AtLeast { must, want })
}

const fn most(must: f64, want: f64) -> Option<Target> {
    Some(Target::AtMost { must, want })
}

const fn measure(
    key: &'static str,
    title: &'static str,
    unit: &'static str,
    divisor: Option<&'static str>,
    target: Option<Target>,
) -> Measure {
    Measure { key, title, unit, divisor, target }
}

const INSERTS: Option<&str> = Some("pgbench inserts/s");
const BARE: Option<&str> = Some("inserts/s without key or index");
const EMPTY: Option<&str> = Some("empty database");

/// All measures, in the order of the report.
pub const MEASURES: &[Measure] = &[
    measure("ceiling.pgbench", "ceiling: one-row INSERT a transaction, 32 clients", "inserts/s", None, None),
    measure(
        "ceiling.pgbench.bare",
        "ceiling: the same into a table without key or index",
        "inserts/s",
        None,
        None,
    ),
    measure(
        "ceiling.quorum",
        "ceiling: quorum queue, confirm and ack, 1000 in flight",
        "messages/s",
        None,
        None,
    ),
    measure("ceiling.bare", "ceiling: bare axum handler, JSON, 32 connections", "requests/s", None, None),
    measure("ceiling.sync", "ceiling: 8 KB written and synced, 100 a second, p99", "ms", None, None),
    measure("accept.stopped", "accept, workers stopped", "requests/s", INSERTS, least(0.45, 0.8)),
    measure(
        "accept.stopped.bare",
        "the same, beside the ceiling without key or index",
        "requests/s",
        BARE,
        None,
    ),
    measure("accept.running", "accept, workers running", "requests/s", INSERTS, least(0.3, 0.45)),
    measure(
        "accept.running.bare",
        "the same, beside the ceiling without key or index",
        "requests/s",
        BARE,
        None,
    ),
    measure(
        "accept.half",
        "accept at half its ceiling, p99 from the intended time",
        "ms",
        None,
        most(25.0, 10.0),
    ),
    measure(
        "accept-hot",
        "accept-hot: 1% of numbers take half",
        "requests/s",
        Some("accept"),
        least(0.8, 0.95),
    ),
    measure("end-to-end", "end to end, gateway 50 ms", "sent/s", INSERTS, least(0.2, 0.35)),
    measure("end-to-end.bare", "the same, beside the ceiling without key or index", "sent/s", BARE, None),
    measure(
        "end-to-end.quorum",
        "end to end, beside the queue's ceiling",
        "sent/s",
        Some("quorum messages/s"),
        None,
    ),
    measure(
        "end-to-end.half",
        "end to end at half its ceiling, to the gateway, p99",
        "ms",
        None,
        most(100.0, 40.0),
    ),
    measure("poll", "poll, 1% changing", "requests/s", Some("bare axum requests/s"), least(0.25, 0.5)),
    measure("check.right", "check, right codes", "checks/s", INSERTS, least(0.3, 0.5)),
    measure("check.right.bare", "the same, beside the ceiling without key or index", "checks/s", BARE, None),
    measure("check.wrong", "check, wrong codes", "checks/s", INSERTS, None),
    measure("wait.memory", "wait: memory of a waiting client", "KB", None, most(24.0, 14.0)),
    measure(
        "wait.wake",
        "wait: from the change's request to the answer, p99",
        "ms",
        None,
        most(250.0, 100.0),
    ),
    measure("scale.1", "scale: 1 worker, gateway 200 ms, 64 in flight", "sent/s", Some("320"), None),
    measure("scale.2", "scale: 2 workers", "sent/s", Some("640"), None),
    measure("scale.4", "scale: 4 workers", "sent/s", Some("1280"), None),
    measure("scale.8", "scale: 8 workers", "sent/s", Some("2560"), least(0.9, 0.97)),
    measure("grown.not.accept", "accept on empty tables, beside the grown ones", "requests/s", None, None),
    measure("grown.accept", "grown: accept, all numbers new", "requests/s", EMPTY, least(0.85, 0.95)),
    measure(
        "grown.known.accept",
        "grown: accept, 30% of the numbers known",
        "requests/s",
        EMPTY,
        least(0.85, 0.95),
    ),
    measure(
        "grown.not.end-to-end",
        "end to end on empty tables, beside the grown ones",
        "sent/s",
        None,
        None,
    ),
    measure("grown.end-to-end", "grown: end to end, all numbers new", "sent/s", EMPTY, least(0.85, 0.95)),
    measure(
        "grown.known.end-to-end",
        "grown: end to end, 30% of the numbers known",
        "sent/s",
        EMPTY,
        least(0.85, 0.95),
    ),
    measure("embedded.accept", "embedded: accept, SQLite in one process", "requests/s", INSERTS, None),
    measure("embedded.end-to-end", "embedded: end to end", "sent/s", INSERTS, None),
    measure("idle.api", "idle: memory of the API", "MB", None, most(40.0, 20.0)),
    measure("idle.worker", "idle: memory of a worker", "MB", None, most(40.0, 20.0)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_may_be_more_and_a_time_less() {
        let rate = Target::AtLeast { must: 0.3, want: 0.5 };
        assert_eq!([0.29, 0.3, 0.5].map(|is| rate.rate(is)), [Rating::Missed, Rating::Ok, Rating::Good]);
        let time = Target::AtMost { must: 25.0, want: 10.0 };
        assert_eq!([25.1, 25.0, 10.0].map(|is| time.rate(is)), [Rating::Missed, Rating::Ok, Rating::Good]);
    }

    #[test]
    fn no_two_measures_share_a_key() {
        let mut keys: Vec<_> = MEASURES.iter().map(|measure| measure.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), MEASURES.len());
    }
}
