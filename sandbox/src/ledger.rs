//! The account and its messages: one lock, so that credits and messages always agree.

use std::collections::VecDeque;
use std::sync::Arc;

use hulak_common::clock::Clock;
use hulak_common::time::Timestamp;
use serde::Serialize;

use crate::refusal::Refusal;

/// Bytes of text for each message of the capacity. Ordinary messages need a third of it; with many huge messages the oldest are
/// deleted sooner, so that memory stays bounded.
const TEXT_PER_MESSAGE: usize = 1024;

/// A message the gateway took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// The gateway's number for it: counts up by one, so a gap shows deleted messages.
    pub id: u64,
    /// The receiver's 10 digits.
    pub to: String,
    /// The sender identity.
    pub from: String,
    /// The text as it came.
    pub text: String,
    /// When it was taken.
    pub received_at: Timestamp,
    /// The one-time code in the text: its first run of 4 to 10 digits that stands alone.
    pub code: Option<String>,
}

/// Counters since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Stats {
    /// Calls to send.
    pub requests: u64,
    /// Messages taken: one for each valid receiver, with or without an answer.
    pub accepted: u64,
    /// Calls to send that were refused or failed; they took nothing.
    pub refused: u64,
    /// Calls whose messages were taken and whose connection was closed without an answer.
    pub dropped: u64,
    /// Calls whose messages were taken and that were held without an answer.
    pub timed_out: u64,
    /// Credits left.
    pub credits: u64,
}

/// The checked content of a call to send.
#[derive(Debug)]
pub(crate) struct Submission<'a> {
    pub(crate) receivers: Vec<&'a str>,
    pub(crate) from: &'a str,
    pub(crate) text: &'a str,
    pub(crate) parts: u64,
}

/// The answer about messages that were taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Receipt {
    pub(crate) count: u64,
    pub(crate) first_id: u64,
    pub(crate) available: u64,
    pub(crate) consumed: u64,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    messages: VecDeque<Arc<Message>>,
    capacity: usize,
    bytes: usize,
    next_id: u64,
    consumed: u64,
    cleared: u64,
    stats: Stats,
}

impl Ledger {
    pub(crate) fn new(credits: u64, capacity: usize) -> Self {
        let stats = Stats { credits, ..Stats::default() };
        Self {
            messages: VecDeque::new(),
            capacity: capacity.max(1),
            bytes: 0,
            next_id: 1,
            consumed: 0,
            cleared: 0,
            stats,
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        self.stats
    }

    /// Credits used up since the start.
    pub(crate) fn consumed(&self) -> u64 {
        self.consumed
    }

    /// How often messages were deleted on demand.
    pub(crate) fn cleared(&self) -> u64 {
        self.cleared
    }

    /// The id of the message taken last, 0 when none was.
    pub(crate) fn newest_id(&self) -> u64 {
        self.next_id - 1
    }

    pub(crate) fn set_credits(&mut self, credits: u64) {
        self.stats.credits = credits;
    }

    pub(crate) fn count_request(&mut self) {
        self.stats.requests += 1;
    }

    pub(crate) fn count_refused(&mut self) {
        self.stats.refused += 1;
    }

    pub(crate) fn count_dropped(&mut self) {
        self.stats.dropped += 1;
    }

    pub(crate) fn count_timed_out(&mut self) {
        self.stats.timed_out += 1;
    }

    /// Takes all messages of a call or none. The clock is read under the lock, so that times and ids have the same order.
    pub(crate) fn take(&mut self, wanted: &Submission<'_>, clock: &dyn Clock) -> Result<Receipt, Refusal> {
        let count = u64::try_from(wanted.receivers.len()).unwrap_or(u64::MAX);
        let cost = count.saturating_mul(wanted.parts);
        if self.stats.credits == 0 {
            return Err(Refusal::NoCredits);
        }
        self.stats.credits = self.stats.credits.checked_sub(cost).ok_or(Refusal::InsufficientCredits)?;
        self.consumed += cost;
        self.stats.accepted += count;
        let first_id = self.next_id;
        let received_at = clock.now();
        let code = code_in(wanted.text);
        for to in &wanted.receivers {
            self.push(Message {
                id: self.next_id,
                to: (*to).to_owned(),
                from: wanted.from.to_owned(),
                text: wanted.text.to_owned(),
                received_at,
                code: code.map(str::to_owned),
            });
        }
        Ok(Receipt { count, first_id, available: self.stats.credits, consumed: cost })
    }

    fn push(&mut self, message: Message) {
        self.next_id += 1;
        self.bytes += size(&message);
        self.messages.push_back(Arc::new(message));
        let room = self.capacity.saturating_mul(TEXT_PER_MESSAGE);
        while self.messages.len() > self.capacity || self.bytes > room {
            let Some(oldest) = self.messages.pop_front() else { break };
            self.bytes -= size(&oldest);
        }
    }

    /// The newest messages, to one number or to all.
    pub(crate) fn newest(&self, to: Option<&str>, limit: usize) -> Vec<Arc<Message>> {
        let wanted = self.messages.iter().rev().filter(|message| to.is_none_or(|to| message.to == to));
        wanted.take(limit).map(Arc::clone).collect()
    }

    /// The newest messages whose number or text contains `asked`, and whether there are more than `limit` of them.
    pub(crate) fn search(&self, asked: &str, limit: usize) -> (Vec<Arc<Message>>, bool) {
        let asked = asked.to_lowercase();
        let holds = |message: &&Arc<Message>| {
            message.to.contains(&asked) || message.text.to_lowercase().contains(&asked)
        };
        let mut found: Vec<_> =
            self.messages.iter().rev().filter(holds).take(limit + 1).map(Arc::clone).collect();
        let more = found.len() > limit;
        found.truncate(limit);
        (found, more)
    }

    /// Everything after `since`, oldest first.
    pub(crate) fn after(&self, since: u64) -> Vec<Arc<Message>> {
        let start = self.messages.partition_point(|message| message.id <= since);
        self.messages.range(start..).map(Arc::clone).collect()
    }

    /// The newest messages after `since`, oldest first.
    pub(crate) fn newest_after(&self, since: u64, limit: usize) -> Vec<Arc<Message>> {
        let start = self.messages.partition_point(|message| message.id <= since);
        let start = start.max(self.messages.len().saturating_sub(limit));
        self.messages.range(start..).map(Arc::clone).collect()
    }

    /// Deletes the messages to one number, or all.
    pub(crate) fn forget(&mut self, to: Option<&str>) {
        self.cleared += 1;
        self.messages.retain(|message| to.is_some_and(|to| message.to != to));
        self.bytes = self.messages.iter().map(|message| size(message)).sum();
    }
}

fn size(message: &Message) -> usize {
    message.text.len() + message.from.len()
}

/// The last ten digits of a number in any spelling; `None` when it has fewer.
pub(crate) fn last_ten_digits(number: &str) -> Option<String> {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    digits.len().checked_sub(10).map(|start| digits[start..].to_owned())
}

/// The first run of 4 to 10 ASCII digits without an ASCII letter or digit beside it. Letters of other scripts may be beside it:
/// Nepali joins its endings to a number.
fn code_in(text: &str) -> Option<&str> {
    around_code(text).map(|(_, code, _)| code)
}

/// A text as the part before its code, the code, and the part after it.
pub(crate) fn around_code(text: &str) -> Option<(&str, &str, &str)> {
    let mut start = 0;
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
        let end = start + word.len();
        if (4..=10).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some((&text[..start], word, &text[end..]));
        }
        start = end + text[end..].chars().next().map_or(0, char::len_utf8);
    }
    None
}

#[cfg(test)]
mod tests {
    use hulak_common::clock::FrozenClock;

    use super::*;

    fn send(ledger: &mut Ledger, receivers: Vec<&str>, text: &str, parts: u64) -> Result<Receipt, Refusal> {
        let clock = FrozenClock::at(Timestamp::from_millis(5));
        ledger.take(&Submission { receivers, from: "Hulak", text, parts }, &clock)
    }

    #[test]
    fn the_code_is_the_first_run_that_stands_alone() {
        for (text, code) in [
            ("Your code is 123456.", Some("123456")),
            ("123456 is your code, good for 5 minutes", Some("123456")),
            ("तपाईंको कोड 482913हो", Some("482913")),
            ("G-4829", Some("4829")),
            ("order 12, pin 99999999999, code 0042", Some("0042")),
            ("A1234 1234B", None),
            ("१२३४५६", None),
            ("", None),
        ] {
            assert_eq!(code_in(text), code, "{text}");
        }
        assert_eq!(around_code("A1234 कोड 1234हो"), Some(("A1234 कोड ", "1234", "हो")));
    }

    #[test]
    fn a_number_is_its_last_ten_digits() {
        for spelling in ["9812345678", "9779812345678", "+977 981-2345678", " 9779812345678"] {
            assert_eq!(last_ten_digits(spelling).as_deref(), Some("9812345678"), "{spelling}");
        }
        assert_eq!(last_ten_digits("981234567"), None);
    }

    #[test]
    fn the_oldest_are_forgotten_by_number_and_by_size() {
        let mut ledger = Ledger::new(100, 3);
        for text in ["a", "b", "c", "d"] {
            send(&mut ledger, vec!["9800000001"], text, 1).unwrap();
        }
        let ids = |ledger: &Ledger| ledger.newest(None, 10).iter().map(|m| m.id).collect::<Vec<_>>();
        assert_eq!(ids(&ledger), [4, 3, 2]);
        send(&mut ledger, vec!["9800000001"], &"x".repeat(3060), 20).unwrap();
        assert_eq!(ids(&ledger), [5, 4]);
        assert_eq!(ledger.stats().accepted, 5);
        assert_eq!(ledger.after(4).len(), 1);
        assert_eq!(ledger.after(0).len(), 2);
        ledger.forget(Some("9800000002"));
        assert_eq!(ids(&ledger), [5, 4]);
        ledger.forget(Some("9800000001"));
        assert!(ids(&ledger).is_empty());
        assert_eq!(ledger.bytes, 0);
    }

    #[test]
    fn messages_are_found_by_number_and_text() {
        let mut ledger = Ledger::new(100, 10);
        for (to, text) in [("9800000001", "Your CODE"), ("9800000002", "तपाईंको कोड"), ("9800000001", "x")]
        {
            send(&mut ledger, vec![to], text, 1).unwrap();
        }
        let found = |asked: &str, limit| {
            let (found, more) = ledger.search(asked, limit);
            (found.iter().map(|message| message.id).collect::<Vec<_>>(), more)
        };
        assert_eq!(found("", 10), (vec![3, 2, 1], false));
        assert_eq!(found("your code", 10), (vec![1], false));
        assert_eq!(found("कोड", 10), (vec![2], false));
        assert_eq!(found("00001", 1), (vec![3], true));
        assert_eq!(found("nothing", 10), (vec![], false));
    }

    #[test]
    fn credits_run_down_by_parts_and_receivers() {
        let mut ledger = Ledger::new(5, 10);
        let receipt = send(&mut ledger, vec!["9800000001", "9800000002"], "x", 2).unwrap();
        assert_eq!((receipt.count, receipt.first_id, receipt.available, receipt.consumed), (2, 1, 1, 4));
        assert_eq!(send(&mut ledger, vec!["9800000001"], "x", 2).unwrap_err(), Refusal::InsufficientCredits);
        assert_eq!(send(&mut ledger, vec!["9800000001"], "x", 1).unwrap().available, 0);
        assert_eq!(send(&mut ledger, vec!["9800000001"], "x", 1).unwrap_err(), Refusal::NoCredits);
        assert_eq!((ledger.consumed(), ledger.stats().accepted), (5, 3));
    }
}
