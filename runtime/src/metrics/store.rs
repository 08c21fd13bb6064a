//! What the store's decisions did, counted by the process that committed the transaction.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Label};

use super::carriers::{Counters, Histograms, Labels};
use super::catalogue::{
    APPROVAL_TIME, CHECKS, CREATED, ENDED, FAILURES, GATEWAY_TIME, MESSAGES_ENDED, PARTS, REQUESTED,
};
use hulak_common::phone::PhoneNumber;
use hulak_common::text_enum::text_enum;
use hulak_common::verification::{Delivery, DeliveryFault, Status};

/// An effect of a committed transaction. Messages of the routes `null` and `decoy` have none: they cost no credit and say
/// nothing about the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// A verification began.
    Created {
        /// Its number.
        phone: PhoneNumber,
    },
    /// A verification ended.
    Ended {
        /// Its number.
        phone: PhoneNumber,
        /// How.
        status: Status,
        /// How long after it began.
        after: Duration,
    },
    /// A message for the gateway was added.
    Requested {
        /// Its receiver.
        phone: PhoneNumber,
    },
    /// A message for the gateway became final.
    Final {
        /// Its receiver.
        phone: PhoneNumber,
        /// How.
        outcome: Delivery,
        /// What went wrong last.
        fault: Option<DeliveryFault>,
        /// How long after it was asked for.
        after: Duration,
        /// SMS parts that the gateway took, if it did.
        parts: u64,
    },
}

text_enum! {
    /// What came of a check.
    CheckResult {
        /// It was right.
        Approved => "approved",
        /// It was wrong.
        Incorrect => "incorrect",
        /// It was no code.
        Malformed => "malformed",
        /// Too late.
        Expired => "expired",
        /// Another check was first.
        AlreadyApproved => "already_approved",
        /// The verification was taken back.
        Canceled => "canceled",
        /// A limit of wrong codes is reached.
        TooMany => "too_many",
        /// The account cannot have the number any more.
        AccountConflict => "account_conflict",
        /// There is no such verification.
        NotFound => "not_found",
        /// Its secret is not known here.
        UnknownKey => "unknown_key",
        /// A first answer was given again.
        Replayed => "replayed",
        /// The idempotency key came with another request before.
        KeyReused => "key_reused",
    }
}

/// Counts what the store's decisions did.
#[derive(Debug)]
pub struct StoreMetrics {
    labels: &'static Labels,
    created: Counters,
    ended: Counters,
    approval_time: Histograms,
    checks: Vec<Counter>,
    requested: Counters,
    messages: Counters,
    parts: Counters,
    /// By fault; the last one counts messages that expired without a fault.
    failures: Vec<Counter>,
    gateway_time: Histograms,
}

/// This process's metrics of the store.
pub fn store() -> &'static StoreMetrics {
    static METRICS: OnceLock<StoreMetrics> = OnceLock::new();
    METRICS.get_or_init(|| StoreMetrics::new(super::carriers::labels()))
}

impl StoreMetrics {
    fn new(labels: &'static Labels) -> Self {
        let status = |status: &Status| {
            (*status != Status::Pending).then(|| Label::from_static_parts("status", status.as_str()))
        };
        let outcome = |outcome: &Delivery| {
            (!outcome.is_open()).then(|| Label::from_static_parts("outcome", outcome.as_str()))
        };
        let reasons = DeliveryFault::ALL.iter().map(|fault| fault.as_str()).chain(["too-late"]);
        Self {
            labels,
            created: Counters::plain(&CREATED, labels),
            ended: Counters::new(&ENDED, labels, &Status::ALL.iter().map(status).collect::<Vec<_>>()),
            approval_time: Histograms::new(&APPROVAL_TIME, labels),
            checks: CheckResult::ALL
                .iter()
                .map(|result| CHECKS.counter(vec![Label::from_static_parts("result", result.as_str())]))
                .collect(),
            requested: Counters::plain(&REQUESTED, labels),
            messages: Counters::new(
                &MESSAGES_ENDED,
                labels,
                &Delivery::ALL.iter().map(outcome).collect::<Vec<_>>(),
            ),
            parts: Counters::plain(&PARTS, labels),
            failures: reasons
                .map(|reason| FAILURES.counter(vec![Label::from_static_parts("reason", reason)]))
                .collect(),
            gateway_time: Histograms::new(&GATEWAY_TIME, labels),
        }
    }

    /// Counts what committed transactions did.
    pub fn count(&self, facts: &[Fact]) {
        for fact in facts {
            match *fact {
                Fact::Created { phone } => self.created.add(0, self.labels.of(phone), 1),
                Fact::Requested { phone } => self.requested.add(0, self.labels.of(phone), 1),
                Fact::Ended { phone, status, after } => {
                    let operator = self.labels.of(phone);
                    self.ended.add(status as usize, operator, 1);
                    if status == Status::Approved {
                        self.approval_time.record(operator, after);
                    }
                }
                Fact::Final { phone, outcome, fault, after, parts } => {
                    let operator = self.labels.of(phone);
                    self.messages.add(outcome as usize, operator, 1);
                    match outcome {
                        Delivery::Sent => {
                            self.gateway_time.record(operator, after);
                            self.parts.add(0, operator, parts);
                        }
                        Delivery::Canceled => {}
                        _ => self.failed(fault),
                    }
                }
            }
        }
    }

    fn failed(&self, fault: Option<DeliveryFault>) {
        let reason = fault.map_or(DeliveryFault::ALL.len(), |fault| fault as usize);
        if let Some(counter) = self.failures.get(reason) {
            counter.increment(1);
        }
    }

    /// Counts what came of checks.
    pub fn checked(&self, results: impl Iterator<Item = CheckResult>) {
        for result in results {
            if let Some(counter) = self.checks.get(result as usize) {
                counter.increment(1);
            }
        }
    }
}
