//! Every figure that is measured, and what it has to be.

use serde::Serialize;

/// What a figure has to be: a rate at least, a time or a size at most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "bound", rename_all = "kebab-case")]
pub enum Target {
    /// The more the better.
    AtLeast {
        /// Below this the figure is missed.
        must: f64,
        /// What is really wanted.
        want: f64,
    },
    /// The less the better.
    AtMost {
        /// Above this the figure is missed.
        must: f64,
        /// What is really wanted.
        want: f64,
    },
}

/// How a figure did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As wanted.
    Good,
    /// As it must be.
    Ok,
    /// Not even that.
    Missed,
}

impl Target {
    /// How `is` did.
    #[must_use]
    pub fn judge(self, is: f64) -> Verdict {
        let (must, want) = match self {
            Self::AtLeast { must, want } => (is >= must, is >= want),
            Self::AtMost { must, want } => (is <= must, is <= want),
        };
        match (must, want) {
            (_, true) => Verdict::Good,
            (true, false) => Verdict::Ok,
            (false, false) => Verdict::Missed,
        }
    }

    /// Both bounds, for people.
    #[must_use]
    pub fn texts(self) -> (String, String) {
        match self {
            Self::AtLeast { must, want } => (format!("≥ {must}"), format!("≥ {want}")),
            Self::AtMost { must, want } => (format!("≤ {must}"), format!("≤ {want}")),
        }
    }
}

/// A figure.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Figure {
    /// Its name in the JSON.
    pub key: &'static str,
    /// What is measured, for people.
    pub title: &'static str,
    /// Of its value.
    pub unit: &'static str,
    /// What it is divided by, when its ratio is what counts.
    pub divisor: Option<&'static str>,
    /// What the ratio, or the value when there is none, has to be.
    pub target: Option<Target>,
}

const fn least(must: f64, want: f64) -> Option<Target> {
    Some(Target::AtLeast { must, want })
}

const fn most(must: f64, want: f64) -> Option<Target> {
    Some(Target::AtMost { must, want })
}

const fn figure(
    key: &'static str,
    title: &'static str,
    unit: &'static str,
    divisor: Option<&'static str>,
    target: Option<Target>,
) -> Figure {
    Figure { key, title, unit, divisor, target }
}

const INSERTS: Option<&str> = Some("pgbench inserts/s");
const BARE: Option<&str> = Some("inserts/s without key or index");
const EMPTY: Option<&str> = Some("empty database");

/// All of them, in the order of the report.
pub const FIGURES: &[Figure] = &[
    figure("ceiling.pgbench", "ceiling: one-row INSERT a transaction, 32 clients", "inserts/s", None, None),
    figure(
        "ceiling.pgbench.bare",
        "ceiling: the same into a table without key or index",
        "inserts/s",
        None,
        None,
    ),
    figure(
        "ceiling.quorum",
        "ceiling: quorum queue, confirm and ack, 1000 in flight",
        "messages/s",
        None,
        None,
    ),
    figure("ceiling.bare", "ceiling: bare axum handler, JSON, 32 connections", "requests/s", None, None),
    figure("ceiling.sync", "ceiling: 8 KB written and synced, 100 a second, p99", "ms", None, None),
    figure("accept.stopped", "accept, workers stopped", "requests/s", INSERTS, least(0.45, 0.8)),
    figure("accept.stopped.bare", "the same, beside the barer ceiling", "requests/s", BARE, None),
    figure("accept.running", "accept, workers running", "requests/s", INSERTS, least(0.3, 0.45)),
    figure("accept.running.bare", "the same, beside the barer ceiling", "requests/s", BARE, None),
    figure(
        "accept.half",
        "accept at half its ceiling, p99 from the intended time",
        "ms",
        None,
        most(25.0, 10.0),
    ),
    figure(
        "accept-hot",
        "accept-hot: 1% of numbers take half",
        "requests/s",
        Some("accept"),
        least(0.8, 0.95),
    ),
    figure("end-to-end", "end to end, gateway 50 ms", "sent/s", INSERTS, least(0.2, 0.35)),
    figure("end-to-end.bare", "the same, beside the barer ceiling", "sent/s", BARE, None),
    figure(
        "end-to-end.quorum",
        "end to end, beside the queue's ceiling",
        "sent/s",
        Some("quorum messages/s"),
        None,
    ),
    figure(
        "end-to-end.half",
        "end to end at half its ceiling, to the gateway, p99",
        "ms",
        None,
        most(100.0, 40.0),
    ),
    figure("poll", "poll, 1% changing", "requests/s", Some("bare axum requests/s"), least(0.25, 0.5)),
    figure("check.right", "check, right codes", "checks/s", INSERTS, least(0.3, 0.5)),
    figure("check.right.bare", "the same, beside the barer ceiling", "checks/s", BARE, None),
    figure("check.wrong", "check, wrong codes", "checks/s", INSERTS, None),
    figure("wait.memory", "wait: memory of a waiting client", "KB", None, most(24.0, 14.0)),
    figure("wait.wake", "wait: from the change's request to the answer, p99", "ms", None, most(250.0, 100.0)),
    figure("scale.1", "scale: 1 worker, gateway 200 ms, 64 in flight", "sent/s", Some("320"), None),
    figure("scale.2", "scale: 2 workers", "sent/s", Some("640"), None),
    figure("scale.4", "scale: 4 workers", "sent/s", Some("1280"), None),
    figure("scale.8", "scale: 8 workers", "sent/s", Some("2560"), least(0.9, 0.97)),
    figure("grown.not.accept", "accept on empty tables, beside the grown ones", "requests/s", None, None),
    figure("grown.accept", "grown: accept, all numbers new", "requests/s", EMPTY, least(0.85, 0.95)),
    figure(
        "grown.known.accept",
        "grown: accept, 30% of the numbers known",
        "requests/s",
        EMPTY,
        least(0.85, 0.95),
    ),
    figure("grown.not.end-to-end", "end to end on empty tables, beside the grown ones", "sent/s", None, None),
    figure("grown.end-to-end", "grown: end to end, all numbers new", "sent/s", EMPTY, least(0.85, 0.95)),
    figure(
        "grown.known.end-to-end",
        "grown: end to end, 30% of the numbers known",
        "sent/s",
        EMPTY,
        least(0.85, 0.95),
    ),
    figure("embedded.accept", "embedded: accept, SQLite in one process", "requests/s", INSERTS, None),
    figure("embedded.end-to-end", "embedded: end to end", "sent/s", INSERTS, None),
    figure("idle.api", "idle: memory of the API", "MB", None, most(40.0, 20.0)),
    figure("idle.worker", "idle: memory of a worker", "MB", None, most(40.0, 20.0)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_may_be_more_and_a_time_less() {
        let rate = Target::AtLeast { must: 0.3, want: 0.5 };
        assert_eq!([0.29, 0.3, 0.5].map(|is| rate.judge(is)), [Verdict::Missed, Verdict::Ok, Verdict::Good]);
        let time = Target::AtMost { must: 25.0, want: 10.0 };
        assert_eq!(
            [25.1, 25.0, 10.0].map(|is| time.judge(is)),
            [Verdict::Missed, Verdict::Ok, Verdict::Good]
        );
    }

    #[test]
    fn no_two_figures_share_a_key() {
        let mut keys: Vec<_> = FIGURES.iter().map(|figure| figure.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), FIGURES.len());
    }
}
