//! The only module that reads a clock.
//!
//! Hulak has one clock for limits and leases: the database's. A process measures its offset to it with
//! [`DatabaseClock::calibrate`] and passes the result into every statement, so a host whose own clock is wrong by
//! minutes does no harm, and a test can freeze time.
#![expect(clippy::disallowed_methods, reason = "this module is where the machine's clock is read")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::time::Timestamp;

/// The time that decisions use.
pub trait Clock: Send + Sync + std::fmt::Debug + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;

    /// Takes a reading of the database's clock: `read` is its time, `before` what [`Clock::now`] answered
    /// just before the question, `took` how long the question took. Clocks that cannot drift ignore it.
    fn calibrate(&self, _read: Timestamp, _before: Timestamp, _took: Duration) {}
}

/// A clock that can be shared.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock, corrected by a measured offset to the database's.
///
/// It advances by the monotonic clock, so that a change of the host's time does not move it.
#[derive(Debug)]
pub struct DatabaseClock {
    started: Instant,
    started_at: i64,
    offset_ms: AtomicI64,
}

impl DatabaseClock {
    /// A clock that agrees with this machine's until it is calibrated.
    #[must_use]
    pub fn new() -> Self {
        Self { started: Instant::now(), started_at: machine_now().as_millis(), offset_ms: AtomicI64::new(0) }
    }

    /// How far the database's clock is ahead of this machine's, in milliseconds.
    #[must_use]
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }
}

impl Default for DatabaseClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(self.started_at + elapsed + self.offset_ms.load(Ordering::Relaxed))
    }

    fn calibrate(&self, read: Timestamp, before: Timestamp, took: Duration) {
        // The reading was made somewhere within the exchange, so it only bounds the error: a difference within the bounds
        // (and a millisecond of rounding) may be no error at all. Only the part beyond them is corrected, so that a slow
        // exchange never moves a good clock.
        let half = i64::try_from(took.as_millis() / 2).unwrap_or(0);
        let error = read.as_millis() - (before.as_millis() + half);
        let sure = (error.abs() - (half + 1)).max(0);
        self.offset_ms.fetch_add(sure * error.signum(), Ordering::Relaxed);
    }
}

/// This machine's clock, which may be set at any time. Only a database without a clock of its own uses it.
#[must_use]
pub fn machine_now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// A clock for tests: it only moves when a test moves it.
#[derive(Debug)]
pub struct FrozenClock(AtomicI64);

impl FrozenClock {
    /// A clock that is frozen at `at`.
    #[must_use]
    pub fn at(at: Timestamp) -> Self {
        Self(AtomicI64::new(at.as_millis()))
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap_or(0), Ordering::SeqCst);
    }
}

impl Clock for FrozenClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// This machine's clock, for the times of spans; never for decisions.
#[must_use]
pub fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// Measures how long something took, for logs and for [`Clock::calibrate`]; never for decisions.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_machine_clock_is_corrected_by_calibration() {
        let clock = DatabaseClock::new();
        let before = clock.now();
        clock.calibrate(before + Duration::from_secs(600), before, Duration::from_millis(2));
        assert!((599_990..=600_010).contains(&(clock.now() - before).as_millis()));
    }

    #[test]
    fn a_slow_exchange_does_not_push_a_good_clock_off() {
        let clock = DatabaseClock::new();
        let before = clock.now();
        let took = Duration::from_millis(2_000);
        // The reading was made at the very beginning, or at the very end, of two slow seconds.
        for read in [before, before + took] {
            clock.calibrate(read, before, took);
            assert_eq!(clock.offset_ms(), 0);
        }
        // A hundred milliseconds ahead for sure, and perhaps two seconds more.
        clock.calibrate(before + took + Duration::from_millis(101), before, took);
        assert_eq!(clock.offset_ms(), 100);
        // A quick exchange tells more.
        clock.calibrate(before + Duration::from_millis(500), before, Duration::from_millis(2));
        assert_eq!(clock.offset_ms(), 100 + 497);
    }
}
