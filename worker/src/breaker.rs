//! The circuit to the gateway. It opens when the gateway refuses the whole account: then no message is sent until a probe, and
//! after it one real message as a trial, shows that the account is in order again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hulak_common::gateway_codes::GatewayCode;
use hulak_runtime::metrics;
use tokio::sync::watch;

/// The longest wait before a probe. The wait starts at a second and doubles with each refusal in a row.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Whether messages may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// They may.
    Closed,
    /// A probe was good: one message may go out, and its result closes or opens the circuit.
    Trial,
    /// They may not.
    Open,
    /// They may not, because an operator paused sending; when sending resumes, the circuit decides again.
    Paused,
}

impl Phase {
    /// Whether it stops all messages.
    #[must_use]
    pub const fn stops(self) -> bool {
        matches!(self, Self::Open | Self::Paused)
    }
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Whether the message of the trial is being sent.
    trying: bool,
    /// Refusals in a row.
    refusals: u32,
    /// How often the circuit has opened.
    openings: u64,
    /// The gateway's code of the last refusal.
    code: Option<GatewayCode>,
    /// Whether an operator has paused sending.
    paused: bool,
}

impl State {
    /// The phase that the worker acts on.
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

/// The permission to send one message. A pass that is dropped without [`Pass::settle`] says nothing about the account.
#[derive(Debug)]
pub struct Pass<'a> {
    breaker: &'a Breaker,
    trial: bool,
    /// [`State::openings`] when the message was sent: a result from before the last opening says nothing about the account now.
    openings: u64,
}

/// The state of the account, as a message or a probe shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountState {
    /// It is in order.
    Good,
    /// The gateway refuses it.
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

    /// The phase, and its changes.
    #[must_use]
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Waits for the permission to send one message. `None` while the circuit is open or sending is paused.
    pub async fn pass(&self) -> Option<Pass<'_>> {
        let mut phase = self.phase.subscribe();
        loop {
            phase.borrow_and_update();
            match self.try_pass() {
                Ok(pass) => return pass,
                // Another message is the trial.
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

    /// Pauses or resumes sending. The circuit does not change.
    pub fn pause(&self, paused: bool) {
        self.change(|state| state.paused = paused);
    }

    /// The circuit, whether or not sending is paused, and the gateway's code when it is not closed.
    #[must_use]
    pub fn circuit(&self) -> (&'static str, Option<GatewayCode>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.phase {
            Phase::Trial => ("trial", state.code),
            Phase::Open => ("open", state.code),
            Phase::Closed | Phase::Paused => ("closed", None),
        }
    }

    /// Stores the code with which the gateway refuses the account.
    pub fn refused_with(&self, code: GatewayCode) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).code = Some(code);
    }

    /// The wait before the next probe.
    #[must_use]
    pub fn wait(&self) -> Duration {
        let refusals = self.state.lock().unwrap_or_else(PoisonError::into_inner).refusals;
        Duration::from_secs(1 << refusals.saturating_sub(1).min(6)).min(MAX_WAIT)
    }

    /// Takes the result of a probe.
    pub fn probed(&self, account: AccountState) {
        self.change(|state| match (state.phase, account) {
            (Phase::Open, AccountState::Good) => {
                state.phase = Phase::Trial;
                state.trying = false;
            }
            (Phase::Open, AccountState::Refused) => state.refusals = state.refusals.saturating_add(1),
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
    /// Whether the message may still be sent: while it waited, the circuit may have opened or sending may have been paused.
    #[must_use]
    pub fn renew(&mut self) -> bool {
        let (trial, openings) = (self.trial, &mut self.openings);
        self.breaker.change(|state| {
            *openings = state.openings;
            !state.paused && (trial || state.phase == Phase::Closed)
        })
    }

    /// Resolves when the message must not be sent any more.
    pub async fn voided(&self) {
        if self.trial {
            return std::future::pending().await;
        }
        // The breaker outlives its passes, so waiting cannot fail.
        let _opened =
            self.breaker.phase().wait_for(|phase| *phase != Phase::Closed).await.map(|phase| *phase);
    }

    /// Takes the result of the message. Answers whether it opened the circuit.
    pub fn settle(mut self, account: AccountState) -> bool {
        let trial = std::mem::take(&mut self.trial);
        let openings = self.openings;
        self.breaker.change(|state| {
            if trial {
                state.trying = false;
            }
            match (account, state.phase) {
                (AccountState::Good, Phase::Trial) if trial => {
                    state.phase = Phase::Closed;
                    state.refusals = 0;
                    false
                }
                (AccountState::Good, Phase::Closed) => {
                    state.refusals = 0;
                    false
                }
                // Messages in flight when the circuit opened get the same refusal, perhaps during the trial or after it:
                // they do not count again.
                (AccountState::Refused, Phase::Closed | Phase::Trial) if openings == state.openings => {
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
            // The trial had no result: the next message is the trial.
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
        assert!(first.settle(AccountState::Refused));
        assert!(!late.settle(AccountState::Refused), "a late refusal of the same kind is not a new one");
        assert!(breaker.pass().await.is_none());
        assert_eq!(breaker.wait(), Duration::from_secs(1));

        breaker.probed(AccountState::Good);
        let trial = breaker.pass().await.unwrap();
        assert!(breaker.try_pass().is_err(), "there is one trial at a time");
        assert!(trial.settle(AccountState::Refused));
        assert_eq!(breaker.wait(), Duration::from_secs(2));

        breaker.probed(AccountState::Good);
        drop(breaker.pass().await.unwrap());
        let again = breaker.pass().await.unwrap();
        assert!(!again.settle(AccountState::Good));
        assert_eq!(*breaker.phase().borrow(), Phase::Closed);
        assert!(breaker.pass().await.is_some() && breaker.pass().await.is_some());
    }

    #[tokio::test]
    async fn what_was_in_flight_when_it_opened_does_not_decide_the_trial() {
        let breaker = Breaker::new();
        let mut passes = Vec::new();
        for _ in 0..4 {
            passes.push(breaker.pass().await.unwrap());
        }
        passes.pop().unwrap().settle(AccountState::Refused);
        let mut waiting = passes.pop().unwrap();
        assert!(!waiting.renew(), "it was not sent yet, and must not be");
        waiting.voided().await;

        breaker.probed(AccountState::Good);
        let mut trial = breaker.pass().await.unwrap();
        assert!(trial.renew() && !waiting.renew());
        assert!(!passes.pop().unwrap().settle(AccountState::Refused));
        assert_eq!(*breaker.phase().borrow(), Phase::Trial, "an old refusal ends no trial");
        trial.settle(AccountState::Good);
        assert!(!passes.pop().unwrap().settle(AccountState::Refused));
        assert_eq!(*breaker.phase().borrow(), Phase::Closed, "nor does it open the circuit again");
        // The refusal of a message that waited and is sent now does.
        assert!(waiting.renew() && waiting.settle(AccountState::Refused));
        assert_eq!(breaker.wait(), Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_pause_stops_and_leaves_the_circuit_as_it_is() {
        let breaker = Breaker::new();
        let mut waiting = breaker.pass().await.unwrap();
        breaker.pause(true);
        waiting.voided().await;
        assert!(!waiting.renew(), "it has its pass, and must not be sent");
        assert!(breaker.pass().await.is_none());
        assert_eq!(breaker.circuit(), ("closed", None));
        breaker.pause(false);
        breaker.refused_with(1012.into());
        assert!(breaker.pass().await.unwrap().settle(AccountState::Refused));
        breaker.pause(true);
        assert_eq!(
            (*breaker.phase().borrow(), breaker.circuit()),
            (Phase::Paused, ("open", Some(1012.into())))
        );
        breaker.pause(false);
        assert_eq!(*breaker.phase().borrow(), Phase::Open, "the account is still refused");
        breaker.probed(AccountState::Good);
        breaker.pause(true);
        assert!(breaker.pass().await.is_none());
        breaker.pause(false);
        assert!(!breaker.pass().await.unwrap().settle(AccountState::Good));
        assert_eq!(*breaker.phase().borrow(), Phase::Closed);
    }

    #[tokio::test]
    async fn the_wait_doubles_up_to_a_minute() {
        let breaker = Breaker::new();
        breaker.pass().await.unwrap().settle(AccountState::Refused);
        let waits: Vec<_> = (0..8)
            .map(|_| {
                let wait = breaker.wait().as_secs();
                breaker.probed(AccountState::Refused);
                wait
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[tokio::test]
    async fn a_message_that_waits_for_a_trial_goes_after_it() {
        let breaker = std::sync::Arc::new(Breaker::new());
        breaker.pass().await.unwrap().settle(AccountState::Refused);
        breaker.probed(AccountState::Good);
        let trial = breaker.pass().await.unwrap();
        let waiter = tokio::spawn({
            let breaker = std::sync::Arc::clone(&breaker);
            async move { breaker.pass().await.is_some() }
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        trial.settle(AccountState::Good);
        assert!(waiter.await.unwrap());
    }
}
