//! The report of a run as a table.

use std::fmt;
use std::path::PathBuf;

use crate::judge::Totals;
use crate::millis::Millis;
use crate::promise::{Broken, Promise};

/// How many broken promises of each kind are printed.
const SHOWN: usize = 10;

/// The result of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// How often something was killed.
    pub kills: usize,
    /// How many faults there were, kills included.
    pub faults: usize,
    /// The totals.
    pub totals: Totals,
    /// Calls without an answer, or with 503, that were repeated.
    pub again: u64,
    /// Requests that were given up after many repetitions.
    pub given_up: u64,
    /// The broken promises.
    pub broken: Vec<Broken>,
    /// The directory of the logs, when they were kept.
    pub logs: Option<PathBuf>,
}

impl Report {
    /// Whether every promise was kept.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.broken.is_empty()
    }

    /// How often this promise was broken.
    #[must_use]
    pub fn count(&self, promise: Promise) -> usize {
        self.broken.iter().filter(|broken| broken.promise == promise).count()
    }

    /// One line of a table over many runs; see [`Report::HEAD`].
    #[must_use]
    pub fn line(&self) -> String {
        let t = &self.totals;
        let others = self.broken.len()
            - [Promise::Lost, Promise::Doubled, Promise::OverLimit, Promise::Counts]
                .map(|promise| self.count(promise))
                .iter()
                .sum::<usize>();
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} / {} / {} |",
            self.seed,
            self.kills,
            t.verifications,
            t.sent,
            t.failed,
            t.expired,
            t.unknown,
            t.ambiguous,
            t.duplicates,
            self.count(Promise::Lost),
            self.count(Promise::Doubled),
            self.count(Promise::OverLimit),
            self.count(Promise::Counts),
            others,
            seconds(t.recovery_create),
            seconds(t.recovery_send),
            seconds(t.recovery_backlog),
        )
    }

    /// The head of that table.
    pub const HEAD: &str = "| seed | kills | accepted | sent | failed | expired | unknown | ambiguous | duplicates \
        | lost | doubled | over limit | counts wrong | other | recovery: create / send / all sent |\n\
        |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";
}

fn seconds(span: Option<Millis>) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
    span.map_or_else(|| "-".to_owned(), |millis| format!("{:.1} s", millis as f64 / 1_000.0))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = &self.totals;
        let rows: [(&str, String); 19] = [
            ("seed", self.seed.to_string()),
            ("kills (faults in all)", format!("{} ({})", self.kills, self.faults)),
            ("accepted", t.verifications.to_string()),
            ("  known to clients", t.accepted.to_string()),
            ("  approved", t.approved.to_string()),
            ("calls repeated", format!("{} ({} requests given up)", self.again, self.given_up)),
            ("messages", t.messages.to_string()),
            ("  sent", t.sent.to_string()),
            ("  failed", t.failed.to_string()),
            ("  expired", t.expired.to_string()),
            ("  canceled", t.canceled.to_string()),
            ("  unknown", t.unknown.to_string()),
            ("  ambiguous", t.ambiguous.to_string()),
            ("accepted by the gateway", t.taken.to_string()),
            ("  duplicates", t.duplicates.to_string()),
            ("longest recovery, create", seconds(t.recovery_create)),
            ("longest recovery, send", seconds(t.recovery_send)),
            ("longest recovery, all that waited", seconds(t.recovery_backlog)),
            ("promises broken", self.broken.len().to_string()),
        ];
        for (title, value) in rows {
            writeln!(f, "{title:38} {value}")?;
        }
        for promise in Promise::ALL {
            writeln!(f, "  {:36} {}", promise.title(), self.count(promise))?;
        }
        for promise in Promise::ALL {
            let mut broken = self.broken.iter().filter(|broken| broken.promise == promise);
            for broken in broken.by_ref().take(SHOWN) {
                writeln!(f, "BROKEN ({}): {}", promise.title(), broken.what)?;
            }
            let more = broken.count();
            if more > 0 {
                writeln!(f, "BROKEN ({}): and {more} more", promise.title())?;
            }
        }
        if let Some(logs) = &self.logs {
            writeln!(f, "the programs' logs: {}", logs.display())?;
        }
        Ok(())
    }
}
