//! Hosted pages: what callers ask, run as decisions.

use uuid::Uuid;

use super::{Effects, Operation, WHENEVER};
use crate::decide::{self, PageRef, Settled};
use crate::error::Result;
use crate::requests::pages::{Exchange, Exchanged, NewPage, PageApproval, PageMade, Spent};
use crate::store::Store;
use crate::transaction::Transaction;
use hulak_common::hosted_page::HostedPage;
use hulak_common::rules::Rules;
use hulak_common::time::Timestamp;

operation!(MakingPage: NewPage => PageMade, decide::make_page);
operation!(ReadingPage: PageRef => Option<HostedPage>, decide::read_page);
operation!(SpendingPage: PageRef => Spent, decide::spend_page);
operation!(SettlingPage: (PageRef, Settled) => (), decide::settle_page);
operation!(Offering: PageApproval => (), decide::offer_approval);
operation!(Exchanging: Exchange => Exchanged, decide::exchange);

impl Store {
    /// Makes a page.
    pub async fn make_page(&self, new: &NewPage, now: Timestamp) -> Result<PageMade> {
        self.one(&MakingPage { rules: &self.rules, now }, new).await
    }

    /// Reads a page of a client.
    pub async fn page(&self, client: Uuid, id: Uuid) -> Result<Option<HostedPage>> {
        self.one(&ReadingPage { rules: &self.rules, now: WHENEVER }, &(client, id)).await
    }

    /// Takes one of the codes that a page may ask for, before it asks: however many do so at once, no more get one than
    /// there are.
    pub async fn spend_page(&self, client: Uuid, id: Uuid, now: Timestamp) -> Result<Spent> {
        self.one(&SpendingPage { rules: &self.rules, now }, &(client, id)).await
    }

    /// Gives it back, when no message came of it.
    pub async fn refund_page(&self, client: Uuid, id: Uuid) -> Result<()> {
        let item = ((client, id), Settled::Refund);
        self.one(&SettlingPage { rules: &self.rules, now: WHENEVER }, &item).await
    }

    /// Notes the verification that came of it.
    pub async fn note_page(&self, client: Uuid, id: Uuid, verification: Uuid) -> Result<()> {
        let item = ((client, id), Settled::Verification(verification));
        self.one(&SettlingPage { rules: &self.rules, now: WHENEVER }, &item).await
    }

    /// Makes a page's approval ready to be exchanged. Doing it again changes nothing.
    pub async fn offer_approval(&self, approval: PageApproval, now: Timestamp) -> Result<()> {
        self.one(&Offering { rules: &self.rules, now }, &approval).await
    }

    /// Exchanges it, once.
    pub async fn exchange(&self, item: &Exchange, now: Timestamp) -> Result<Exchanged> {
        self.one(&Exchanging { rules: &self.rules, now }, item).await
    }
}
