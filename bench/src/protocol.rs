//! What the load process is told, and what it says: one JSON value a line, over its standard input and output.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A piece of work. The next one is read when this one is done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Command {
    /// As many requests as the connections bear, each connection waiting for its answer.
    Closed(Closed),
    /// Requests by a timetable, whoever answers or not.
    Open(Open),
    /// Clients that wait for changes, and the changes.
    Hold(Hold),
    /// Reads verifications and their codes, one a line, for checks.
    Codes {
        /// Where they stand.
        file: PathBuf,
    },
}

/// A closed loop.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Closed {
    /// What is asked.
    pub call: Call,
    /// How many ask at a time.
    pub connections: usize,
    /// Seconds that are not counted.
    pub warmup: f64,
    /// Seconds that are.
    pub seconds: f64,
    /// Ends after so many requests.
    pub limit: Option<u64>,
    /// Waits while the gateway is too far behind.
    pub window: Option<Window>,
}

/// Bounds what was accepted and is not sent yet.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Window {
    /// The simulated gateway, which knows what it took.
    pub simulator: SocketAddr,
    /// How many may be on their way.
    pub most: u64,
}

/// An open loop.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Open {
    /// What is asked.
    pub call: Call,
    /// How many can ask at a time; with all of them busy, a request waits, and its time runs.
    pub connections: usize,
    /// Requests a second.
    pub rate: f64,
    /// Seconds that are not counted.
    pub warmup: f64,
    /// Seconds that are.
    pub seconds: f64,
    /// Also measures until this gateway took the message.
    pub simulator: Option<SocketAddr>,
}

/// Long-polls that are held open.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hold {
    /// The API.
    pub server: SocketAddr,
    /// The API key.
    pub key: String,
    /// How many wait.
    pub waiters: usize,
    /// Seconds until they are counted as waiting.
    pub settle: f64,
    /// Changes a second.
    pub rate: f64,
    /// Seconds of changes.
    pub seconds: f64,
}

/// What is asked of whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    /// Who answers.
    pub server: SocketAddr,
    /// The API key.
    pub key: String,
    /// What.
    pub kind: Kind,
}

/// The kinds of requests.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Kind {
    /// A small JSON body to a handler that does next to nothing.
    Bare,
    /// A request for a code.
    Create {
        /// For which numbers.
        numbers: Numbers,
        /// Remembers the ids for later work.
        keep: bool,
    },
    /// Reads verifications that were remembered.
    Poll {
        /// Of a hundred verifications so many change meanwhile.
        changing: u64,
    },
    /// Checks codes: the right one of each verification once, wrong ones twice.
    Check {
        /// Codes that are not right.
        wrong: bool,
    },
}

/// Which numbers ask for codes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(tag = "numbers", rename_all = "kebab-case")]
pub enum Numbers {
    /// Never the same twice. This process goes on where it was, at or beyond `first`.
    New {
        /// Where to begin.
        first: u64,
    },
    /// One in a hundred numbers takes half of the requests.
    Hot,
    /// Some were there before.
    Mixed {
        /// How many numbers there are already; those beyond are new.
        existing: u64,
        /// Of a hundred requests so many are for one of those.
        share: u64,
        /// Where to begin among those.
        old: u64,
        /// Where to begin beyond them.
        new: u64,
    },
}

/// What the load process says.
#[derive(Debug, Clone, Serialize, Deserialize)]
// Not tagged within: that would take the statuses, which are numbers, for texts.
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The warm-up is over: what is read now is the beginning.
    Begin,
    /// The time is over: what is read now is the end.
    Stop,
    /// All answers are there.
    Done(Outcome),
    /// It could not be done.
    Failed {
        /// Why.
        why: String,
    },
}

/// What came of a piece of work.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// How long was counted.
    pub seconds: f64,
    /// Answers within that time.
    pub done: u64,
    /// All answers by status, warm-up included.
    pub statuses: BTreeMap<u16, u64>,
    /// Answers with a status that was not expected.
    pub unexpected: u64,
    /// One of those.
    pub example: Option<String>,
    /// Connections that broke and were made anew.
    pub reconnects: u64,
    /// From the intended (or, in a closed loop, the true) beginning to the answer.
    pub latency: Latency,
    /// Messages that the gateway took within that time, a second.
    pub taken: Option<f64>,
    /// From the intended beginning to the gateway.
    pub gateway: Option<Latency>,
    /// Messages that never reached the gateway.
    pub missing: u64,
}

impl Outcome {
    /// Answers a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.done as f64 / self.seconds } else { 0.0 }
    }
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// Half are faster.
    pub p50: f64,
    /// Nine in ten are faster.
    pub p90: f64,
    /// 99 in a hundred are faster.
    pub p99: f64,
    /// 999 in a thousand are faster.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let statuses = BTreeMap::from([(202, 7), (429, 1)]);
        let said = Event::Done(Outcome { statuses: statuses.clone(), ..Outcome::default() });
        let line = serde_json::to_string(&said).unwrap();
        assert!(!line.contains('\n'));
        let Event::Done(heard) = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
        assert_eq!(heard.statuses, statuses);
    }
}
