//! Quotas, cooldowns and backoff as pure functions: time and randomness are passed in.

use std::fmt;
use std::time::Duration;

use crate::cooldown::Cooldown;
use crate::time::Timestamp;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// The window in which wrong checks are charged to a client's number.
pub const FAILED_CHECKS_WINDOW: Duration = DAY;

/// The highest quota that may be set: a number's row keeps that many times.
pub const MAX_QUOTA: u32 = 1_000;

/// The limits of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberLimits {
    /// The least time between two messages to one number.
    pub cooldown: Cooldown,
    /// Messages a number in any hour.
    pub hourly: u32,
    /// Messages a number in any 24 hours.
    pub daily: u32,
}

impl Default for NumberLimits {
    fn default() -> Self {
        Self { cooldown: Duration::from_secs(30).into(), hourly: 5, daily: 10 }
    }
}

/// Which limit refused a request: the `policy` of the problem and the name in the `RateLimit` headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Too soon after the last message to this number.
    NumberCooldown,
    /// The hour's messages to this number are used up.
    NumberHour,
    /// The day's messages to this number are used up.
    NumberDay,
    /// Too many requests of this client application.
    Client,
    /// Too many requests from this address.
    Address,
    /// Too many wrong codes.
    Checks,
}

impl Policy {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NumberCooldown => "number-cooldown",
            Self::NumberHour => "number-hour",
            Self::NumberDay => "number-day",
            Self::Client => "client",
            Self::Address => "address",
            Self::Checks => "checks",
        }
    }
}

/// A refusal by a limit: which one, how large it is, and when it opens again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitReached {
    /// The limit.
    pub policy: Policy,
    /// How many it allows in its window.
    pub quota: u32,
    /// Its window.
    pub window: Duration,
    /// When it opens again.
    pub retry_at: Timestamp,
}

/// The times of counted events, oldest first: an exact sliding window.
///
/// The stores keep it as text, milliseconds since 1970 separated by spaces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SlidingLog(Vec<Timestamp>);

impl SlidingLog {
    /// Adds a time, and drops times that are older than `keep`, and all but the newest [`MAX_QUOTA`].
    pub fn push(&mut self, now: Timestamp, keep: Duration) {
        self.0.retain(|at| *at > now - keep);
        // Clocks of processes agree only to a few milliseconds, and the counting relies on order.
        self.0.push(self.0.last().map_or(now, |last| now.max(*last)));
        let surplus = self.0.len().saturating_sub(MAX_QUOTA as usize);
        self.0.drain(..surplus);
    }

    /// The number of events within `window` before `now`.
    #[must_use]
    pub fn count(&self, now: Timestamp, window: Duration) -> usize {
        self.0.iter().filter(|at| **at > now - window).count()
    }

    /// The newest time.
    #[must_use]
    pub fn last(&self) -> Option<Timestamp> {
        self.0.last().copied()
    }

    /// Drops all times.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// When fewer than `quota` events will lie within `window`; `None` when that is so now.
    #[must_use]
    pub fn opens_at(&self, now: Timestamp, quota: u32, window: Duration) -> Option<Timestamp> {
        if self.count(now, window) < quota as usize {
            return None;
        }
        // The window opens when the quota-th newest entry leaves it.
        let index = self.0.len().checked_sub(quota as usize)?;
        self.0.get(index).map(|at| *at + window)
    }
}

impl fmt::Display for SlidingLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, at) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{}", at.as_millis())?;
        }
        Ok(())
    }
}

impl std::str::FromStr for SlidingLog {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split_ascii_whitespace()
            .map(|ms| ms.parse().map(Timestamp::from_millis))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl NumberLimits {
    /// Whether one more message may be asked for a number whose messages are in `log`.
    ///
    /// # Errors
    /// The limit that stays closed longest.
    pub fn admit(&self, log: &SlidingLog, now: Timestamp) -> Result<(), LimitReached> {
        let reached = |policy, quota, window, retry_at: Option<Timestamp>| {
            retry_at.map(|retry_at| LimitReached { policy, quota, window, retry_at })
        };
        let cooldown = log.last().map(|last| self.cooldown.after_request(last)).filter(|until| *until > now);
        [
            reached(Policy::NumberCooldown, 1, self.cooldown.window(), cooldown),
            reached(Policy::NumberHour, self.hourly, HOUR, log.opens_at(now, self.hourly, HOUR)),
            reached(Policy::NumberDay, self.daily, DAY, log.opens_at(now, self.daily, DAY)),
        ]
        .into_iter()
        .flatten()
        .max_by_key(|limit| limit.retry_at)
        .map_or(Ok(()), Err)
    }

    /// Adds a message to the number's log.
    pub fn charge(&self, log: &mut SlidingLog, now: Timestamp) {
        log.push(now, DAY);
    }
}

/// The wait before attempt `attempts + 1`: 1 s × 2ⁿ, at most 60 s, ±20% by `jitter` (0 to 1), never less than what the
/// gateway asked for.
#[must_use]
pub fn backoff(attempts: u32, jitter: f64, asked: Option<Duration>) -> Duration {
    let base = Duration::from_secs(1 << attempts.saturating_sub(1).min(6)).min(Duration::from_secs(60));
    let wait = base.mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0));
    wait.max(asked.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn log(seconds: &[i64]) -> SlidingLog {
        let mut log = SlidingLog::default();
        for second in seconds {
            log.push(at(*second), DAY);
        }
        log
    }

    #[test]
    fn the_cooldown_opens_to_the_millisecond() {
        let limits = NumberLimits::default();
        let log = log(&[100_000]);
        let reached = limits.admit(&log, at(100_030) - Duration::from_millis(1)).unwrap_err();
        assert_eq!((reached.policy, reached.retry_at), (Policy::NumberCooldown, at(100_030)));
        assert_eq!(limits.admit(&log, at(100_030)), Ok(()));
    }

    #[test]
    fn the_hour_slides() {
        let limits = NumberLimits::default();
        let log = log(&[100_000, 100_100, 100_200, 100_300, 103_500]);
        let reached = limits.admit(&log, at(103_599)).unwrap_err();
        assert_eq!((reached.policy, reached.retry_at), (Policy::NumberHour, at(103_600)));
        assert_eq!(limits.admit(&log, at(103_600)), Ok(()));
    }

    #[test]
    fn the_limit_that_stays_closed_longest_answers() {
        let limits = NumberLimits { cooldown: Duration::from_secs(30).into(), hourly: 2, daily: 2 };
        let reached = limits.admit(&log(&[100_000, 100_010]), at(100_011)).unwrap_err();
        assert_eq!((reached.policy, reached.retry_at), (Policy::NumberDay, at(186_400)));
    }

    #[test]
    fn the_backoff_doubles_up_to_a_minute_and_honours_the_gateway() {
        let middle: Vec<_> = (1..=8).map(|n| backoff(n, 0.5, None).as_secs()).collect();
        assert_eq!(middle, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff(1, 0.5, Some(Duration::from_secs(9))), Duration::from_secs(9));
        assert_eq!(backoff(1, 0.0, None), Duration::from_millis(800));
        assert_eq!(backoff(1, 1.0, None), Duration::from_millis(1_200));
    }

    proptest! {
        #[test]
        fn admitting_whenever_allowed_never_exceeds_a_quota(steps in prop::collection::vec(1_i64..2_000, 1..200)) {
            let limits = NumberLimits { cooldown: Duration::from_secs(30).into(), hourly: 5, daily: 10 };
            let (mut log, mut now, mut sent) = (SlidingLog::default(), 1_000_000_i64, Vec::new());
            for step in steps {
                now += step;
                if limits.admit(&log, at(now)).is_ok() {
                    limits.charge(&mut log, at(now));
                    sent.push(now);
                }
            }
            for end in &sent {
                prop_assert!(sent.iter().filter(|s| **s <= *end && **s > end - 3_600).count() <= 5);
                prop_assert!(sent.iter().filter(|s| **s <= *end && **s > end - 86_400).count() <= 10);
            }
            prop_assert!(sent.windows(2).all(|pair| pair[1] - pair[0] >= 30));
            prop_assert_eq!(log.to_string().parse::<SlidingLog>().unwrap(), log);
        }

        #[test]
        fn the_moment_a_limit_names_is_the_first_that_is_admitted(moments in prop::collection::vec(0_i64..90_000, 1..30)) {
            let mut moments = moments;
            moments.sort_unstable();
            let limits = NumberLimits::default();
            let log = log(&moments.iter().map(|m| m + 100_000).collect::<Vec<_>>());
            let now = log.last().unwrap();
            if let Err(reached) = limits.admit(&log, now) {
                prop_assert!(limits.admit(&log, reached.retry_at - Duration::from_millis(1)).is_err());
                prop_assert!(limits.admit(&log, reached.retry_at).is_ok());
            }
        }
    }
}
