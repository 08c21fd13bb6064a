//! What the gateway will bill, by client and day.

use uuid::Uuid;

use crate::time::Timestamp;

/// A day in Nepal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

/// Nepal is 5 h 45 min ahead of UTC, all year.
const NEPAL_MS: i64 = (5 * 60 + 45) * 60_000;
const DAY_MS: i64 = 86_400_000;

impl Day {
    /// The day of a point in time.
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

    /// When it begins.
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

/// The sums of one client's messages of one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The day on which the gateway accepted them.
    pub day: Day,
    /// The client's id.
    pub client: Uuid,
    /// The client's name.
    pub client_name: String,
    /// The sums.
    pub sum: UsageSum,
}

/// Messages and parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageSum {
    /// Messages that the gateway accepted.
    pub messages: i64,
    /// Their parts, which it bills.
    pub parts: i64,
    /// Parts of sends with unknown outcome: the gateway may bill them, too.
    pub uncertain: i64,
    /// Messages that it refused for good.
    pub failed: i64,
    /// Messages of the routes `null` and `decoy`, which were not sent and cost nothing.
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
