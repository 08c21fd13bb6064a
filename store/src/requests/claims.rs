//! What workers ask of the store: whether they may send a message now, and how it ended.

use std::time::Duration;

use uuid::Uuid;

use crate::postgres::Ctid;
use hulak_common::job::MessageId;
use hulak_common::phone::PhoneNumber;
use hulak_common::phone_record::Number;
use hulak_common::time::Timestamp;
use hulak_common::verification::{Delivery, DeliveryError, Message, Route, Verification};

/// A worker's wish to send a message now.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// Which.
    pub id: MessageId,
    /// A fresh id; only its holder may record the outcome.
    pub claim: Uuid,
}

/// What a worker is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Claimed {
    /// Send it now.
    Granted(Box<Grant>),
    /// Nothing to do: it is final, or another worker has it.
    Done,
    /// There is no such message.
    Missing,
    /// Its code has expired; it was ended.
    Expired,
    /// Its verification has ended; it was ended too.
    Canceled,
    /// Its time has not come; the relay will bring it again.
    NotDue(Timestamp),
    /// The number has to rest; its due time was moved.
    Paced(Timestamp),
    /// The secret its code was made with is not known here; its due time was moved, so that another worker may try.
    UnknownKey,
}

/// All that sending a message takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    /// Which message.
    pub id: MessageId,
    /// The claim that the outcome is recorded with.
    pub claim: Uuid,
    /// Its receiver.
    pub phone: PhoneNumber,
    /// Where it goes.
    pub route: Route,
    /// Which code it carries, and how to derive it.
    pub verification: Verification,
    /// The how-many-th call this is.
    pub attempt: u32,
    /// When the claim was made.
    pub claimed_at: Timestamp,
    /// What its record need not read again.
    pub as_claimed: Option<Box<AsClaimed>>,
}

/// A message with its verification and its number.
pub(crate) type MessageBundle = (Number, Verification, Message);

/// By which a transaction tells whether a row was written since it was read, and where it was stored then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowVersion {
    /// The transaction that wrote it.
    pub(crate) writer: u32,
    /// Where it is stored, if that is known.
    pub(crate) place: Option<Ctid>,
}

/// The rows of a message as its claim left them, with which it can be told whether they still are.
#[derive(Debug, Clone, PartialEq)]
pub struct AsClaimed {
    pub(crate) version: RowVersion,
    pub(crate) rows: MessageBundle,
}

/// How a call to the gateway ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// Accepted.
    Accepted,
    /// Refused for good.
    Refused(DeliveryError),
    /// Refused for now; another try after this long.
    Retry {
        /// The wait.
        after: Duration,
        /// Why.
        error: DeliveryError,
    },
    /// Nothing was tried, or it says nothing about the message: no attempt is spent.
    GivenBack {
        /// The wait.
        after: Duration,
        /// Why, if there is a reason to show.
        error: Option<DeliveryError>,
    },
    /// It is not known whether the gateway has accepted it.
    Ambiguous(DeliveryError),
}

/// An outcome to write down.
#[derive(Debug, Clone)]
pub struct Record {
    /// Which message.
    pub id: MessageId,
    /// The claim it was sent under.
    pub claim: Uuid,
    /// How it ended.
    pub outcome: Outcome,
    /// How many SMS parts went out, when some may have.
    pub parts: Option<i16>,
    /// The rows as the claim left them. Right without them, too: then all are read.
    pub as_claimed: Option<Box<AsClaimed>>,
}

/// What became of a [`Record`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// Written; the message is now in this state.
    Done(Delivery),
    /// It had been written before.
    Already,
    /// The claim had been taken back; nothing was written.
    Stale,
}

/// What a sweep of the reaper did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Verifications that expired.
    pub expired: usize,
    /// Claims whose lease had run out.
    pub leases: usize,
    /// Whether there was more than one sweep takes.
    pub more: bool,
}

/// How much is to be done, and by how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Messages that are due to be published by a relay, up to [`Load::MOST`].
    pub outbox: u32,
    /// Workers that live.
    pub workers: u32,
}

impl Load {
    /// Counting ends here: beyond it only the trouble counts, and counting costs.
    pub const MOST: u32 = 10_000;
}
