//! Replays the recent behaviour of the gateway for decoy messages, so that an observer of a stranger's sign-in sees the same
//! delays and failures as with a real message.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hulak_common::rng::Rng;

use crate::gateway::SendResult;

/// Calls kept: few enough that an outage shows at once, and its end too.
const CALLS: usize = 16;
/// Used before the first call: about the time that a call to a gateway in the same country takes.
const FIRST: (Duration, SendResult) = (Duration::from_millis(150), SendResult::Accepted);

/// The latest calls: how long each took, and how it ended.
#[derive(Debug, Default)]
pub struct RecentCalls(Mutex<VecDeque<(Duration, SendResult)>>);

impl RecentCalls {
    /// Adds a call. A refusal of one receiver is left out: it says nothing about other receivers.
    pub fn add(&self, took: Duration, result: SendResult) {
        if matches!(result, SendResult::Refused(_)) {
            return;
        }
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() == CALLS {
            calls.pop_front();
        }
        calls.push_back((took, result));
    }

    /// One of them at random.
    pub fn sample(&self, rng: &Rng) -> (Duration, SendResult) {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a fraction of a dozen"
        )]
        let index = (rng.fraction() * calls.len() as f64) as usize;
        calls.get(index).copied().unwrap_or(FIRST)
    }
}

#[cfg(test)]
mod tests {
    use hulak_common::verification::DeliveryFault;

    use super::*;

    const UNKNOWN: (Duration, SendResult) = (Duration::from_secs(5), SendResult::Unknown);

    #[test]
    fn samples_are_of_the_latest_calls() {
        let (calls, rng) = (RecentCalls::default(), Rng::seeded(1));
        assert_eq!(calls.sample(&rng), FIRST);
        let refused = SendResult::refused(DeliveryFault::InvalidReceiver, 1007.into());
        calls.add(Duration::from_millis(1), refused);
        assert_eq!(calls.sample(&rng), FIRST, "that was about one receiver");
        for _ in 0..CALLS {
            calls.add(Duration::from_millis(3), SendResult::Accepted);
        }
        for _ in 0..CALLS {
            calls.add(UNKNOWN.0, UNKNOWN.1);
        }
        assert!((0..100).all(|_| calls.sample(&rng) == UNKNOWN));
    }
}
