//! The cooldown of a number, in every place where it counts: between two requests, until a verification's next message may be asked
//! for, and between two sends.

use std::time::Duration;

use crate::time::Timestamp;

/// What may have arrived is not sent again sooner, whatever the cooldown is.
const LEAST_AFTER_AMBIGUOUS: Duration = Duration::from_secs(1);

/// How long a number rests between two messages; zero turns pacing off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cooldown(Duration);

impl From<Duration> for Cooldown {
    fn from(rest: Duration) -> Self {
        Self(rest)
    }
}

impl Cooldown {
    /// The window that a refusal names.
    #[must_use]
    pub const fn window(self) -> Duration {
        self.0
    }

    /// When a number may be asked for again after a request at `asked_at`: by whichever client, and for another message of the same
    /// verification.
    #[must_use]
    pub fn after_request(self, asked_at: Timestamp) -> Timestamp {
        asked_at + self.0
    }

    /// Until when a claim paces its number: as long as its call may last, and at least as if it had called at once, should its
    /// worker never tell.
    #[must_use]
    pub fn after_claim(self, claimed_at: Timestamp, lease_until: Timestamp) -> Timestamp {
        lease_until.max(claimed_at + self.0)
    }

    /// Until when a number rests after the gateway took a message.
    #[must_use]
    pub fn after_accepted(self, now: Timestamp) -> Timestamp {
        now + self.0
    }

    /// The same after a call, begun at `called_at`, that nobody knows the outcome of.
    #[must_use]
    pub fn after_ambiguous(self, called_at: Timestamp, now: Timestamp) -> Timestamp {
        now.max(called_at + self.0.max(LEAST_AFTER_AMBIGUOUS))
    }

    /// When to look again at a number that is paced, if it is now. A claim paces its number for its whole lease, in case its call
    /// takes that long; it rarely does.
    #[must_use]
    pub fn paced(self, paced_until: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let until = paced_until.filter(|until| *until > now && !self.0.is_zero())?;
        Some(until.min(now + self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[test]
    fn a_number_rests_as_long_everywhere() {
        let seconds = |n: u64| Duration::from_secs(n);
        let (cooldown, later) = (Cooldown::from(seconds(30)), NOW + seconds(30));
        assert_eq!(cooldown.after_request(NOW), later);
        assert_eq!(cooldown.after_accepted(NOW), later);
        assert_eq!(cooldown.after_claim(NOW, NOW + seconds(20)), later);
        assert_eq!(
            cooldown.after_claim(NOW, NOW + seconds(40)),
            NOW + seconds(40),
            "while the call may last"
        );
        assert_eq!(cooldown.after_ambiguous(NOW, NOW + seconds(10)), later);
        assert_eq!(cooldown.after_ambiguous(NOW, NOW + seconds(40)), NOW + seconds(40));
    }

    #[test]
    fn a_paced_number_is_looked_at_again_after_the_cooldown() {
        let (cooldown, off) = (Cooldown::from(Duration::from_secs(30)), Cooldown::from(Duration::ZERO));
        let in_a_minute = Some(NOW + Duration::from_secs(60));
        assert_eq!(cooldown.paced(in_a_minute, NOW), Some(NOW + Duration::from_secs(30)));
        assert_eq!(
            cooldown.paced(Some(NOW + Duration::from_secs(1)), NOW),
            Some(NOW + Duration::from_secs(1))
        );
        assert_eq!(cooldown.paced(Some(NOW), NOW), None);
        assert_eq!(cooldown.paced(None, NOW), None);
        assert_eq!(off.paced(in_a_minute, NOW), None);
        assert_eq!(off.after_ambiguous(NOW, NOW), NOW + LEAST_AFTER_AMBIGUOUS);
    }
}
