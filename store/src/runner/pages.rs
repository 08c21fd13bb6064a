//! Hosted pages over a database.

use async_trait::async_trait;
use uuid::Uuid;

use super::super::decide::{PageRef, Settled};
use super::super::pages::{Exchange, Exchanged, NewPage, PageApproval, PageMade, PageStore, Spent};
use super::super::transaction::{Backend, Transaction};
use super::super::{StoreError, decide};
use super::accounts::WHENEVER;
use super::{Database, Effects, Operation};
use hulak_common::hosted_page::HostedPage;
use hulak_common::rules::Rules;
use hulak_common::time::Timestamp;

operation!(MakingPage: NewPage => PageMade, decide::make_page);
operation!(ReadingPage: PageRef => Option<HostedPage>, decide::read_page);
operation!(SpendingPage: PageRef => Spent, decide::spend_page);
operation!(SettlingPage: (PageRef, Settled) => (), decide::settle_page);
operation!(Offering: PageApproval => (), decide::offer_approval);
operation!(Exchanging: Exchange => Exchanged, decide::exchange);

#[async_trait]
impl<B: Backend> PageStore for Database<B> {
    async fn make_page(&self, new: &NewPage, now: Timestamp) -> Result<PageMade, StoreError> {
        self.one(&MakingPage { rules: &self.rules, now }, new).await
    }

    async fn page(&self, client: Uuid, id: Uuid) -> Result<Option<HostedPage>, StoreError> {
        self.one(&ReadingPage { rules: &self.rules, now: WHENEVER }, &(client, id)).await
    }

    async fn spend_page(&self, client: Uuid, id: Uuid, now: Timestamp) -> Result<Spent, StoreError> {
        self.one(&SpendingPage { rules: &self.rules, now }, &(client, id)).await
    }

    async fn refund_page(&self, client: Uuid, id: Uuid) -> Result<(), StoreError> {
        let item = ((client, id), Settled::Refund);
        self.one(&SettlingPage { rules: &self.rules, now: WHENEVER }, &item).await
    }

    async fn note_page(&self, client: Uuid, id: Uuid, verification: Uuid) -> Result<(), StoreError> {
        let item = ((client, id), Settled::Verification(verification));
        self.one(&SettlingPage { rules: &self.rules, now: WHENEVER }, &item).await
    }

    async fn offer_approval(&self, approval: PageApproval, now: Timestamp) -> Result<(), StoreError> {
        self.one(&Offering { rules: &self.rules, now }, &approval).await
    }

    async fn exchange(&self, item: &Exchange, now: Timestamp) -> Result<Exchanged, StoreError> {
        self.one(&Exchanging { rules: &self.rules, now }, item).await
    }
}
