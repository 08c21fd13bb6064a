//! `clients` and `api_keys`: client applications, their settings and their keys. One text serves both databases.

use sqlx::{FromRow, query, query_as, query_scalar};
use uuid::Uuid;

use crate::error::{Result, StoreError};
use crate::postgres::PgTransaction;
use crate::requests::clients::KeyOwner;
use crate::sqlite::SqliteTransaction;
use crate::store::{Store, change, in_transaction, read};
use crate::tables::{all, corrupt};
use hulak_common::client::{Change, ClientRecord, ClientSettings, KeyRecord, NewKey, SettingsChange};
use hulak_common::rate_limit::Amount;
use hulak_common::time::Timestamp;

/// The columns of [`SettingsRow`], which no other table has.
macro_rules! settings_columns {
    () => {
        "app_name, cors_origins, redirect_uris, rate, address_hourly"
    };
}

/// The no-op update makes the existing row come back, and waits for a transaction that is just inserting it.
const INSTALL_CLIENT: &str = "INSERT INTO clients (id, name, created_at) VALUES ($1, $2, $3) \
     ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id";
/// A key that is there already stays as it is, revoked or not.
const INSTALL_KEY: &str = "INSERT INTO api_keys (hash, client_id, prefix, operator, created_at) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (hash) DO NOTHING";
const FIND_KEY: &str = concat!(
    "SELECT c.id, c.name, k.operator, ",
    settings_columns!(),
    " FROM api_keys k JOIN clients c ON c.id = k.client_id WHERE k.hash = $1 AND k.revoked_at IS NULL"
);
const KEYS: &str = "SELECT k.hash, c.name AS client_name, k.prefix, k.operator, k.created_at, k.revoked_at \
     FROM api_keys k JOIN clients c ON c.id = k.client_id";
/// The first revocation decides the time.
const REVOKE_KEY: &str =
    "UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE hash = $1 RETURNING revoked_at";
const CLIENTS: &str = concat!("SELECT id, name, created_at, ", settings_columns!(), " FROM clients");
const CLIENT_NAMES: &str = "SELECT id, name FROM clients";
/// Each setting by itself, so that two changes of different settings at the same time both count.
const CHANGE_CLIENT: &str = concat!(
    "UPDATE clients SET app_name = CASE WHEN $2 THEN $3 ELSE app_name END, \
     cors_origins = CASE WHEN $4 THEN $5 ELSE cors_origins END, \
     redirect_uris = CASE WHEN $6 THEN $7 ELSE redirect_uris END, \
     rate = CASE WHEN $8 THEN $9 ELSE rate END, \
     address_hourly = CASE WHEN $10 THEN $11 ELSE address_hourly END \
     WHERE name = $1 RETURNING id, name, created_at, ",
    settings_columns!()
);
const PG_OWN_LIMITS: &str = concat!(
    "SELECT id, ",
    settings_columns!(),
    " FROM clients WHERE id = ANY($1) AND (rate IS NOT NULL OR address_hourly IS NOT NULL)"
);
const SQLITE_OWN_LIMITS: &str = concat!(
    "SELECT id, ",
    settings_columns!(),
    " FROM clients WHERE id = ? AND (rate IS NOT NULL OR address_hourly IS NOT NULL)"
);

/// A client's settings as columns.
#[derive(FromRow)]
struct SettingsRow {
    app_name: Option<String>,
    cors_origins: Option<String>,
    redirect_uris: Option<String>,
    rate: Option<i32>,
    address_hourly: Option<i32>,
}

#[derive(FromRow)]
struct KeyOwnerRow {
    id: Uuid,
    name: String,
    operator: bool,
    #[sqlx(flatten)]
    settings: SettingsRow,
}

#[derive(FromRow)]
struct KeyRow {
    client_name: String,
    prefix: String,
    hash: Vec<u8>,
    operator: bool,
    created_at: Timestamp,
    revoked_at: Option<Timestamp>,
}

#[derive(FromRow)]
struct ClientRow {
    id: Uuid,
    name: String,
    created_at: Timestamp,
    #[sqlx(flatten)]
    settings: SettingsRow,
}

/// The settings of one of several clients.
#[derive(FromRow)]
struct OwnSettingsRow {
    id: Uuid,
    #[sqlx(flatten)]
    settings: SettingsRow,
}

/// A change as the statement wants it: whether the column changes, and to what.
fn column<T, C>(change: &Change<T>, value: impl FnOnce(&T) -> C) -> (bool, Option<C>) {
    (change.is_change(), change.value().map(value))
}

/// One entry a line: addresses hold commas, but no line breaks.
fn lines<T: ToString>(all: &[T]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn from_lines<T: std::str::FromStr>(text: Option<String>, name: &str) -> Result<Option<Vec<T>>> {
    let read = |text: String| text.lines().map(|line| line.parse().map_err(|_| corrupt(name))).collect();
    text.map(read).transpose()
}

fn stored(amount: &Amount) -> i32 {
    // Never above `Amount::MAX`.
    amount.0.map_or(0, |amount| i32::try_from(amount).unwrap_or(i32::MAX))
}

fn amount(value: Option<i32>, name: &str) -> Result<Option<Amount>> {
    let read = |value| match u32::try_from(value) {
        Ok(0) => Ok(Amount(None)),
        Ok(amount) => Ok(Amount(Some(amount))),
        Err(_) => Err(corrupt(name)),
    };
    value.map(read).transpose()
}

impl TryFrom<SettingsRow> for ClientSettings {
    type Error = StoreError;
    fn try_from(row: SettingsRow) -> Result<Self> {
        Ok(Self {
            app_name: row.app_name,
            cors_origins: from_lines(row.cors_origins, "cors_origins")?,
            redirect_uris: from_lines(row.redirect_uris, "redirect_uris")?,
            rate: amount(row.rate, "rate")?,
            address_hourly: amount(row.address_hourly, "address_hourly")?,
        })
    }
}

impl TryFrom<KeyOwnerRow> for KeyOwner {
    type Error = StoreError;
    fn try_from(row: KeyOwnerRow) -> Result<Self> {
        let KeyOwnerRow { id, name, operator, settings } = row;
        Ok(Self { client: id, client_name: name, operator, settings: settings.try_into()? })
    }
}

impl TryFrom<KeyRow> for KeyRecord {
    type Error = StoreError;
    fn try_from(row: KeyRow) -> Result<Self> {
        Ok(Self {
            client_name: row.client_name,
            prefix: row.prefix,
            hash: row.hash.try_into().map_err(|_| corrupt("hash"))?,
            operator: row.operator,
            created_at: row.created_at,
            revoked_at: row.revoked_at,
        })
    }
}

impl TryFrom<ClientRow> for ClientRecord {
    type Error = StoreError;
    fn try_from(row: ClientRow) -> Result<Self> {
        let ClientRow { id, name, created_at, settings } = row;
        Ok(Self { id, name, created_at, settings: settings.try_into()? })
    }
}

impl TryFrom<OwnSettingsRow> for (Uuid, ClientSettings) {
    type Error = StoreError;
    fn try_from(row: OwnSettingsRow) -> Result<Self> {
        Ok((row.id, row.settings.try_into()?))
    }
}

/// What the decisions need of clients.
pub(crate) trait ClientsTable: Send {
    /// Reads the settings of those clients that have limits of their own, without locking.
    fn own_limits(
        &mut self,
        clients: &[Uuid],
    ) -> impl Future<Output = Result<Vec<(Uuid, ClientSettings)>>> + Send;
}

/// Installing a key takes two statements, so it is done in a transaction.
trait KeysTable {
    async fn install_key(&mut self, key: &NewKey, id: Uuid, now: Timestamp) -> Result<Uuid>;
}

for_both_transactions!(impl KeysTable {
    async fn install_key(&mut self, key: &NewKey, id: Uuid, now: Timestamp) -> Result<Uuid> {
        let client = query_scalar(INSTALL_CLIENT).bind(id).bind(&key.client_name).bind(now);
        let client: Uuid = client.fetch_one(&mut *self.tx).await?;
        let insert = query(INSTALL_KEY).bind(key.hash.as_slice()).bind(client).bind(&key.prefix);
        insert.bind(key.operator).bind(now).execute(&mut *self.tx).await?;
        Ok(client)
    }
});

impl ClientsTable for PgTransaction {
    async fn own_limits(&mut self, clients: &[Uuid]) -> Result<Vec<(Uuid, ClientSettings)>> {
        let select = query_as(PG_OWN_LIMITS).bind(clients.to_vec());
        all::<OwnSettingsRow, _>(select.fetch_all(&mut *self.tx).await?)
    }
}

impl ClientsTable for SqliteTransaction {
    async fn own_limits(&mut self, clients: &[Uuid]) -> Result<Vec<(Uuid, ClientSettings)>> {
        let mut found: Vec<OwnSettingsRow> = Vec::new();
        for client in clients {
            found.extend(query_as(SQLITE_OWN_LIMITS).bind(client).fetch_optional(&mut *self.tx).await?);
        }
        all(found)
    }
}

impl Store {
    /// Installs a key; doing it again changes nothing. Answers the client's id.
    pub async fn install_key(&self, key: &NewKey, id: Uuid, now: Timestamp) -> Result<Uuid> {
        in_transaction!(self, |tx| tx.install_key(key, id, now).await)
    }

    /// Finds the client of the key with this hash.
    pub async fn find_key(&self, hash: &[u8; 32]) -> Result<Option<KeyOwner>> {
        let row: Option<KeyOwnerRow> = read!(self, FIND_KEY, hash.to_vec())?.pop();
        row.map(TryInto::try_into).transpose()
    }

    /// Every key there is or was, by the names of their clients, the oldest first.
    pub async fn keys(&self) -> Result<Vec<KeyRecord>> {
        let mut keys: Vec<KeyRecord> = all::<KeyRow, _>(read!(self, KEYS)?)?;
        // Here rather than by the databases, each of which has an order of letters of its own.
        keys.sort_by(|a, b| {
            let order = |key: &KeyRecord| (key.created_at, key.hash);
            a.client_name.cmp(&b.client_name).then_with(|| order(a).cmp(&order(b)))
        });
        Ok(keys)
    }

    /// Revokes the key with this hash, and answers since when it is revoked; `None` when there is no such key.
    pub async fn revoke_key(&self, hash: &[u8; 32], now: Timestamp) -> Result<Option<Timestamp>> {
        Ok(change!(self, REVOKE_KEY, hash.to_vec(), now)?.pop().map(|(revoked_at,)| revoked_at))
    }

    /// Every client, by name.
    pub async fn clients(&self) -> Result<Vec<ClientRecord>> {
        let mut clients: Vec<ClientRecord> = all::<ClientRow, _>(read!(self, CLIENTS)?)?;
        clients.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(clients)
    }

    /// Changes a client's settings, and answers what they are now; `None` when there is no client of that name.
    pub async fn change_client(&self, name: &str, change: &SettingsChange) -> Result<Option<ClientRecord>> {
        let app_name = column(&change.app_name, Clone::clone);
        let cors_origins = column(&change.cors_origins, |all| lines(all));
        let redirect_uris = column(&change.redirect_uris, |all| lines(all));
        let rate = column(&change.rate, stored);
        let address_hourly = column(&change.address_hourly, stored);
        let mut rows: Vec<ClientRow> = change!(
            self,
            CHANGE_CLIENT,
            name.to_owned(),
            app_name.0,
            app_name.1,
            cors_origins.0,
            cors_origins.1,
            redirect_uris.0,
            redirect_uris.1,
            rate.0,
            rate.1,
            address_hourly.0,
            address_hourly.1,
        )?;
        rows.pop().map(TryInto::try_into).transpose()
    }

    /// The names of all clients, by their ids.
    pub(crate) async fn client_names(&self) -> Result<Vec<(Uuid, String)>> {
        read!(self, CLIENT_NAMES)
    }
}
