//! The circuit to the gateway. It opens when the gateway refuses the whole account: no message is to blame, so none is
//! tried until a probe, and then one real message, shows that the account is in order again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hulak_common::meter;
use tokio::sync::watch;

/// The wait after the n-th refusal in a row doubles up to this.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Whether messages may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// They may.
    Closed,
    /// A probe was good: one message may go, and its answer decides.
    Trial,
    /// They may not.
    Open,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Whether the one message of the trial is out.
    trying: bool,
    /// Refusals in a row.
    refusals: u32,
}

/// The circuit.
#[derive(Debug)]
pub struct Breaker {
    state: Mutex<State>,
    phase: watch::Sender<Phase>,
}

/// Leave to send one message. Dropping it without [`Pass::settle`] tells nothing about the account.
#[derive(Debug)]
pub struct Pass<'a> {
    breaker: &'a Breaker,
    trial: bool,
}

/// What a message's answer tells about the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is in order.
    Good,
    /// It is refused.
    Refused,
}

impl Breaker {
    /// A closed circuit.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State { phase: Phase::Closed, trying: false, refusals: 0 }),
            phase: watch::Sender::new(Phase::Closed),
        }
    }

    /// Where it stands, and whenever that changes.
    #[must_use]
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Waits for leave to send one message. `None` while the circuit is open.
    pub async fn pass(&self) -> Option<Pass<'_>> {
        let mut phase = self.phase.subscribe();
        loop {
            phase.borrow_and_update();
            match self.try_pass() {
                Ok(pass) => return pass,
                // Another message is on trial.
                Err(()) => phase.changed().await.ok()?,
            }
        }
    }

    fn try_pass(&self) -> Result<Option<Pass<'_>>, ()> {
        self.change(|state| match state.phase {
            Phase::Closed => Ok(Some(Pass { breaker: self, trial: false })),
            Phase::Open => Ok(None),
            Phase::Trial if state.trying => Err(()),
            Phase::Trial => {
                state.trying = true;
                Ok(Some(Pass { breaker: self, trial: true }))
            }
        })
    }

    /// How long to wait before the next probe.
    #[must_use]
    pub fn wait(&self) -> Duration {
        let refusals = self.state.lock().unwrap_or_else(PoisonError::into_inner).refusals;
        Duration::from_secs(1 << refusals.saturating_sub(1).min(6)).min(MAX_WAIT)
    }

    /// A probe's answer.
    pub fn probed(&self, verdict: Verdict) {
        self.change(|state| match (state.phase, verdict) {
            (Phase::Open, Verdict::Good) => {
                state.phase = Phase::Trial;
                state.trying = false;
            }
            (Phase::Open, Verdict::Refused) => state.refusals = state.refusals.saturating_add(1),
            _ => {}
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.phase;
        let result = change(&mut state);
        if state.phase != before {
            meter::worker().circuit(state.phase != Phase::Closed);
            self.phase.send_replace(state.phase);
        }
        result
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new()
    }
}

impl Pass<'_> {
    /// What the message's answer tells. Answers whether the circuit has just opened.
    pub fn settle(mut self, verdict: Verdict) -> bool {
        let trial = std::mem::take(&mut self.trial);
        self.breaker.change(|state| {
            if trial {
                state.trying = false;
            }
            match (verdict, state.phase) {
                (Verdict::Good, Phase::Trial) if trial => {
                    state.phase = Phase::Closed;
                    state.refusals = 0;
                    false
                }
                (Verdict::Good, Phase::Closed) => {
                    state.refusals = 0;
                    false
                }
                // Messages that were already out when it opened come back with the same refusal: counted once.
                (Verdict::Refused, Phase::Closed) | (Verdict::Refused, Phase::Trial) => {
                    state.refusals = state.refusals.saturating_add(1);
                    state.phase = Phase::Open;
                    true
                }
                _ => false,
            }
        })
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.trial {
            // The trial told nothing: the next message is on trial.
            let breaker = self.breaker;
            breaker.change(|state| state.trying = false);
            breaker.phase.send_modify(|_| {});
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_message_goes_first_after_a_good_probe() {
        let breaker = Breaker::new();
        let (first, late) = (breaker.pass().await.unwrap(), breaker.pass().await.unwrap());
        assert!(first.settle(Verdict::Refused));
        assert!(!late.settle(Verdict::Refused), "a late refusal of the same kind is not a new one");
        assert!(breaker.pass().await.is_none());
        assert_eq!(breaker.wait(), Duration::from_secs(1));

        breaker.probed(Verdict::Good);
        let trial = breaker.pass().await.unwrap();
        assert!(breaker.try_pass().is_err(), "only one message is on trial");
        assert!(trial.settle(Verdict::Refused));
        assert_eq!(breaker.wait(), Duration::from_secs(2));

        breaker.probed(Verdict::Good);
        drop(breaker.pass().await.unwrap());
        let again = breaker.pass().await.unwrap();
        assert!(!again.settle(Verdict::Good));
        assert_eq!(*breaker.phase().borrow(), Phase::Closed);
        assert!(breaker.pass().await.is_some() && breaker.pass().await.is_some());
    }

    #[tokio::test]
    async fn the_wait_doubles_up_to_a_minute() {
        let breaker = Breaker::new();
        breaker.pass().await.unwrap().settle(Verdict::Refused);
        let waits: Vec<_> = (0..8)
            .map(|_| {
                let wait = breaker.wait().as_secs();
                breaker.probed(Verdict::Refused);
                wait
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[tokio::test]
    async fn whoever_waits_for_a_trial_hears_its_end() {
        let breaker = std::sync::Arc::new(Breaker::new());
        breaker.pass().await.unwrap().settle(Verdict::Refused);
        breaker.probed(Verdict::Good);
        let trial = breaker.pass().await.unwrap();
        let waiter = tokio::spawn({
            let breaker = std::sync::Arc::clone(&breaker);
            async move { breaker.pass().await.is_some() }
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        trial.settle(Verdict::Good);
        assert!(waiter.await.unwrap());
    }
}
