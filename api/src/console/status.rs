//! Is the service sending? One sentence, and the reason.

use std::time::Duration;

use hulak_broker::BrokerHealth;
use hulak_common::time::Timestamp;
use hulak_common::worker_registry::{Pause, WorkerRecord};
use hulak_store::WORKER_TTL;
use serde::Serialize;

use super::format;

/// A message that waits longer than this is late.
const LATE: Duration = Duration::from_secs(10);
/// A message that waits longer than this is too late.
const TOO_LATE: Duration = Duration::from_secs(60);
/// Fewer messages than this say nothing about the share of failures.
const FEW: u64 = 5;
/// As many failed calls in a row are an outage, and no accident.
const OUTAGE: u64 = 3;
/// With credits for fewer days than this, operators are warned.
const LOW_DAYS: f64 = 2.0;

/// How serious a status is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Good,
    Warn,
    Bad,
}

impl Level {
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// Whether the service is sending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct SendingStatus {
    #[serde(rename = "light")]
    pub(super) level: Level,
    /// The status in one sentence.
    pub(super) sentence: String,
    /// The reason, in sentences.
    pub(super) reason: String,
}

/// What the status is judged by.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) pause: Option<&'a Pause>,
    pub(super) workers: &'a [WorkerRecord],
    pub(super) broker: BrokerHealth,
    pub(super) oldest: Duration,
    pub(super) calls: Calls,
    /// Messages of the last five minutes.
    pub(super) sent: u64,
    pub(super) not_sent: u64,
    pub(super) main_failure: Option<&'a str>,
    pub(super) days_left: Option<f64>,
    pub(super) dead: Option<u64>,
}

/// What became of calls to the gateway in the last minute, and what waits for another one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Calls {
    /// The gateway took the message, or refused it alone: it works.
    pub(super) answered: u64,
    /// No connection, no answer, or told to come back later.
    pub(super) failed: u64,
    /// Messages that are being retried.
    pub(super) retrying: u64,
    /// Until the next of them is due.
    pub(super) next_retry: Option<Duration>,
}

impl Calls {
    /// What these calls say about the gateway. A message that is being retried is neither final nor late, so neither the outcomes
    /// nor the age of what waits show an outage.
    fn judge(&self) -> Option<SendingStatus> {
        let Self { answered, failed, retrying, next_retry } = *self;
        let trouble = failed.max(retrying);
        let (level, sentence) = match answered {
            0 if trouble >= OUTAGE => (Level::Bad, "Nothing is being sent: every call to the gateway fails."),
            0 if trouble > 0 => (Level::Warn, "The last call to the gateway failed."),
            _ if failed + answered >= FEW && failed * 5 > failed + answered => {
                (Level::Warn, "Messages are going out, but many calls to the gateway fail.")
            }
            _ => return None,
        };
        let next = next_retry.map_or(String::new(), |next| format!(", the next in {}", format::span(next)));
        let reason = format!(
            "In the last minute {failed} of {} calls failed. Messages that are being retried: {retrying}{next}. Codes that are not \
             sent in time expire.",
            failed + answered
        );
        Some(SendingStatus { level, sentence: sentence.to_owned(), reason })
    }
}

/// Whether a worker has sent a heartbeat in time.
pub(super) fn is_alive(worker: &WorkerRecord, now: Timestamp) -> bool {
    worker.seen_at > now - WORKER_TTL
}

/// The most serious problem, or that all is well.
pub(super) fn judge(facts: &Facts<'_>, now: Timestamp) -> SendingStatus {
    let say = |level, sentence: &str, reason: String| SendingStatus {
        level,
        sentence: sentence.to_owned(),
        reason,
    };
    if let Some(pause) = facts.pause {
        let why = if pause.reason.is_empty() { "no reason given" } else { &pause.reason };
        let reason = format!(
            "{} paused it {} ago: {why}. Codes that are not sent in time expire.",
            pause.by,
            format::span(now - pause.since)
        );
        return say(Level::Bad, "Sending is paused.", reason);
    }
    let live: Vec<_> = facts.workers.iter().filter(|worker| is_alive(worker, now)).collect();
    if live.is_empty() {
        let reason = "No worker has sent a heartbeat lately. Start one, or find out why it stopped.";
        return say(Level::Bad, "Nothing is being sent: no worker is running.", reason.to_owned());
    }
    if facts.broker == BrokerHealth::Down {
        let reason = "The API still accepts requests. The workers will send the waiting messages when RabbitMQ \
                      is back.";
        return say(Level::Bad, "Nothing is being sent: RabbitMQ is not available.", reason.to_owned());
    }
    let states = || live.iter().filter_map(|worker| worker.state.as_ref());
    let open = states().filter(|state| state.circuit == "open").count();
    if open > 0 {
        let code = states().find_map(|state| state.gateway_code);
        let reason = code.map_or_else(|| "The gateway gave no reason.".to_owned(), format::gateway_code);
        return if open == live.len() {
            say(Level::Bad, "Nothing is being sent: the gateway refuses the account.", reason)
        } else {
            let sentence =
                format!("{open} of {} workers are not sending: the gateway refuses the account.", live.len());
            say(Level::Warn, &sentence, reason)
        };
    }
    if let Some(status) = facts.calls.judge() {
        return status;
    }
    if facts.oldest > LATE {
        let (level, sentence) = if facts.oldest > TOO_LATE {
            (Level::Bad, "Sending is falling behind.")
        } else {
            (Level::Warn, "Sending is slow.")
        };
        let reason = format!("The oldest message has waited {} for a worker.", format::span(facts.oldest));
        return say(level, sentence, reason);
    }
    if facts.broker == BrokerHealth::Blocked {
        let reason = "RabbitMQ is short of memory or disk space. The relay will publish the waiting messages \
                      when it accepts them again.";
        return say(Level::Warn, "RabbitMQ accepts no messages.", reason.to_owned());
    }
    let ended = facts.sent + facts.not_sent;
    if ended >= FEW && facts.not_sent * 5 > ended {
        let why = facts.main_failure.map_or("", format::fault);
        let reason = format!(
            "{} of {ended} messages in the last five minutes. The most common reason: {why}.",
            facts.not_sent
        );
        return say(Level::Warn, "Messages are going out, but many fail.", reason);
    }
    if let Some(days) = facts.days_left.filter(|days| *days < LOW_DAYS) {
        let reason = format!("The credits are enough for {} at the last day's rate.", format::days(days));
        return say(Level::Warn, "Messages are going out, but credits are running low.", reason);
    }
    let mut reason = match facts.sent {
        0 => "No message was sent in the last five minutes.".to_owned(),
        1 => "One message in the last five minutes.".to_owned(),
        sent => format!("{sent} messages in the last five minutes."),
    };
    if let Some(dead) = facts.dead.filter(|dead| *dead > 0) {
        reason.push_str(&format!(" Dead letters to look at: {dead}."));
    }
    let sentence = if facts.sent == 0 { "Ready to send." } else { "Messages are going out." };
    say(Level::Good, sentence, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hulak_common::worker_registry::WorkerState;
    use uuid::Uuid;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn worker(circuit: &str, code: Option<i32>) -> WorkerRecord {
        let state = WorkerState {
            circuit: circuit.to_owned(),
            gateway_code: code.map(Into::into),
            ..WorkerState::default()
        };
        WorkerRecord { id: Uuid::nil(), seen_at: NOW, state: Some(state) }
    }

    fn facts(workers: &[WorkerRecord]) -> Facts<'_> {
        Facts {
            pause: None,
            workers,
            broker: BrokerHealth::Up,
            oldest: Duration::ZERO,
            calls: Calls { answered: 100, ..Calls::default() },
            sent: 100,
            not_sent: 0,
            main_failure: None,
            days_left: None,
            dead: None,
        }
    }

    #[test]
    fn the_worst_problem_is_told_with_its_reason() {
        let (well, open) = (worker("closed", None), worker("open", Some(1012)));
        let all_well = [well.clone()];
        let said = |facts: &Facts<'_>| {
            let status = judge(facts, NOW);
            (status.level, format!("{} {}", status.sentence, status.reason))
        };
        let expect = |facts: &Facts<'_>, level, words: &str| {
            let (judged, text) = said(facts);
            assert!(judged == level && text.contains(words), "{judged:?}: {text}");
        };
        expect(&facts(&all_well), Level::Good, "100 messages in the last five minutes");
        expect(&Facts { sent: 0, ..facts(&all_well) }, Level::Good, "Ready to send.");
        expect(&facts(&[]), Level::Bad, "no worker is running");
        let gone = [WorkerRecord { seen_at: NOW - WORKER_TTL, ..well.clone() }];
        expect(&facts(&gone), Level::Bad, "no worker is running");
        expect(&facts(std::slice::from_ref(&open)), Level::Bad, "1012: no credits");
        expect(&facts(&[open, well]), Level::Warn, "1 of 2 workers");
        expect(
            &Facts { broker: BrokerHealth::Down, ..facts(&all_well) },
            Level::Bad,
            "RabbitMQ is not available",
        );
        expect(&Facts { broker: BrokerHealth::Blocked, ..facts(&all_well) }, Level::Warn, "memory or disk");
        let late = Duration::from_secs(90);
        expect(&Facts { oldest: late, ..facts(&all_well) }, Level::Bad, "1 min 30 s");
        expect(&Facts { oldest: late / 5, ..facts(&all_well) }, Level::Warn, "18 s");
        let next_retry = Some(Duration::from_secs(7));
        for (level, calls) in [
            (Level::Bad, Calls { answered: 0, failed: 20, retrying: 149, next_retry }),
            // Between two tries of a few messages nothing is called.
            (Level::Bad, Calls { answered: 0, failed: 0, retrying: 3, next_retry }),
            (Level::Warn, Calls { answered: 0, failed: 1, retrying: 1, next_retry }),
            (Level::Warn, Calls { answered: 50, failed: 30, retrying: 30, next_retry }),
        ] {
            expect(&Facts { calls, sent: 0, ..facts(&all_well) }, level, "the next in 7 s");
        }
        let one = Calls { answered: 50, failed: 1, retrying: 1, next_retry };
        expect(&Facts { calls: one, ..facts(&all_well) }, Level::Good, "Messages are going out.");
        let failing = Facts { not_sent: 40, main_failure: Some("no-answer"), ..facts(&all_well) };
        expect(&failing, Level::Warn, "40 of 140");
        expect(&Facts { days_left: Some(0.5), ..facts(&all_well) }, Level::Warn, "credits are running low");
        expect(&Facts { dead: Some(3), ..facts(&all_well) }, Level::Good, "Dead letters to look at: 3");
        let pause = Pause { since: NOW - late, by: "staff".to_owned(), reason: "bill".to_owned() };
        expect(
            &Facts { pause: Some(&pause), ..facts(&[]) },
            Level::Bad,
            "staff paused it 1 min 30 s ago: bill",
        );
    }
}
