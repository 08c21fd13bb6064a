//! Hosted pages over a database.

use async_trait::async_trait;
use uuid::Uuid;

use super::super::ops::{PageRef, Settled};
use super::super::pages::{Exchange, Exchanged, NewPage, PageApproval, PageMade, PageStore, Spent};
use super::super::session::{Backend, Session};
use super::super::{Rules, StoreError, ops};
use super::accounts::WHENEVER;
use super::{Database, Effects, Operation};
use crate::page::HostedPage;
use crate::time::Timestamp;

operation!(MakingPage: NewPage => PageMade, ops::make_page);
operation!(ReadingPage: PageRef => Option<HostedPage>, ops::read_page);
operation!(SpendingPage: PageRef => Spent, ops::spend_page);
operation!(SettlingPage: (PageRef, Settled) => (), ops::settle_page);
operation!(Offering: PageApproval => (), ops::offer_approval);
operation!(Exchanging: Exchange => Exchanged, ops::exchange);

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
