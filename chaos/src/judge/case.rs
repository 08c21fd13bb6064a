//! The evidence, indexed for the checks.

use std::collections::HashMap;

use hulak_common::verification::Route;
use uuid::Uuid;

use crate::config::Settings;
use crate::evidence::{Evidence, Message, Taken, Verification};
use crate::fault_log::FaultKind;
use crate::millis::Millis;
use crate::promise::{Broken, Promise};
use crate::recovery::disturbed;

/// How long after a freeze or a stall a message that it held back may still arrive.
pub(super) const LATE: Millis = 2_500;

/// A verification and one of its epochs: all messages with that code look the same to the gateway.
pub(super) type CodeOf = (Uuid, usize);

/// The evidence, and the broken promises found so far.
pub(super) struct Case<'a> {
    pub(super) evidence: &'a Evidence,
    pub(super) settings: &'a Settings,
    pub(super) verifications: HashMap<Uuid, &'a Verification>,
    pub(super) messages: HashMap<CodeOf, Vec<&'a Message>>,
    pub(super) taken: HashMap<CodeOf, Vec<&'a Taken>>,
    pub(super) by_phone: HashMap<&'a str, Vec<&'a Taken>>,
    pub(super) disturbed: Vec<(Millis, Millis)>,
    /// When each message was requested, and when the gateway accepted it first.
    pub(super) waits: Vec<(Millis, Millis)>,
    pub(super) broken: Vec<Broken>,
}

impl<'a> Case<'a> {
    pub(super) fn open(evidence: &'a Evidence, settings: &'a Settings) -> Self {
        let mut case = Self {
            evidence,
            settings,
            verifications: evidence.verifications.iter().map(|row| (row.id, row)).collect(),
            messages: HashMap::new(),
            taken: HashMap::new(),
            by_phone: HashMap::new(),
            disturbed: disturbed(&evidence.windows),
            waits: Vec::new(),
            broken: Vec::new(),
        };
        for message in &evidence.messages {
            case.messages.entry(code_of(message)).or_default().push(message);
        }
        let codes: HashMap<(&str, &str), CodeOf> = evidence
            .verifications
            .iter()
            .flat_map(|row| {
                let code =
                    move |(epoch, code): (usize, &'a String)| ((&*row.phone, &**code), (row.id, epoch));
                row.codes.iter().enumerate().map(code)
            })
            .collect();
        for taken in &evidence.taken {
            case.by_phone.entry(&taken.phone).or_default().push(taken);
            match taken.code.as_deref().and_then(|code| codes.get(&(&*taken.phone, code))) {
                Some(code) => case.taken.entry(*code).or_default().push(taken),
                None => {
                    case.report_broken(
                        Promise::Unasked,
                        format!("a message at {} belongs to no row", taken.at),
                    );
                }
            }
        }
        case.waits = case.waits();
        case
    }

    pub(super) fn report_broken(&mut self, promise: Promise, what: String) {
        self.broken.push(Broken { promise, what });
    }

    /// Whether a message that arrived at this moment may have been held back for long.
    pub(super) fn may_be_late(&self, at: Millis) -> bool {
        let mut windows = self.evidence.windows.iter();
        windows.any(|window| window.kind == FaultKind::Holding && window.covers(at, LATE))
    }

    fn waits(&self) -> Vec<(Millis, Millis)> {
        let wait = |(code, taken): (&CodeOf, &Vec<&Taken>)| {
            let asked = self.messages.get(code)?.iter().map(|message| message.created_at).min()?;
            Some((asked, taken.first()?.at))
        };
        self.taken.iter().filter_map(wait).collect()
    }
}

fn code_of(message: &Message) -> CodeOf {
    (message.verification, usize::try_from(message.epoch).unwrap_or(usize::MAX))
}

pub(super) fn through_the_gateway(message: &Message) -> bool {
    message.route == Route::Gateway
}
