//! What is asked of hosted pages.

use uuid::Uuid;

use hulak_common::hosted_page::HostedPage;
use hulak_common::idempotency::Remember;

/// A new page.
#[derive(Debug, Clone)]
pub struct NewPage {
    /// It.
    pub page: HostedPage,
    /// How its answer is kept, when it may come twice.
    pub remember: Option<Remember<PageMade>>,
}

/// What became of a [`NewPage`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageMade {
    /// It is there.
    Done(HostedPage),
    /// The client has no such account.
    UnknownAccount,
    /// It came before, and was answered like this.
    Answered(String),
    /// Its idempotency key was used for another request.
    KeyReused,
}

/// A page that is about to ask for a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spent {
    /// It may: one less is left, unless it is given back.
    Granted(HostedPage),
    /// It has asked for all that it may.
    UsedUp(HostedPage),
    /// Its time is over.
    Expired,
    /// The client has no such page.
    NotFound,
}

/// An approval that a page has brought about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageApproval {
    /// Whose it is.
    pub client: Uuid,
    /// What was approved.
    pub verification: Uuid,
    /// The account that it was for.
    pub account: Option<Uuid>,
}

/// The wish of a client's own server for such an approval.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Whose it must be.
    pub client: Uuid,
    /// Which.
    pub verification: Uuid,
    /// How its answer is kept, when it may come twice.
    pub remember: Option<Remember<Exchanged>>,
}

/// What became of an [`Exchange`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchanged {
    /// It is the first.
    Done(PageApproval),
    /// There is none, it is too late, or it was exchanged before.
    Refused,
    /// Its account cannot have the number: another one has verified it since.
    PhoneTaken,
    /// Its account is deleted or not active any more, or signs in with another number.
    AccountGone,
    /// It came before, and was answered like this.
    Answered(String),
    /// Its idempotency key was used for another request.
    KeyReused,
}
