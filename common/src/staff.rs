//! What operators do and see: who they are, what they did, how sending stands, and what it will cost.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::number::{ClientNumber, Number};
use crate::phone::PhoneNumber;
use crate::text_enum::text_enum;
use crate::time::Timestamp;

/// Whoever holds a key of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// SHA-256 of the key.
    pub key: [u8; 32],
    /// Its first characters.
    pub prefix: String,
    /// The name of the client that it was made for.
    pub name: String,
}

/// A sign-in to the console, as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewSession {
    /// SHA-256 of what the browser holds.
    pub hash: [u8; 32],
    /// SHA-256 of the key that it was signed in with: when that is revoked, the session is over.
    pub key: [u8; 32],
    /// Until when it lasts.
    pub expires_at: Timestamp,
}

text_enum! {
    /// What an operator did.
    Act {
        /// Signed in.
        SignIn => "sign-in",
        /// Tried to, with a key that is not one.
        SignInRefused => "sign-in-refused",
        /// Signed out.
        SignOut => "sign-out",
        /// Looked for a number or an id.
        Search => "search",
        /// Looked at a verification.
        View => "view",
        /// Blocked a number.
        Block => "block",
        /// Lifted a block.
        Unblock => "unblock",
        /// Stopped sending.
        Pause => "pause",
        /// Let sending go on.
        Resume => "resume",
        /// Looked at the dead letters.
        DeadLetters => "dead-letters",
        /// Threw the dead letters away.
        Purge => "purge",
        /// Took the bill along.
        Export => "export",
        /// What was asked could not be done.
        Failure => "failure",
    }
}

/// One line of the record of what operators did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// Version 7 UUID: sorts by time.
    pub id: Uuid,
    /// When.
    pub at: Timestamp,
    /// The name of the client that the key was made for; empty when nobody knows.
    pub who: String,
    /// The first characters of the key.
    pub key_prefix: String,
    /// What.
    pub act: Act,
    /// To what.
    pub what: String,
}

/// Sending has been stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// Since when.
    pub since: Timestamp,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What a worker learns when it gives a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// How many workers live.
    pub live: u32,
    /// Whether sending has been stopped.
    pub paused: bool,
}

/// What a worker says of itself with each sign of life.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerState {
    /// Its release.
    pub version: String,
    /// When it began.
    pub started_at: Timestamp,
    /// Messages in its hands.
    pub in_flight: u32,
    /// Messages that it may have in its hands.
    pub concurrency: u32,
    /// Its circuit to the gateway: `closed`, `trial`, `open`.
    pub circuit: String,
    /// The gateway's code that opened it.
    pub gateway_code: Option<i32>,
    /// Whether it has stopped because an operator said so.
    pub paused: bool,
    /// Its share of the account's rate, in messages a second.
    pub share: f64,
}

/// A worker in the registry.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerRecord {
    /// Its id, new at every start.
    pub id: Uuid,
    /// When it was last heard of.
    pub seen_at: Timestamp,
    /// What it said; nothing when it is of a release that says nothing.
    pub state: Option<WorkerState>,
}

/// A process's counters at a moment; see [`crate::samples`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSample {
    /// The process, with a new id at every start.
    pub process: Uuid,
    /// When.
    pub at: Timestamp,
    /// The counters, as text.
    pub body: String,
}

/// Which verifications, across all clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// Those of a number, newest first.
    Phone(PhoneNumber),
    /// One.
    Id(Uuid),
}

/// A number over all clients.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberFile {
    /// What counts for all of them.
    pub number: Number,
    /// What each of them knows, with its name.
    pub clients: Vec<(String, ClientNumber)>,
}

/// A block of a number for all clients, or its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockEverywhere {
    /// The number.
    pub phone: PhoneNumber,
    /// Until when, and why; nothing lifts it.
    pub block: Option<(Timestamp, Option<String>)>,
}

/// A day in Nepal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

/// Nepal is 5 h 45 min ahead of UTC, all year.
const NEPAL_MS: i64 = (5 * 60 + 45) * 60_000;
const DAY_MS: i64 = 86_400_000;

impl Day {
    /// The day of a moment.
    #[must_use]
    pub const fn of(at: Timestamp) -> Self {
        Self((at.as_millis() + NEPAL_MS).div_euclid(DAY_MS))
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }

    /// From [`Day::number`].
    #[must_use]
    pub const fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// The day this many days earlier.
    #[must_use]
    pub const fn before(self, days: i64) -> Self {
        Self(self.0.saturating_sub(days))
    }

    /// Its first moment.
    #[must_use]
    pub const fn begins(self) -> Timestamp {
        Timestamp::from_millis(self.0.saturating_mul(DAY_MS).saturating_sub(NEPAL_MS))
    }
}

/// `2026-11-24`.
impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let noon =
            Timestamp::from_millis(self.0.saturating_mul(DAY_MS).saturating_add(DAY_MS / 2)).to_string();
        f.write_str(noon.get(..10).unwrap_or(&noon))
    }
}

/// What one client's messages of one day come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The day on which the gateway took them.
    pub day: Day,
    /// Whose.
    pub client: Uuid,
    /// Its name.
    pub client_name: String,
    /// What they come to.
    pub sum: UsageSum,
}

/// Messages and parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageSum {
    /// Messages that the gateway accepted.
    pub messages: i64,
    /// Their parts: what it bills.
    pub parts: i64,
    /// Parts of calls of which nobody knows whether the gateway took them: it may bill them, too.
    pub uncertain: i64,
    /// Messages that it refused for good.
    pub failed: i64,
    /// Messages that went nowhere and cost nothing: test numbers, and strangers who sign in.
    pub unbilled: i64,
}

impl std::ops::AddAssign for UsageSum {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.parts += other.parts;
        self.uncertain += other.uncertain;
        self.failed += other.failed;
        self.unbilled += other.unbilled;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_in_nepal() {
        let midnight: Timestamp = "2026-11-23T18:15:00Z".parse().unwrap();
        let day = Day::of(midnight);
        assert_eq!(day.to_string(), "2026-11-24");
        assert_eq!(day.begins(), midnight);
        assert_eq!(Day::of(midnight - std::time::Duration::from_millis(1)), day.before(1));
        assert_eq!(Day::from_number(day.number()), day);
    }
}
