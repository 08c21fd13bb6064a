//! Holds the evidence against every promise. Pure: what it says depends on nothing but what it is given.

mod accounts;
mod answers;
mod limits;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use hulak_common::verification::{Delivery, Route, Status};
use uuid::Uuid;

use crate::Millis;
use crate::config::Settings;
use crate::evidence::{Evidence, Message, Taken, Verification};
use crate::recovery::{Kind, disturbed, longest_backlog, longest_wait};

/// What is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Promise {
    /// Nothing accepted is lost.
    Lost,
    /// Nothing is sent twice, but for what is ambiguous.
    Doubled,
    /// What has ended is not sent, and nothing is sent that no row accounts for.
    Unasked,
    /// Pace and quotas of a number, and the account's rate.
    OverLimit,
    /// A number's counts are the gateway's.
    Counts,
    /// One approval, for the right code only.
    Approvals,
    /// The APIs show what is.
    Shown,
    /// Callers get the answers that they can deal with.
    Answers,
    /// The programs stay up and stop in order.
    Programs,
    /// No number and no code in a log.
    Leaks,
}

impl Promise {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Lost,
        Self::Doubled,
        Self::Unasked,
        Self::OverLimit,
        Self::Counts,
        Self::Approvals,
        Self::Shown,
        Self::Answers,
        Self::Programs,
        Self::Leaks,
    ];

    /// What a row of the table is called.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled outside ambiguous",
            Self::Unasked => "sent unasked",
            Self::OverLimit => "over limit",
            Self::Counts => "count mismatches",
            Self::Approvals => "approvals not exactly one",
            Self::Shown => "shown wrongly",
            Self::Answers => "answers no caller should get",
            Self::Programs => "programs that died or did not stop",
            Self::Leaks => "numbers or codes in logs",
        }
    }
}

/// A broken promise, and where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub promise: Promise,
    /// What was found.
    pub what: String,
}

/// What a run came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Verifications.
    pub verifications: usize,
    /// Of those, how many callers were told of.
    pub accepted: usize,
    /// Messages that were asked for.
    pub messages: usize,
    /// Messages by how they ended.
    pub sent: usize,
    /// See [`Tally::sent`].
    pub failed: usize,
    /// See [`Tally::sent`].
    pub expired: usize,
    /// See [`Tally::sent`].
    pub canceled: usize,
    /// See [`Tally::sent`].
    pub unknown: usize,
    /// Messages with a call that nobody knows the end of.
    pub ambiguous: usize,
    /// Messages that the gateway took.
    pub taken: usize,
    /// Of those, how many are second copies; all of ambiguous messages unless a promise is broken.
    pub duplicates: usize,
    /// Verifications that were approved.
    pub approved: usize,
    /// The longest time from the end of a fault until every API decided about a request again.
    pub recovery_create: Option<Millis>,
    /// The longest time from the end of a fault until the gateway took a message again.
    pub recovery_send: Option<Millis>,
    /// The longest time from the end of a fault until the last message that waited then was taken.
    pub recovery_backlog: Option<Millis>,
}

/// The judgement.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// What there was.
    pub tally: Tally,
    /// What was wrong with it.
    pub broken: Vec<Broken>,
}

/// What a message held back by a stopped process or wire may do when it is let go.
const LATE: Millis = 2_500;

/// A verification and one of its codes: all messages with that code look alike to the gateway.
type CodeOf = (Uuid, usize);

/// The evidence, sorted for questions.
struct Court<'a> {
    evidence: &'a Evidence,
    settings: &'a Settings,
    verifications: HashMap<Uuid, &'a Verification>,
    messages: HashMap<CodeOf, Vec<&'a Message>>,
    taken: HashMap<CodeOf, Vec<&'a Taken>>,
    by_phone: HashMap<&'a str, Vec<&'a Taken>>,
    disturbed: Vec<(Millis, Millis)>,
    /// When each message was asked for, and when it was taken first.
    waits: Vec<(Millis, Millis)>,
    broken: Vec<Broken>,
}

/// Judges.
#[must_use]
pub fn judge(evidence: &Evidence, settings: &Settings) -> Verdict {
    let mut court = Court::open(evidence, settings);
    court.nothing_is_lost();
    court.nothing_is_doubled();
    court.nothing_is_sent_after_the_end();
    court.limits_hold();
    court.the_accounts_rate_holds();
    court.counts_agree();
    court.codes_are_single_use();
    court.apis_show_what_is();
    court.programs_are_well();
    let tally = court.tally();
    let mut broken = court.broken;
    broken.sort_by_key(|broken| broken.promise);
    Verdict { tally, broken }
}

impl<'a> Court<'a> {
    fn open(evidence: &'a Evidence, settings: &'a Settings) -> Self {
        let mut court = Self {
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
            court.messages.entry(code_of(message)).or_default().push(message);
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
            court.by_phone.entry(&taken.phone).or_default().push(taken);
            match taken.code.as_deref().and_then(|code| codes.get(&(&*taken.phone, code))) {
                Some(code) => court.taken.entry(*code).or_default().push(taken),
                None => {
                    court.complain(Promise::Unasked, format!("a message at {} belongs to no row", taken.at));
                }
            }
        }
        court.waits = court.waits();
        court
    }

    fn complain(&mut self, promise: Promise, what: String) {
        self.broken.push(Broken { promise, what });
    }

    /// Whether a message that arrived then may have been held back since long before.
    fn may_be_late(&self, at: Millis) -> bool {
        let mut windows = self.evidence.windows.iter();
        windows.any(|window| window.kind == Kind::Holding && window.covers(at, LATE))
    }

    fn tally(&self) -> Tally {
        let messages = &self.evidence.messages;
        let ended = |state| messages.iter().filter(|message| message.state == state).count();
        let known = |id: &Uuid| self.evidence.accepted.contains_key(id);
        let verifications = &self.evidence.verifications;
        let decided = self.evidence.decided.iter();
        let sent: Vec<_> = self.evidence.taken.iter().map(|taken| taken.at).collect();
        Tally {
            verifications: verifications.len(),
            accepted: verifications.iter().filter(|row| known(&row.id)).count(),
            messages: messages.len(),
            sent: ended(Delivery::Sent),
            failed: ended(Delivery::Failed),
            expired: ended(Delivery::Expired),
            canceled: ended(Delivery::Canceled),
            unknown: ended(Delivery::Unknown),
            ambiguous: messages.iter().filter(|message| message.ambiguous > 0).count(),
            taken: sent.len(),
            duplicates: self.duplicates(),
            approved: verifications.iter().filter(|row| row.status == Status::Approved).count(),
            recovery_create: decided.filter_map(|moments| longest_wait(&self.disturbed, moments)).max(),
            recovery_send: longest_wait(&self.disturbed, &sent),
            recovery_backlog: longest_backlog(&self.disturbed, &self.waits),
        }
    }

    fn waits(&self) -> Vec<(Millis, Millis)> {
        let wait = |(code, taken): (&CodeOf, &Vec<&Taken>)| {
            let asked = self.messages.get(code)?.iter().map(|message| message.created_at).min()?;
            Some((asked, taken.first()?.at))
        };
        self.taken.iter().filter_map(wait).collect()
    }

    /// Messages taken beyond one for each row.
    fn duplicates(&self) -> usize {
        let rows = |code: &CodeOf| self.messages.get(code).map_or(0, Vec::len);
        self.taken.iter().map(|(code, taken)| taken.len().saturating_sub(rows(code))).sum()
    }
}

fn code_of(message: &Message) -> CodeOf {
    (message.verification, usize::try_from(message.epoch).unwrap_or(usize::MAX))
}

fn through_the_gateway(message: &Message) -> bool {
    message.route == Route::Gateway
}
