//! The totals of a run: rows, messages and recovery times.

use hulak_common::verification::{Delivery, Status};
use uuid::Uuid;

use super::case::{Case, CodeOf};
use crate::millis::Millis;
use crate::recovery::{longest_backlog, longest_wait};

/// The totals of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Verifications.
    pub verifications: usize,
    /// Of those, how many the clients know.
    pub accepted: usize,
    /// Messages that were requested.
    pub messages: usize,
    /// Messages by how they ended.
    pub sent: usize,
    /// See [`Totals::sent`].
    pub failed: usize,
    /// See [`Totals::sent`].
    pub expired: usize,
    /// See [`Totals::sent`].
    pub canceled: usize,
    /// See [`Totals::sent`].
    pub unknown: usize,
    /// Messages with a gateway call of unknown outcome.
    pub ambiguous: usize,
    /// Messages that the gateway accepted.
    pub taken: usize,
    /// Of those, how many are second copies; all of ambiguous messages unless a promise is broken.
    pub duplicates: usize,
    /// Verifications that were approved.
    pub approved: usize,
    /// The longest time from the end of a fault until every API answered a request for a code again.
    pub recovery_create: Option<Millis>,
    /// The longest time from the end of a fault until the gateway accepted a message again.
    pub recovery_send: Option<Millis>,
    /// The longest time from the end of a fault until the gateway had accepted the last message that waited then.
    pub recovery_backlog: Option<Millis>,
}

impl Case<'_> {
    pub(super) fn totals(&self) -> Totals {
        let messages = &self.evidence.messages;
        let ended = |state| messages.iter().filter(|message| message.state == state).count();
        let known = |id: &Uuid| self.evidence.accepted.contains_key(id);
        let verifications = &self.evidence.verifications;
        let decided = self.evidence.decided.iter();
        let sent: Vec<_> = self.evidence.taken.iter().map(|taken| taken.at).collect();
        Totals {
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

    /// Messages that the gateway accepted beyond one for each row.
    fn duplicates(&self) -> usize {
        let rows = |code: &CodeOf| self.messages.get(code).map_or(0, Vec::len);
        self.taken.iter().map(|(code, taken)| taken.len().saturating_sub(rows(code))).sum()
    }
}
