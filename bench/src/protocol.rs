//! Between the benchmark and the load process: commands on its standard input, events on its standard output, one JSON value a
//! line.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A command. The next one is read when this one is done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Command {
    /// Every connection sends its next request when it has the answer to its last one.
    Closed(ClosedLoop),
    /// Requests are due at a constant rate, however fast the answers are.
    Open(OpenLoop),
    /// Clients that wait for changes, and the changes.
    LongPolls(LongPolls),
    /// Reads verifications and their codes, one a line, for checks.
    Codes {
        /// The file with these lines.
        file: PathBuf,
    },
}

/// A closed loop.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClosedLoop {
    /// The requests.
    pub call: Call,
    /// How many connections.
    pub connections: usize,
    /// Seconds before the sample.
    pub warmup: f64,
    /// Seconds of the sample.
    pub seconds: f64,
    /// Ends after this many requests.
    pub limit: Option<u64>,
    /// Waits while too many messages are accepted and not sent yet.
    pub backlog: Option<BacklogLimit>,
}

/// The limit of messages that are accepted and not sent yet.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct BacklogLimit {
    /// The simulated gateway, which counts what it accepted.
    pub simulator: SocketAddr,
    /// How many messages.
    pub most: u64,
}

/// An open loop.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OpenLoop {
    /// The requests.
    pub call: Call,
    /// How many connections. With all of them busy a request waits, and its latency includes the wait.
    pub connections: usize,
    /// Requests a second.
    pub rate: f64,
    /// Seconds before the sample.
    pub warmup: f64,
    /// Seconds of the sample.
    pub seconds: f64,
    /// Also measures the time until this gateway accepts the message.
    pub simulator: Option<SocketAddr>,
}

/// Long-polls that are held open.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LongPolls {
    /// The API.
    pub server: SocketAddr,
    /// The API key.
    pub key: String,
    /// How many clients wait.
    pub waiters: usize,
    /// Seconds between the last client's arrival and the first change.
    pub settle: f64,
    /// Changes a second.
    pub rate: f64,
    /// Seconds of changes.
    pub seconds: f64,
}

/// Requests of one kind to one server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    /// The server.
    pub server: SocketAddr,
    /// The API key.
    pub key: String,
    /// The kind of requests.
    pub kind: Kind,
}

/// The kinds of requests.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Kind {
    /// A small JSON body to a handler without Hulak.
    Bare,
    /// A request for a code.
    Create {
        /// For which numbers.
        numbers: Numbers,
        /// Keeps the ids for later commands.
        keep: bool,
    },
    /// Reads verifications whose ids were kept.
    Poll {
        /// How many in a hundred verifications change meanwhile.
        changing: u64,
    },
    /// Checks codes: the right one of each verification once, or wrong ones twice.
    Check {
        /// Whether the codes are wrong.
        wrong: bool,
    },
}

/// The phone numbers that codes are requested for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(tag = "numbers", rename_all = "kebab-case")]
pub enum Numbers {
    /// Never the same twice: each command continues after the last one's numbers, at or beyond `first`.
    New {
        /// The first number.
        first: u64,
    },
    /// One in a hundred numbers takes half of the requests.
    Hot,
    /// Some are in the database already.
    Mixed {
        /// How many numbers are in the database; those beyond are new.
        existing: u64,
        /// How many in a hundred requests are for a number in the database.
        share: u64,
        /// The first number among those in the database.
        old: u64,
        /// The first number beyond them.
        new: u64,
    },
}

/// What the load process reports.
#[derive(Debug, Clone, Serialize, Deserialize)]
// Not internally tagged: serde would then read the statuses, which are numbers, as strings.
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The sample begins.
    Begin,
    /// The sample ends.
    Stop,
    /// The command is done: all answers have come.
    Done(Outcome),
    /// The command failed.
    Failed {
        /// The reason.
        why: String,
    },
}

/// The result of a command.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Length of the sample.
    pub seconds: f64,
    /// Answers within the sample.
    pub done: u64,
    /// All answers by status, warm-up included.
    pub statuses: BTreeMap<u16, u64>,
    /// Answers with a status that was not expected.
    pub unexpected: u64,
    /// One of these answers.
    pub example: Option<String>,
    /// Reconnections after a broken connection.
    pub reconnects: u64,
    /// From the request to the answer; in an open loop, from the time when the request was due.
    pub latency: Latency,
    /// Messages a second that the gateway accepted within the sample.
    pub taken: Option<f64>,
    /// From the time when the request was due until the gateway accepted the message.
    pub gateway: Option<Latency>,
    /// Messages that never reached the gateway.
    pub missing: u64,
}

impl Event {
    /// Writes it to the standard output, as one line.
    ///
    /// # Errors
    /// When the benchmark has ended.
    pub fn send(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, self)?;
        out.write_all(b"\n")?;
        out.flush()
    }
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
    fn an_event_is_one_line_that_can_be_read_back() {
        let statuses = BTreeMap::from([(202, 7), (429, 1)]);
        let sent = Event::Done(Outcome { statuses: statuses.clone(), ..Outcome::default() });
        let line = serde_json::to_string(&sent).unwrap();
        assert!(!line.contains('\n'));
        let Event::Done(read) = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
        assert_eq!(read.statuses, statuses);
    }
}
