//! What happened to a verification, and when: one short text in its row.
//!
//! It is written with the rest of the row, so the timeline of a verification costs no statement of its own. An
//! entry is `OFFSET:WHAT`, the offset in milliseconds since the verification was asked for; entries are separated by
//! spaces. No decision uses it: it is for people who want to know what went wrong, so a text that cannot be parsed is
//! shown unchanged.

use std::fmt;
use std::time::Duration;

use crate::status::{DeliveryError, Status};
use crate::time::Timestamp;

/// How many of the first entries are always kept.
const FIRST: usize = 8;
/// How many entries are kept in all, the one that counts those left out included.
const MOST: usize = 64;
/// No text shorter than this has [`MOST`] entries: each has four characters and a space.
const SHORT: usize = MOST * 4;

/// What can happen to a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A message was asked for. Its code is a new one if it is the first, or came too late for the one before.
    Asked {
        /// Which message.
        seq: i32,
        /// Whether its code is a new one.
        new_code: bool,
    },
    /// A worker took a message and is calling the gateway.
    Claimed {
        /// Which message.
        seq: i32,
    },
    /// The gateway accepted it.
    Accepted {
        /// Which message.
        seq: i32,
    },
    /// The gateway refused it for good.
    Failed {
        /// Which message.
        seq: i32,
        /// The fault.
        error: Option<DeliveryError>,
    },
    /// It will be tried again.
    Again {
        /// Which message.
        seq: i32,
        /// After how many milliseconds.
        wait: u64,
        /// Why, when there is a reason.
        error: Option<DeliveryError>,
    },
    /// It waits because its number was sent a message a moment ago.
    Paced {
        /// Which message.
        seq: i32,
        /// For how many milliseconds.
        wait: u64,
    },
    /// The gateway may have accepted it, and it is not tried again.
    Unknown {
        /// Which message.
        seq: i32,
        /// The fault.
        error: Option<DeliveryError>,
    },
    /// Its code expired before it could be sent.
    TooLate {
        /// Which message.
        seq: i32,
    },
    /// Its verification ended before it could be sent.
    NotNeeded {
        /// Which message.
        seq: i32,
    },
    /// A wrong code was typed.
    WrongCode {
        /// How many more wrong codes are allowed.
        left: i32,
    },
    /// The verification ended.
    Ended(Status),
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Something happened.
    Happened {
        /// When it happened.
        at: Timestamp,
        /// What.
        event: Event,
    },
    /// Entries were left out here.
    LeftOut(u32),
    /// An entry that this release cannot parse, unchanged: a later release may know more events.
    Unread(String),
}

/// What happened to a verification, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History(String);

impl History {
    /// The text that is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// From the stored text. Any text is accepted.
    #[must_use]
    pub const fn from_store(text: String) -> Self {
        Self(text)
    }

    /// Adds what happened `offset` after the verification was asked for.
    pub fn push(&mut self, offset: Duration, event: Event) {
        use fmt::Write as _;
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        // Writing into a string cannot fail.
        let _written = write!(self.0, "{}:{event}", offset.as_millis());
        if self.0.len() >= SHORT {
            self.shorten();
        }
    }

    /// Drops the entries between the first and the newest ones.
    fn shorten(&mut self) {
        let tokens: Vec<&str> = self.0.split(' ').collect();
        if tokens.len() <= MOST {
            return;
        }
        let (first, rest) = tokens.split_at(FIRST);
        let newest = rest.split_at(rest.len() - (MOST - FIRST - 1)).1;
        let gone = rest.split_at(rest.len() - newest.len()).0;
        let count: u32 = gone.iter().map(|token| left_out(token).unwrap_or(1)).sum();
        self.0 = format!("{} ~{count} {}", first.join(" "), newest.join(" "));
    }

    /// The entries of a verification that was asked for at `created_at`.
    pub fn entries(&self, created_at: Timestamp) -> impl Iterator<Item = Entry> {
        self.0.split(' ').filter(|token| !token.is_empty()).map(move |token| {
            if let Some(count) = left_out(token) {
                return Entry::LeftOut(count);
            }
            match read(token) {
                Some((offset, event)) => Entry::Happened { at: created_at + offset, event },
                None => Entry::Unread(token.to_owned()),
            }
        })
    }
}

fn left_out(token: &str) -> Option<u32> {
    token.strip_prefix('~')?.parse().ok()
}

fn read(token: &str) -> Option<(Duration, Event)> {
    let (offset, event) = token.split_once(':')?;
    Some((Duration::from_millis(offset.parse().ok()?), Event::read(event)?))
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { seq, new_code: true } => write!(f, "n{seq}"),
            Self::Asked { seq, new_code: false } => write!(f, "q{seq}"),
            Self::Claimed { seq } => write!(f, "c{seq}"),
            Self::Accepted { seq } => write!(f, "s{seq}"),
            Self::Failed { seq, error } => write!(f, "f{seq}").and_then(|()| write_error(f, *error)),
            Self::Again { seq, wait, error } => {
                write!(f, "r{seq}/{wait}").and_then(|()| write_error(f, *error))
            }
            Self::Paced { seq, wait } => write!(f, "p{seq}/{wait}"),
            Self::Unknown { seq, error } => write!(f, "u{seq}").and_then(|()| write_error(f, *error)),
            Self::TooLate { seq } => write!(f, "e{seq}"),
            Self::NotNeeded { seq } => write!(f, "x{seq}"),
            Self::WrongCode { left } => write!(f, "w{left}"),
            Self::Ended(status) => f.write_str(status.as_str()),
        }
    }
}

fn write_error(f: &mut fmt::Formatter<'_>, error: Option<DeliveryError>) -> fmt::Result {
    match error {
        None => Ok(()),
        Some(DeliveryError { code, gateway_code: None }) => write!(f, "/{code}"),
        Some(DeliveryError { code, gateway_code: Some(own) }) => write!(f, "/{code}/{own}"),
    }
}

impl Event {
    /// Which message it is about.
    #[must_use]
    pub const fn message(&self) -> Option<i32> {
        match self {
            Self::Asked { seq, .. }
            | Self::Claimed { seq }
            | Self::Accepted { seq }
            | Self::Failed { seq, .. }
            | Self::Again { seq, .. }
            | Self::Paced { seq, .. }
            | Self::Unknown { seq, .. }
            | Self::TooLate { seq }
            | Self::NotNeeded { seq } => Some(*seq),
            Self::WrongCode { .. } | Self::Ended(_) => None,
        }
    }

    /// Reads what [`fmt::Display`] writes.
    fn read(text: &str) -> Option<Self> {
        if let Ok(status) = text.parse() {
            return Some(Self::Ended(status));
        }
        let mut parts = text.split('/');
        let (kind, number) = parts.next()?.split_at_checked(1)?;
        let seq = number.parse().ok()?;
        let event = match kind {
            "n" => Self::Asked { seq, new_code: true },
            "q" => Self::Asked { seq, new_code: false },
            "c" => Self::Claimed { seq },
            "s" => Self::Accepted { seq },
            "f" => Self::Failed { seq, error: read_error(&mut parts)? },
            "r" => Self::Again { seq, wait: parts.next()?.parse().ok()?, error: read_error(&mut parts)? },
            "p" => Self::Paced { seq, wait: parts.next()?.parse().ok()? },
            "u" => Self::Unknown { seq, error: read_error(&mut parts)? },
            "e" => Self::TooLate { seq },
            "x" => Self::NotNeeded { seq },
            "w" => Self::WrongCode { left: seq },
            _ => return None,
        };
        // An entry with more fields than this release can parse is shown unchanged.
        parts.next().is_none().then_some(event)
    }
}

/// `None` when there is something else than an error.
fn read_error<'a>(parts: &mut impl Iterator<Item = &'a str>) -> Option<Option<DeliveryError>> {
    let Some(code) = parts.next() else { return Some(None) };
    let code = code.parse().ok()?;
    let gateway_code = parts.next().map(str::parse).transpose().ok()?;
    Some(Some(DeliveryError { code, gateway_code }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::gateway_codes::GatewayCode;
    use crate::status::DeliveryFault;

    const BEGIN: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn any_error() -> impl Strategy<Value = Option<DeliveryError>> {
        let gateway_code = "[A-Za-z0-9._-]{0,32}".prop_map(|text| GatewayCode::new(&text));
        let error = (select(DeliveryFault::ALL), gateway_code)
            .prop_map(|(code, gateway_code)| DeliveryError { code, gateway_code });
        proptest::option::of(error)
    }

    fn any_event() -> impl Strategy<Value = Event> {
        let seq = any::<i32>;
        prop_oneof![
            (seq(), any::<bool>()).prop_map(|(seq, new_code)| Event::Asked { seq, new_code }),
            seq().prop_map(|seq| Event::Claimed { seq }),
            seq().prop_map(|seq| Event::Accepted { seq }),
            (seq(), any_error()).prop_map(|(seq, error)| Event::Failed { seq, error }),
            (seq(), any::<u64>(), any_error()).prop_map(|(seq, wait, error)| Event::Again {
                seq,
                wait,
                error
            }),
            (seq(), any::<u64>()).prop_map(|(seq, wait)| Event::Paced { seq, wait }),
            (seq(), any_error()).prop_map(|(seq, error)| Event::Unknown { seq, error }),
            seq().prop_map(|seq| Event::TooLate { seq }),
            seq().prop_map(|seq| Event::NotNeeded { seq }),
            seq().prop_map(|left| Event::WrongCode { left }),
            select(Status::ALL).prop_map(Event::Ended),
        ]
    }

    fn written(events: &[(u32, Event)]) -> History {
        let mut history = History::default();
        for (offset, event) in events {
            history.push(Duration::from_millis(u64::from(*offset)), *event);
        }
        history
    }

    #[test]
    fn the_stored_form_stays_what_it_is() {
        let error = |code, gateway_code| Some(DeliveryError { code, gateway_code });
        let history = written(&[
            (0, Event::Asked { seq: 1, new_code: true }),
            (14, Event::Claimed { seq: 1 }),
            (80, Event::Again { seq: 1, wait: 900, error: error(DeliveryFault::GatewayUnavailable, None) }),
            (990, Event::Claimed { seq: 1 }),
            (
                1_050,
                Event::Failed {
                    seq: 1,
                    error: error(DeliveryFault::InvalidReceiver, GatewayCode::new("1007")),
                },
            ),
            (40_000, Event::WrongCode { left: 4 }),
            (300_012, Event::Ended(Status::Expired)),
        ]);
        assert_eq!(
            history.as_str(),
            "0:n1 14:c1 80:r1/900/gateway-unavailable 990:c1 1050:f1/invalid-receiver/1007 40000:w4 300012:expired"
        );
    }

    #[test]
    fn a_long_story_keeps_its_beginning_and_its_end() {
        let all: Vec<_> = (0..500).map(|n| (n, Event::WrongCode { left: 500 - n as i32 })).collect();
        let history = written(&all);
        let entries: Vec<_> = history.entries(BEGIN).collect();
        assert_eq!(entries.len(), MOST);
        assert_eq!(entries[FIRST], Entry::LeftOut(500 - 63));
        let left = |entry: &Entry| match entry {
            Entry::Happened { event: Event::WrongCode { left }, .. } => *left,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            entries[..FIRST].iter().map(left).collect::<Vec<_>>(),
            (493..=500).rev().collect::<Vec<_>>()
        );
        assert_eq!(left(&entries[MOST - 1]), 1);
        assert_eq!(left(&entries[FIRST + 1]), 55);
    }

    #[test]
    fn what_is_not_known_is_shown_as_it_is() {
        let history = History::from_store("0:n1 7:z9 12:s1/extra 13:f1/new-fault x ~few".to_owned());
        let unread = |text: &str| Entry::Unread(text.to_owned());
        let entries: Vec<_> = history.entries(BEGIN).collect();
        assert_eq!(
            entries,
            [
                Entry::Happened { at: BEGIN, event: Event::Asked { seq: 1, new_code: true } },
                unread("7:z9"),
                unread("12:s1/extra"),
                unread("13:f1/new-fault"),
                unread("x"),
                unread("~few"),
            ]
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(events in proptest::collection::vec((any::<u32>(), any_event()), 0..=60)) {
            let read: Vec<_> = written(&events).entries(BEGIN).collect();
            let told: Vec<_> = events.iter().map(|(offset, event)| Entry::Happened {
                at: BEGIN + Duration::from_millis(u64::from(*offset)),
                event: *event,
            }).collect();
            prop_assert_eq!(read, told);
        }

        #[test]
        fn it_never_grows_beyond_its_bound(events in proptest::collection::vec((any::<u32>(), any_event()), 0..300)) {
            let history = written(&events);
            prop_assert!(history.entries(BEGIN).count() <= MOST);
            prop_assert!(history.as_str().len() <= MOST * 90);
        }

        #[test]
        fn any_text_can_be_read_and_written_on(text in any::<String>(), event in any_event()) {
            let mut history = History::from_store(text);
            let _read = history.entries(BEGIN).count();
            history.push(Duration::from_secs(1), event);
            let last = history.entries(BEGIN).last();
            prop_assert_eq!(last, Some(Entry::Happened { at: BEGIN + Duration::from_secs(1), event }));
        }
    }
}
