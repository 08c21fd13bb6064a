//! What the gateway has been like lately, for messages that only seem to be sent: whoever watches a stranger's sign-in sees
//! the same delays and the same troubles as everybody else.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hulak_common::rng::Rng;

use crate::gateway::Answer;

/// Calls remembered: few enough that an outage shows at once, and its end too.
const CALLS: usize = 16;
/// Before the first call: about what a gateway across the country takes.
const FIRST: (Duration, Answer) = (Duration::from_millis(150), Answer::Accepted);

/// The latest calls: how long each took, and how it ended.
#[derive(Debug, Default)]
pub struct Mimic(Mutex<VecDeque<(Duration, Answer)>>);

impl Mimic {
    /// Remembers a call. What says something about its receiver alone is left out.
    pub fn note(&self, took: Duration, answer: Answer) {
        if matches!(answer, Answer::Refused(_)) {
            return;
        }
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() == CALLS {
            calls.pop_front();
        }
        calls.push_back((took, answer));
    }

    /// A call like one of those.
    pub fn sample(&self, rng: &Rng) -> (Duration, Answer) {
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
    use hulak_common::verification::{DeliveryError, DeliveryFault};

    use super::*;

    const UNKNOWN: (Duration, Answer) = (Duration::from_secs(5), Answer::Unknown);

    #[test]
    fn samples_are_of_the_latest_calls() {
        let (mimic, rng) = (Mimic::default(), Rng::seeded(1));
        assert_eq!(mimic.sample(&rng), FIRST);
        let refused = DeliveryError { code: DeliveryFault::InvalidReceiver, gateway_code: Some(1007) };
        mimic.note(Duration::from_millis(1), Answer::Refused(refused));
        assert_eq!(mimic.sample(&rng), FIRST, "that was about one receiver");
        for _ in 0..CALLS {
            mimic.note(Duration::from_millis(3), Answer::Accepted);
        }
        for _ in 0..CALLS {
            mimic.note(UNKNOWN.0, UNKNOWN.1);
        }
        assert!((0..100).all(|_| mimic.sample(&rng) == UNKNOWN));
    }
}
