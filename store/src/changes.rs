//! What is asked of a verification or a number that is there already.

use std::net::IpAddr;

use uuid::Uuid;

use hulak_common::idempotency::Remember;
use hulak_common::job::MessageId;
use hulak_common::limits::LimitReached;
use hulak_common::phone::PhoneNumber;
use hulak_common::time::Timestamp;
use hulak_common::verification::Verification;

/// A wish to have a code sent again.
#[derive(Debug, Clone)]
pub struct Resend {
    /// Whose verification it must be.
    pub client: Uuid,
    /// Which.
    pub id: Uuid,
    /// Where the person is, for the address's quota.
    pub address: Option<IpAddr>,
    /// How its answer is kept, when it may come twice.
    pub remember: Option<Remember<Resent>>,
}

/// What became of a [`Resend`].
#[derive(Debug, Clone, PartialEq)]
pub enum Resent {
    /// With another message added, or with its last one still on its way.
    Again {
        /// The verification.
        verification: Box<Verification>,
        /// Whether a message was added.
        added: bool,
    },
    /// It has ended before.
    Ended(Ended),
    /// The number is blocked within this client.
    Blocked {
        /// Until when.
        until: Timestamp,
    },
    /// It is too early, or another limit is reached.
    Limited(LimitReached),
    /// This client has no such verification.
    NotFound,
    /// It came before, and was answered like this.
    Answered(String),
    /// Its idempotency key was used for another request.
    KeyReused,
}

impl Resent {
    /// The message to publish, if this made one.
    #[must_use]
    pub fn to_publish(&self) -> Option<MessageId> {
        match self {
            Self::Again { verification, added: true } => Some(verification.newest_message()),
            _ => None,
        }
    }
}

/// How a verification has ended, for those who wanted something of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ended {
    /// Somebody was right.
    Approved,
    /// Its time was over.
    Expired,
    /// It was taken back.
    Canceled,
    /// Too many wrong codes.
    Failed(LimitReached),
}

/// A wish to take a verification back.
#[derive(Debug, Clone, Copy)]
pub struct Cancel {
    /// Whose verification it must be.
    pub client: Uuid,
    /// Which.
    pub id: Uuid,
}

/// What became of a [`Cancel`].
#[derive(Debug, Clone, PartialEq)]
pub enum Canceled {
    /// It is canceled, now or before; a message that was not sent will not be.
    Done(Box<Verification>),
    /// It has ended otherwise.
    Ended(Ended),
    /// This client has no such verification.
    NotFound,
}

/// What support staff want done about a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Within which client.
    pub client: Uuid,
    /// Which number.
    pub phone: PhoneNumber,
    /// Until when and why; `None` lifts it.
    pub block: Option<(Timestamp, Option<String>)>,
}
