//! The circuit to the gateway. It opens when the gateway refuses the whole account: no message is to blame, so none is
//! tried until a probe, and then one real message, shows that the account is in order again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hulak_runtime::metrics;
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
    /// They may not, because an operator says so; whether the circuit is open is asked again when sending goes on.
    Paused,
}

impl Phase {
    /// Whether no message may go out.
    #[must_use]
    pub const fn stops(self) -> bool {
        matches!(self, Self::Open | Self::Paused)
    }
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Whether the one message of the trial is out.
    trying: bool,
    /// Refusals in a row.
    refusals: u32,
    /// How often it has opened.
    openings: u64,
    /// The gateway's code with the last of them.
    code: Option<i32>,
    /// Whether an operator has stopped sending.
    paused: bool,
}

impl State {
    /// What is shown to the world.
    const fn shown(&self) -> Phase {
        if self.paused { Phase::Paused } else { self.phase }
    }
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
    /// See [`State::openings`]: what was sent before it opened tells nothing about the account as it is now.
    openings: u64,
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
            state: Mutex::new(State {
                phase: Phase::Closed,
                trying: false,
                refusals: 0,
                openings: 0,
                code: None,
                paused: false,
            }),
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
        self.change(|state| match state.shown() {
            Phase::Closed => Ok(Some(Pass { breaker: self, trial: false, openings: state.openings })),
            Phase::Open | Phase::Paused => Ok(None),
            Phase::Trial if state.trying => Err(()),
            Phase::Trial => {
                state.trying = true;
                Ok(Some(Pass { breaker: self, trial: true, openings: state.openings }))
            }
        })
    }

    /// Stops sending, or lets it go on. The circuit stays as it is.
    pub fn pause(&self, paused: bool) {
        self.change(|state| state.paused = paused);
    }

    /// The circuit itself, whether sending is paused or not, with the gateway's code when it is not closed.
    #[must_use]
    pub fn circuit(&self) -> (&'static str, Option<i32>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.phase {
            Phase::Trial => ("trial", state.code),
            Phase::Open => ("open", state.code),
            Phase::Closed | Phase::Paused => ("closed", None),
        }
    }

    /// Notes with which code the gateway refuses the account.
    pub fn refused_with(&self, code: i32) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).code = Some(code);
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
        let (before, circuit) = (state.shown(), state.phase);
        let result = change(&mut state);
        if state.phase != circuit {
            metrics::worker().circuit(state.phase != Phase::Closed);
        }
        if state.shown() != before {
            self.phase.send_replace(state.shown());
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
    /// Whether the message may still go: while it waited for its turn the circuit may have opened, or sending been paused.
    #[must_use]
    pub fn renew(&mut self) -> bool {
        let (trial, openings) = (self.trial, &mut self.openings);
        self.breaker.change(|state| {
            *openings = state.openings;
            !state.paused && (trial || state.phase == Phase::Closed)
        })
    }

    /// Resolves when the message may not go any more.
    pub async fn voided(&self) {
        if self.trial {
            return std::future::pending().await;
        }
        // The breaker outlives its passes, so waiting cannot fail.
        let _opened =
            self.breaker.phase().wait_for(|phase| *phase != Phase::Closed).await.map(|phase| *phase);
    }

    /// What the message's answer tells. Answers whether the circuit has just opened.
    pub fn settle(mut self, verdict: Verdict) -> bool {
        let trial = std::mem::take(&mut self.trial);
        let openings = self.openings;
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
                // Messages that were already out when it opened come back with the same refusal: counted once, also when
                // they come back during the trial, or after it.
                (Verdict::Refused, Phase::Closed | Phase::Trial) if openings == state.openings => {
                    state.openings += 1;
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
    async fn what_was_out_when_it_opened_has_no_say_in_the_trial() {
        let breaker = Breaker::new();
        let mut passes = Vec::new();
        for _ in 0..4 {
            passes.push(breaker.pass().await.unwrap());
        }
        passes.pop().unwrap().settle(Verdict::Refused);
        let mut waiting = passes.pop().unwrap();
        assert!(!waiting.renew(), "it was not sent yet, and may not be");
        waiting.voided().await;

        breaker.probed(Verdict::Good);
        let mut trial = breaker.pass().await.unwrap();
        assert!(trial.renew() && !waiting.renew());
        assert!(!passes.pop().unwrap().settle(Verdict::Refused));
        assert_eq!(*breaker.phase().borrow(), Phase::Trial, "an old refusal ends no trial");
        trial.settle(Verdict::Good);
        assert!(!passes.pop().unwrap().settle(Verdict::Refused));
        assert_eq!(*breaker.phase().borrow(), Phase::Closed, "nor does it open the circuit again");
        // One that waited all the time, and is sent now, does.
        assert!(waiting.renew() && waiting.settle(Verdict::Refused));
        assert_eq!(breaker.wait(), Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_pause_stops_and_leaves_the_circuit_as_it_is() {
        let breaker = Breaker::new();
        let mut waiting = breaker.pass().await.unwrap();
        breaker.pause(true);
        waiting.voided().await;
        assert!(!waiting.renew(), "it has its permit, and may not go");
        assert!(breaker.pass().await.is_none());
        assert_eq!(breaker.circuit(), ("closed", None));
        breaker.pause(false);
        breaker.refused_with(1012);
        assert!(breaker.pass().await.unwrap().settle(Verdict::Refused));
        breaker.pause(true);
        assert_eq!((*breaker.phase().borrow(), breaker.circuit()), (Phase::Paused, ("open", Some(1012))));
        breaker.pause(false);
        assert_eq!(*breaker.phase().borrow(), Phase::Open, "the account is still refused");
        breaker.probed(Verdict::Good);
        breaker.pause(true);
        assert!(breaker.pass().await.is_none());
        breaker.pause(false);
        assert!(!breaker.pass().await.unwrap().settle(Verdict::Good));
        assert_eq!(*breaker.phase().borrow(), Phase::Closed);
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
