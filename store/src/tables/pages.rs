//! `pages` and `page_codes`: hosted pages, and the approvals that they offer to be exchanged. One text serves both databases.

use sqlx::FromRow;
use uuid::Uuid;

use crate::error::{Result, StoreError};
use crate::tables::{Dialect as _, corrupt};
use hulak_common::hosted_page::HostedPage;
use hulak_common::time::Timestamp;

/// What the decisions on pages need of a transaction. Their rows are locked last, and none beside another.
pub(crate) trait PagesTable: Send {
    /// Loads a page, locking it when `lock`.
    fn find_page(&mut self, id: Uuid, lock: bool) -> impl Future<Output = Result<Option<HostedPage>>> + Send;
    /// Inserts a page.
    fn insert_page(&mut self, row: &HostedPage) -> impl Future<Output = Result<()>> + Send;
    /// Writes what may change of a locked page.
    fn update_page(&mut self, row: &HostedPage) -> impl Future<Output = Result<()>> + Send;
    /// Inserts an offer, unless there is one.
    fn insert_offer(&mut self, row: &Offer) -> impl Future<Output = Result<()>> + Send;
    /// Locks an offer.
    fn lock_offer(&mut self, verification: Uuid) -> impl Future<Output = Result<Option<Offer>>> + Send;
    /// Writes when a locked offer was exchanged.
    fn update_offer(&mut self, row: &Offer) -> impl Future<Output = Result<()>> + Send;
}

/// An approval that may be exchanged.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Offer {
    #[sqlx(rename = "verification_id")]
    pub(crate) verification: Uuid,
    #[sqlx(rename = "client_id")]
    pub(crate) client: Uuid,
    #[sqlx(rename = "account_id")]
    pub(crate) account: Option<Uuid>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) exchanged_at: Option<Timestamp>,
}

macro_rules! page_columns {
    () => {
        "id, client_id, purpose, account_id, locale, app_name, redirect_uri, state, creates_left, verification_id, \
         created_at, expires_at"
    };
}

macro_rules! offer_columns {
    () => {
        "verification_id, client_id, account_id, created_at, expires_at, exchanged_at"
    };
}

#[derive(FromRow)]
struct PageRow {
    id: Uuid,
    client_id: Uuid,
    purpose: String,
    account_id: Option<Uuid>,
    locale: Option<String>,
    app_name: Option<String>,
    redirect_uri: Option<String>,
    state: String,
    creates_left: i32,
    verification_id: Option<Uuid>,
    created_at: Timestamp,
    expires_at: Timestamp,
}

impl TryFrom<PageRow> for HostedPage {
    type Error = StoreError;
    fn try_from(row: PageRow) -> Result<Self> {
        Ok(Self {
            id: row.id,
            client: row.client_id,
            purpose: row.purpose.parse().map_err(|_| corrupt("purpose"))?,
            account: row.account_id,
            locale: row.locale.map(|text| text.parse().map_err(|_| corrupt("locale"))).transpose()?,
            app_name: row.app_name,
            redirect_uri: row
                .redirect_uri
                .map(|text| text.parse().map_err(|_| corrupt("redirect_uri")))
                .transpose()?,
            state: row.state,
            creates_left: row.creates_left,
            verification: row.verification_id,
            created_at: row.created_at,
            expires_at: row.expires_at,
        })
    }
}

const READ_PAGE: &str = concat!("SELECT ", page_columns!(), " FROM pages WHERE id = $1");
/// Pages come last in the lock order. SQLite has one writer, which needs no lock on a row.
const LOCK_PAGE: [&str; 2] =
    [concat!("SELECT ", page_columns!(), " FROM pages WHERE id = $1 FOR UPDATE"), READ_PAGE];
const LOCK_OFFER: [&str; 2] = [
    concat!("SELECT ", offer_columns!(), " FROM page_codes WHERE verification_id = $1 FOR UPDATE"),
    concat!("SELECT ", offer_columns!(), " FROM page_codes WHERE verification_id = $1"),
];

for_both_transactions!(impl PagesTable {
    async fn find_page(&mut self, id: Uuid, lock: bool) -> Result<Option<HostedPage>> {
        let sql = if lock { Self::text(LOCK_PAGE) } else { READ_PAGE };
        let row: Option<PageRow> = sqlx::query_as(sql).bind(id).fetch_optional(&mut *self.tx).await?;
        row.map(TryInto::try_into).transpose()
    }

    async fn insert_page(&mut self, row: &HostedPage) -> Result<()> {
        let sql = concat!(
            "INSERT INTO pages (",
            page_columns!(),
            ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
        );
        sqlx::query(sql)
            .bind(row.id)
            .bind(row.client)
            .bind(row.purpose.as_str())
            .bind(row.account)
            .bind(row.locale.map(|locale| locale.as_str()))
            .bind(row.app_name.clone())
            .bind(row.redirect_uri.as_ref().map(ToString::to_string))
            .bind(row.state.clone())
            .bind(row.creates_left)
            .bind(row.verification)
            .bind(row.created_at)
            .bind(row.expires_at)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    async fn update_page(&mut self, row: &HostedPage) -> Result<()> {
        let sql = "UPDATE pages SET creates_left = $2, verification_id = $3 WHERE id = $1";
        let update = sqlx::query(sql).bind(row.id).bind(row.creates_left).bind(row.verification);
        update.execute(&mut *self.tx).await?;
        Ok(())
    }

    async fn insert_offer(&mut self, row: &Offer) -> Result<()> {
        // The first offer decides until when.
        let sql = "INSERT INTO page_codes (verification_id, client_id, account_id, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (verification_id) DO NOTHING";
        let insert = sqlx::query(sql).bind(row.verification).bind(row.client).bind(row.account);
        insert.bind(row.created_at).bind(row.expires_at).execute(&mut *self.tx).await?;
        Ok(())
    }

    async fn lock_offer(&mut self, verification: Uuid) -> Result<Option<Offer>> {
        let sql = Self::text(LOCK_OFFER);
        Ok(sqlx::query_as(sql).bind(verification).fetch_optional(&mut *self.tx).await?)
    }

    async fn update_offer(&mut self, row: &Offer) -> Result<()> {
        let sql = "UPDATE page_codes SET exchanged_at = $2 WHERE verification_id = $1";
        let update = sqlx::query(sql).bind(row.verification).bind(row.exchanged_at);
        update.execute(&mut *self.tx).await?;
        Ok(())
    }
});
