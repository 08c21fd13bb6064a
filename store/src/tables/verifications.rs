//! `verifications`: a wish to verify a number, its code's ingredients, and how far it has come.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::{Encode, QueryBuilder, Type, query_as, query_scalar};
use uuid::Uuid;

use crate::error::{Result, StoreError};
use crate::postgres::PgTransaction;
use crate::requests::Batch;
use crate::requests::verifications::List;
use crate::sqlite::SqliteTransaction;
use crate::store::{Database, Store, both, read};
use crate::tables::{all, corrupt, delivery_error, gateway_error, parse, phone};
use hulak_common::code::{CodeLength, KeyId, Salt};
use hulak_common::staff::Search;
use hulak_common::time::Timestamp;
use hulak_common::timeline::History;
use hulak_common::verification::{LiveKey, Status, Verification};

table! {
    "verifications", verification_columns (pub(crate)), VerificationRow of Verification, version "version";
    Key id: Uuid as "uuid" = |row| row.id,
    Fixed client_id: Uuid as "uuid" = |row| row.key.client,
    Fixed phone: i64 as "bigint" = |row| row.key.phone.to_i64(),
    Fixed purpose: String as "text" = |row| row.key.purpose.as_str(),
    Fixed account_id: Option<Uuid> as "uuid" = |row| row.key.account,
    Fixed session: String as "text" = |row| row.key.session.as_str(),
    Fixed locale: String as "text" = |row| row.locale.as_str(),
    Fixed app_hash: Option<String> as "text" = |row| row.app_hash.as_deref(),
    Fixed origin: Option<String> as "text" = |row| row.origin.as_deref(),
    Fixed metadata: String as "text" = |row| row.metadata.as_str(),
    Fixed salt: Vec<u8> as "bytea" = |row| row.salt.0.as_slice(),
    Fixed key_id: i64 as "bigint" = |row| row.key_id.to_i64(),
    Fixed code_length: i32 as "int" = |row| i32::from(row.code_length.digits()),
    Fixed created_at: Timestamp as "bigint" = |row| row.created_at,
    State status: String as "text" = |row| row.status.as_str(),
    State epoch: i32 as "int" = |row| row.epoch,
    State epoch_started_at: Timestamp as "bigint" = |row| row.epoch_started_at,
    State checks_remaining: i32 as "int" = |row| row.checks_remaining,
    State resend_after: Timestamp as "bigint" = |row| row.resend_after,
    State expires_at: Timestamp as "bigint" = |row| row.expires_at,
    State delivery: String as "text" = |row| row.delivery.as_str(),
    State messages: i32 as "int" = |row| row.messages,
    State last_sent_at: Option<Timestamp> as "bigint" = |row| row.last_sent_at,
    State next_attempt_at: Option<Timestamp> as "bigint" = |row| row.next_attempt_at,
    State error: Option<String> as "text" = |row| row.error.map(|error| error.code.as_str()),
    State gateway_code: Option<i32> as "int" = |row| row.error.and_then(|error| error.gateway_code?.to_number()),
    State ended_at: Option<Timestamp> as "bigint" = |row| row.ended_at,
    State updated_at: Timestamp as "bigint" = |row| row.updated_at,
    State version: i64 as "bigint" = |row| row.version,
    Fixed app_name: Option<String> as "text" = |row| row.app_name.as_deref(),
    State history: String as "text" = |row| row.history.as_str(),
    State gateway_error: Option<String> as "text" = |row| gateway_error(row.error),
}

impl TryFrom<VerificationRow> for Verification {
    type Error = StoreError;
    fn try_from(row: VerificationRow) -> Result<Self> {
        let digits = u8::try_from(row.code_length).map_err(|_| corrupt("code_length"))?;
        Ok(Self {
            id: row.id,
            key: LiveKey {
                client: row.client_id,
                phone: phone(row.phone)?,
                purpose: parse(&row.purpose, "purpose")?,
                account: row.account_id,
                session: row.session,
            },
            locale: parse(&row.locale, "locale")?,
            app_hash: row.app_hash,
            origin: row.origin,
            app_name: row.app_name,
            metadata: row.metadata,
            salt: Salt(row.salt.try_into().map_err(|_| corrupt("salt"))?),
            key_id: KeyId::from_i64(row.key_id).ok_or_else(|| corrupt("key_id"))?,
            code_length: CodeLength::new(digits).map_err(|_| corrupt("code_length"))?,
            created_at: row.created_at,
            status: parse(&row.status, "status")?,
            epoch: row.epoch,
            epoch_started_at: row.epoch_started_at,
            checks_remaining: row.checks_remaining,
            resend_after: row.resend_after,
            expires_at: row.expires_at,
            delivery: parse(&row.delivery, "delivery")?,
            messages: row.messages,
            last_sent_at: row.last_sent_at,
            next_attempt_at: row.next_attempt_at,
            error: delivery_error(row.error, row.gateway_code, row.gateway_error)?,
            ended_at: row.ended_at,
            updated_at: row.updated_at,
            version: row.version,
            history: History::from_store(row.history),
        })
    }
}

const PG_READ: &str = concat!("SELECT ", verification_columns!(), " FROM verifications WHERE id = ANY($1)");
/// Locks come after the numbers', by number.
const PG_LOCK: &str = concat!(
    "SELECT ",
    verification_columns!(),
    " FROM verifications WHERE id = ANY($1) ORDER BY phone, id FOR UPDATE"
);
const SQLITE_READ: &str = concat!("SELECT ", verification_columns!(), " FROM verifications WHERE id = ?");
/// Oldest first, by the index verifications_overdue.
const OVERDUE: &str = "SELECT id FROM verifications WHERE status = 'pending' AND expires_at <= $1 \
     ORDER BY expires_at LIMIT $2";
/// By the index verifications_of_number.
const SEARCH_PHONE: &str = "SELECT id FROM verifications WHERE phone = $1 ORDER BY id DESC LIMIT $2";

/// What the decisions need of verifications. They are inserted and updated with numbers and messages, see
/// [`crate::tables::bundles`].
pub(crate) trait VerificationsTable: Send {
    /// Reads verifications, without locking.
    fn verifications(&mut self, ids: &[Uuid]) -> impl Future<Output = Result<Vec<Verification>>> + Send;
    /// Locks verifications.
    fn lock_verifications(&mut self, ids: &[Uuid]) -> impl Future<Output = Result<Vec<Verification>>> + Send;
    /// Pending verifications past their time, oldest first, without locking.
    fn overdue(&mut self, limit: u32, now: Timestamp) -> impl Future<Output = Result<Vec<Uuid>>> + Send;
}

impl VerificationsTable for PgTransaction {
    async fn verifications(&mut self, ids: &[Uuid]) -> Result<Vec<Verification>> {
        all::<VerificationRow, _>(query_as(PG_READ).bind(ids).fetch_all(&mut *self.tx).await?)
    }

    async fn lock_verifications(&mut self, ids: &[Uuid]) -> Result<Vec<Verification>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        all::<VerificationRow, _>(query_as(PG_LOCK).bind(ids).fetch_all(&mut *self.tx).await?)
    }

    async fn overdue(&mut self, limit: u32, now: Timestamp) -> Result<Vec<Uuid>> {
        Ok(query_scalar(OVERDUE).bind(now).bind(i64::from(limit)).fetch_all(&mut *self.tx).await?)
    }
}

impl VerificationsTable for SqliteTransaction {
    async fn verifications(&mut self, ids: &[Uuid]) -> Result<Vec<Verification>> {
        let mut found: Vec<VerificationRow> = Vec::with_capacity(ids.len());
        for id in ids {
            found.extend(query_as(SQLITE_READ).bind(id).fetch_optional(&mut *self.tx).await?);
        }
        all(found)
    }

    async fn lock_verifications(&mut self, ids: &[Uuid]) -> Result<Vec<Verification>> {
        self.verifications(ids).await
    }

    async fn overdue(&mut self, limit: u32, now: Timestamp) -> Result<Vec<Uuid>> {
        Ok(query_scalar(OVERDUE).bind(now).bind(i64::from(limit)).fetch_all(&mut *self.tx).await?)
    }
}

impl Store {
    /// Reads verifications of a client.
    pub async fn verifications(&self, batch: &[(Uuid, Uuid)]) -> Batch<Option<Verification>> {
        let ids: Vec<Uuid> = batch.iter().map(|(_, id)| *id).collect();
        let found = self.by_ids(&ids).await;
        if batch.len() == 1 || !matches!(found, Err(StoreError::Corrupt(_))) {
            return deal(batch, found);
        }
        // Only the caller that asked for the unreadable row is to be told so.
        let mut answers = Vec::with_capacity(batch.len());
        for item in batch.chunks(1) {
            let ids: Vec<Uuid> = item.iter().map(|(_, id)| *id).collect();
            answers.extend(deal(item, self.by_ids(&ids).await).answers);
        }
        Batch { answers, events: Vec::new() }
    }

    async fn by_ids(&self, ids: &[Uuid]) -> Result<Vec<Verification>> {
        let found: Vec<VerificationRow> = match &self.database {
            Database::Postgres(database) => database.read(query_as(PG_READ).bind(ids.to_vec())).await?,
            Database::Sqlite(database) => {
                let mut connection = database.reader().await?;
                let mut found = Vec::with_capacity(ids.len());
                for id in ids {
                    found.extend(query_as(SQLITE_READ).bind(id).fetch_optional(&mut *connection).await?);
                }
                found
            }
        };
        all(found)
    }

    /// Lists a client's verifications.
    pub async fn list(&self, list: &List, now: Timestamp) -> Result<Vec<Verification>> {
        all::<VerificationRow, _>(both!(self, |database| database.read_built(listed(list, now)).await)?)
    }

    /// Verifications with the names of their clients, the newest first.
    pub async fn search(&self, search: Search, limit: u32) -> Result<Vec<(String, Verification)>> {
        let ids: Vec<(Uuid,)> = match search {
            Search::Id(id) => vec![(id,)],
            Search::Phone(phone) => read!(self, SEARCH_PHONE, phone.to_i64(), i64::from(limit))?,
        };
        let ids: Vec<Uuid> = ids.into_iter().map(|(id,)| id).collect();
        let mut found = self.by_ids(&ids).await?;
        found.sort_by_key(|row| std::cmp::Reverse(row.id));
        let names: HashMap<_, _> = self.client_names().await?.into_iter().collect();
        let name = |row: &Verification| names.get(&row.key.client).cloned().unwrap_or_default();
        Ok(found.into_iter().map(|row| (name(&row), row)).collect())
    }
}

/// Gives each caller the row that it asked for, when the row is its client's.
fn deal(batch: &[(Uuid, Uuid)], found: Result<Vec<Verification>>) -> Batch<Option<Verification>> {
    let answers = match found {
        Ok(rows) => {
            let rows: HashMap<_, _> = rows.into_iter().map(|row| (row.id, row)).collect();
            let pick =
                |(client, id): &(Uuid, Uuid)| rows.get(id).filter(|row| row.key.client == *client).cloned();
            batch.iter().map(|item| Ok(pick(item))).collect()
        }
        Err(error) => {
            let error = Arc::new(error);
            batch.iter().map(|_| Err(Arc::clone(&error))).collect()
        }
    };
    Batch { answers, events: Vec::new() }
}

/// The query of a list. By one of the indexes verifications_listed and verifications_of_number.
fn listed<DB: sqlx::Database>(list: &List, now: Timestamp) -> QueryBuilder<DB>
where
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> Uuid: Encode<'q, DB> + Type<DB>,
    for<'q> &'static str: Encode<'q, DB> + Type<DB>,
    for<'q> Timestamp: Encode<'q, DB> + Type<DB>,
{
    let mut sql = QueryBuilder::new(concat!(
        "SELECT ",
        verification_columns!(),
        " FROM verifications WHERE client_id = "
    ));
    sql.push_bind(list.client);
    if let Some(phone) = list.phone {
        sql.push(" AND phone = ").push_bind(phone.to_i64());
    }
    if let Some(before) = list.before {
        sql.push(" AND id < ").push_bind(before);
    }
    if let Some(delivery) = list.delivery {
        sql.push(" AND delivery = ").push_bind(delivery.as_str());
    }
    match list.status {
        None => {}
        Some(Status::Pending) => {
            sql.push(" AND status = 'pending' AND expires_at > ").push_bind(now);
        }
        Some(Status::Expired) => {
            sql.push(" AND (status = 'expired' OR (status = 'pending' AND expires_at <= ");
            sql.push_bind(now).push("))");
        }
        Some(status) => {
            sql.push(" AND status = ").push_bind(status.as_str());
        }
    }
    sql.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(list.limit));
    sql
}
