//! Lost, doubled and counted: every row against what the gateway accepted.

use std::collections::HashMap;

use hulak_common::verification::Delivery;

use super::case::{Case, through_the_gateway};
use crate::evidence::Message;
use crate::millis::Millis;
use crate::promise::Promise;
use crate::recovery::longest_calm;

/// Without a fault for this long a message is sent: a lease, a cooldown, the waits of the circuit breaker and of the backoff.
const CALM_ENOUGH: Millis = 30_000;
/// This many messages that were requested [`LATER`] and sent [`AT_ONCE`] show that sending was possible. Without them the
/// machine may have been too busy.
const OVERTAKERS: usize = 3;
const LATER: Millis = 15_000;
const AT_ONCE: Millis = 5_000;
/// A message that has failed more often than this waits longer than [`CALM_ENOUGH`] between two tries.
const SHORT_BACKOFF: i32 = 4;
/// The gateway's codes for a permanent refusal.
const FOR_GOOD: [i32; 2] = [1007, 1011];

impl Case<'_> {
    pub(super) fn nothing_is_lost(&mut self) {
        for id in self.evidence.accepted.keys() {
            if !self.verifications.contains_key(id) {
                self.report_broken(Promise::Lost, format!("{id} was accepted and has no row"));
            }
        }
        let mut rows: HashMap<_, i32> = HashMap::new();
        for message in &self.evidence.messages {
            *rows.entry(message.verification).or_default() += 1;
            if let Some(trouble) = self.lost(message) {
                let (id, seq) = (message.verification, message.seq);
                self.report_broken(Promise::Lost, format!("message {id}/{seq} {trouble}"));
            }
        }
        for row in &self.evidence.verifications {
            let found = rows.get(&row.id).copied().unwrap_or(0);
            if found != row.messages {
                let what = format!("{} has {found} messages and says {}", row.id, row.messages);
                self.report_broken(Promise::Lost, what);
            }
        }
    }

    fn lost(&self, message: &Message) -> Option<String> {
        match message.state {
            Delivery::Queued | Delivery::Sending => Some(format!("is still {}", message.state.as_str())),
            Delivery::Failed if !message.gateway_code.is_some_and(|code| FOR_GOOD.contains(&code)) => {
                Some("failed, and the gateway did not refuse it permanently".to_owned())
            }
            Delivery::Expired if message.attempts <= SHORT_BACKOFF => {
                let end = self.verifications.get(&message.verification)?.expires_at;
                let (from, to) = longest_calm(&self.disturbed, message.created_at, end);
                let overtakers = self.waits.iter().filter(|(asked, taken)| {
                    *asked >= from + LATER && *taken <= to && *taken <= asked + AT_ONCE
                });
                let starved = to - from >= CALM_ENOUGH && overtakers.count() >= OVERTAKERS;
                starved.then(|| format!("expired although there was no fault for {} ms", to - from))
            }
            _ => None,
        }
    }

    pub(super) fn nothing_is_doubled(&mut self) {
        for message in &self.evidence.messages {
            // Each is a call after which the phone may have the message.
            let risked = i32::from(message.state == Delivery::Sent) + message.ambiguous;
            if risked > 2 {
                let (id, seq) = (message.verification, message.seq);
                self.report_broken(
                    Promise::Doubled,
                    format!("message {id}/{seq} may have been delivered {risked} times"),
                );
            }
        }
        let mut found = Vec::new();
        for (code, taken) in &self.taken {
            let Some(rows) = self.messages.get(code) else {
                found.push((Promise::Unasked, format!("{} was sent and has no message", code.0)));
                continue;
            };
            let sent = rows.iter().filter(|row| row.state == Delivery::Sent).count();
            let ambiguous: usize = rows.iter().map(|row| usize::try_from(row.ambiguous).unwrap_or(0)).sum();
            if taken.len() > sent + ambiguous {
                let what = "recorded as sent, ambiguous";
                let times: Vec<_> = taken.iter().map(|taken| taken.at).collect();
                let what = format!(
                    "{}: accepted {} times at {times:?}, {sent} {what} {ambiguous}",
                    code.0,
                    taken.len()
                );
                found.push((Promise::Doubled, what));
            }
        }
        for (promise, what) in found {
            self.report_broken(promise, what);
        }
    }

    pub(super) fn counts_agree(&mut self) {
        let mut sums: HashMap<&str, (i64, i64)> = HashMap::new();
        for message in self.evidence.messages.iter().filter(|message| through_the_gateway(message)) {
            let sum = sums.entry(&message.phone).or_default();
            sum.0 += i64::from(message.state == Delivery::Sent);
            sum.1 += i64::from(message.ambiguous);
        }
        let mut found = Vec::new();
        for number in &self.evidence.numbers {
            let (sent, ambiguous) = sums.remove(&*number.phone).unwrap_or_default();
            let taken = self.by_phone.get(&*number.phone).map_or(0, Vec::len);
            let taken = i64::try_from(taken).unwrap_or(i64::MAX);
            let (counted, unsure) = (number.otp_count, number.ambiguous_count);
            let agree =
                counted == sent && unsure == ambiguous && (counted..=counted + unsure).contains(&taken);
            if !agree {
                found.push(format!(
                    "…{}: otp_count {counted} and ambiguous_count {unsure}, its messages say {sent} and \
                     {ambiguous}, the gateway accepted {taken}",
                    &number.phone[6..]
                ));
            }
        }
        found.extend(sums.keys().map(|phone| format!("…{} has messages and no row", &phone[6..])));
        for what in found {
            self.report_broken(Promise::Counts, what);
        }
    }
}
