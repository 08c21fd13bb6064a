//! What is asked of verifications and numbers, and what became of it.

use std::net::IpAddr;

use uuid::Uuid;

use super::accounts::AccountConflict;
use hulak_common::account::Account;
use hulak_common::code::{Code, CodeLength, Salt};
use hulak_common::idempotency::Remember;
use hulak_common::job::MessageId;
use hulak_common::limits::LimitReached;
use hulak_common::phone::PhoneNumber;
use hulak_common::time::Timestamp;
use hulak_common::verification::{Delivery, LiveKey, Locale, Route, Status, Verification};
use hulak_runtime::metrics::CheckResult;

/// A request for a code, parsed and allowed by its credential.
#[derive(Debug, Clone)]
pub struct Create {
    /// The id and salt that a new verification will have.
    pub id: Uuid,
    /// See [`Create::id`].
    pub salt: Salt,
    /// What makes it the live one.
    pub key: LiveKey,
    /// Language of its messages.
    pub locale: Locale,
    /// Android SMS Retriever hash.
    pub app_hash: Option<String>,
    /// Web origin its messages are bound to.
    pub origin: Option<String>,
    /// The client application's own name in its messages, as [`hulak_common::sms_template::app_name`] reads it.
    pub app_name: Option<String>,
    /// The caller's own data, a JSON object as text.
    pub metadata: String,
    /// Where its messages go.
    pub route: Route,
    /// Where the person is, for the address's quota.
    pub address: Option<IpAddr>,
    /// How its answer is kept, when it may come twice.
    pub remember: Option<Remember<Created>>,
}

impl Create {
    /// A request with nothing but what it needs: in English, by the gateway, without metadata.
    #[must_use]
    pub fn new(id: Uuid, salt: Salt, key: LiveKey) -> Self {
        Self {
            id,
            salt,
            key,
            locale: Locale::En,
            app_hash: None,
            origin: None,
            app_name: None,
            metadata: "{}".to_owned(),
            route: Route::Gateway,
            address: None,
            remember: None,
        }
    }
}

/// What became of a [`Create`].
#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    /// A new verification with its first message.
    New(Verification),
    /// The live one, with another message added, or with its last one still on its way.
    Again {
        /// It.
        verification: Verification,
        /// Whether a message was added.
        added: bool,
    },
    /// The live one, unchanged: it is too early for another message.
    Live(Verification),
    /// The number is blocked within this client.
    Blocked {
        /// Until when.
        until: Timestamp,
    },
    /// The account cannot have this number.
    Account(AccountConflict),
    /// A limit is reached; nothing was changed.
    Limited(LimitReached),
    /// It came before, and was answered like this.
    Answered(String),
    /// Its idempotency key was used for another request.
    KeyReused,
}

impl Created {
    /// The message to publish, if this made one.
    #[must_use]
    pub fn to_publish(&self) -> Option<MessageId> {
        match self {
            Self::New(verification) | Self::Again { verification, added: true } => {
                Some(verification.newest_message())
            }
            _ => None,
        }
    }
}

/// A code to check.
#[derive(Debug, Clone)]
pub struct Check {
    /// Whose verification it must be.
    pub client: Uuid,
    /// Which.
    pub id: Uuid,
    /// What was typed.
    pub code: Code,
    /// When an approval has its effect.
    pub takes_effect: TakesEffect,
    /// How its answer is kept, when it may come twice.
    pub remember: Option<Remember<Checked>>,
}

/// When an approval verifies the number and the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakesEffect {
    /// With the right code: the application itself checks it.
    AtOnce,
    /// When the application exchanges the approval. Whoever typed the code on a hosted page may have been led there by a stranger:
    /// only the application can tell, by the `state` that the browser brings back.
    AtExchange,
}

/// What became of a [`Check`].
#[derive(Debug, Clone, PartialEq)]
pub enum Checked {
    /// It was right, and the first to be.
    Approved(Verification),
    /// The same, for an account, as it is from now on.
    ApprovedFor(Verification, Box<Account>),
    /// It was right, but the account cannot have this number any more.
    Account(AccountConflict),
    /// It was wrong.
    Incorrect(Verification),
    /// It is not digits of the right length; nothing was spent.
    Malformed(CodeLength),
    /// Too late.
    Expired,
    /// An earlier check was right.
    AlreadyApproved,
    /// It was canceled.
    Canceled,
    /// The verification has failed, or the number's budget is spent.
    TooMany(LimitReached),
    /// This client has no such verification.
    NotFound,
    /// The secret its codes were made with is not known here.
    UnknownKey,
    /// It came before, and was answered like this.
    Answered(String),
    /// Its idempotency key was used for another request.
    KeyReused,
}

impl Checked {
    /// What the metrics count it as.
    pub(crate) const fn result(&self) -> CheckResult {
        match self {
            Self::Approved(_) | Self::ApprovedFor(..) => CheckResult::Approved,
            Self::Account(_) => CheckResult::AccountConflict,
            Self::Incorrect(_) => CheckResult::Incorrect,
            Self::Malformed(_) => CheckResult::Malformed,
            Self::Expired => CheckResult::Expired,
            Self::AlreadyApproved => CheckResult::AlreadyApproved,
            Self::Canceled => CheckResult::Canceled,
            Self::TooMany(_) => CheckResult::TooMany,
            Self::NotFound => CheckResult::NotFound,
            Self::UnknownKey => CheckResult::UnknownKey,
            Self::Answered(_) => CheckResult::Replayed,
            Self::KeyReused => CheckResult::KeyReused,
        }
    }
}

/// A code to send again.
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

/// How a verification has ended, for requests that came too late.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ended {
    /// A check was right.
    Approved,
    /// Its time was over.
    Expired,
    /// It was canceled.
    Canceled,
    /// Too many wrong codes.
    Failed(LimitReached),
}

/// A verification to cancel.
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

/// Which of a client's verifications, newest first. Ids sort by their time.
#[derive(Debug, Clone)]
pub struct List {
    /// Whose.
    pub client: Uuid,
    /// Of this number only.
    pub phone: Option<PhoneNumber>,
    /// With this status only, as of now: a pending one past its time counts as expired.
    pub status: Option<Status>,
    /// With this delivery only.
    pub delivery: Option<Delivery>,
    /// Older than this one: where the page before ended.
    pub before: Option<Uuid>,
    /// How many.
    pub limit: u32,
}
