//! What is asked of hosted pages.

use async_trait::async_trait;
use uuid::Uuid;

use super::StoreError;
use hulak_common::hosted_page::HostedPage;
use hulak_common::idempotency::Remember;
use hulak_common::time::Timestamp;

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
    /// It came before, and was answered like this.
    Answered(String),
    /// Its idempotency key was used for another request.
    KeyReused,
}

/// The part of the store that keeps hosted pages.
#[async_trait]
pub trait PageStore: Send + Sync {
    /// Makes a page.
    async fn make_page(&self, new: &NewPage, now: Timestamp) -> Result<PageMade, StoreError>;
    /// Reads a page of a client.
    async fn page(&self, client: Uuid, id: Uuid) -> Result<Option<HostedPage>, StoreError>;
    /// Takes one of the codes that a page may ask for, before it asks: however many do so at once, no more get one than
    /// there are.
    async fn spend_page(&self, client: Uuid, id: Uuid, now: Timestamp) -> Result<Spent, StoreError>;
    /// Gives it back, when no message came of it.
    async fn refund_page(&self, client: Uuid, id: Uuid) -> Result<(), StoreError>;
    /// Notes the verification that came of it.
    async fn note_page(&self, client: Uuid, id: Uuid, verification: Uuid) -> Result<(), StoreError>;
    /// Makes a page's approval ready to be exchanged. Doing it again changes nothing.
    async fn offer_approval(&self, approval: PageApproval, now: Timestamp) -> Result<(), StoreError>;
    /// Exchanges it, once.
    async fn exchange(&self, item: &Exchange, now: Timestamp) -> Result<Exchanged, StoreError>;
}
