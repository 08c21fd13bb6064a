//! Client applications, their settings and their keys, as the databases keep them. The statements are the same for both.

use sqlx::FromRow;
use uuid::Uuid;

use super::rows::corrupt;
use super::{KeyOwner, StoreError};
use hulak_common::client::{Change, ClientRecord, ClientSettings, KeyRecord, SettingsChange};
use hulak_common::rate_limit::Amount;
use hulak_common::time::Timestamp;

/// The columns of [`SettingsRow`], which no other table has.
macro_rules! settings_columns {
    () => {
        "app_name, cors_origins, redirect_uris, rate, address_hourly"
    };
}
pub(super) use settings_columns;

/// The no-op update makes the existing row come back, and waits for whoever is inserting it.
pub(super) const INSTALL_CLIENT: &str = "INSERT INTO clients (id, name, created_at) VALUES ($1, $2, $3) \
     ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id";

/// A key that is there already stays as it is, revoked or not.
pub(super) const INSTALL_KEY: &str = "INSERT INTO api_keys (hash, client_id, prefix, operator, created_at) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (hash) DO NOTHING";

pub(super) const FIND_KEY: &str = concat!(
    "SELECT c.id, c.name, k.operator, ",
    settings_columns!(),
    " FROM api_keys k JOIN clients c ON c.id = k.client_id WHERE k.hash = $1 AND k.revoked_at IS NULL"
);

pub(super) const KEYS: &str = "SELECT k.hash, c.name AS client_name, k.prefix, k.operator, k.created_at, k.revoked_at \
     FROM api_keys k JOIN clients c ON c.id = k.client_id";

/// Whoever revokes first decides the time.
pub(super) const REVOKE_KEY: &str =
    "UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE hash = $1 RETURNING revoked_at";

pub(super) const CLIENTS: &str =
    concat!("SELECT id, name, created_at, ", settings_columns!(), " FROM clients");

/// Each setting by itself, so that two who change different ones at the same time both have their way.
pub(super) const CHANGE_CLIENT: &str = concat!(
    "UPDATE clients SET app_name = CASE WHEN $2 THEN $3 ELSE app_name END, \
     cors_origins = CASE WHEN $4 THEN $5 ELSE cors_origins END, \
     redirect_uris = CASE WHEN $6 THEN $7 ELSE redirect_uris END, \
     rate = CASE WHEN $8 THEN $9 ELSE rate END, \
     address_hourly = CASE WHEN $10 THEN $11 ELSE address_hourly END \
     WHERE name = $1 RETURNING id, name, created_at, ",
    settings_columns!()
);

/// A client's settings as columns.
#[derive(FromRow)]
pub(super) struct SettingsRow {
    app_name: Option<String>,
    cors_origins: Option<String>,
    redirect_uris: Option<String>,
    rate: Option<i32>,
    address_hourly: Option<i32>,
}

#[derive(FromRow)]
pub(super) struct KeyOwnerRow {
    id: Uuid,
    name: String,
    operator: bool,
    #[sqlx(flatten)]
    settings: SettingsRow,
}

#[derive(FromRow)]
pub(super) struct KeyRow {
    client_name: String,
    prefix: String,
    hash: Vec<u8>,
    operator: bool,
    created_at: Timestamp,
    revoked_at: Option<Timestamp>,
}

#[derive(FromRow)]
pub(super) struct ClientRow {
    id: Uuid,
    name: String,
    created_at: Timestamp,
    #[sqlx(flatten)]
    settings: SettingsRow,
}

/// The settings of one of several clients.
#[derive(FromRow)]
pub(super) struct OwnSettingsRow {
    id: Uuid,
    #[sqlx(flatten)]
    settings: SettingsRow,
}

/// A change as a statement wants it: one row of which the columns are set that change.
pub(super) struct ChangeColumns {
    pub(super) app_name: (bool, Option<String>),
    pub(super) cors_origins: (bool, Option<String>),
    pub(super) redirect_uris: (bool, Option<String>),
    pub(super) rate: (bool, Option<i32>),
    pub(super) address_hourly: (bool, Option<i32>),
}

impl From<&SettingsChange> for ChangeColumns {
    fn from(change: &SettingsChange) -> Self {
        Self {
            app_name: column(&change.app_name, Clone::clone),
            cors_origins: column(&change.cors_origins, |all| lines(all)),
            redirect_uris: column(&change.redirect_uris, |all| lines(all)),
            rate: column(&change.rate, stored),
            address_hourly: column(&change.address_hourly, stored),
        }
    }
}

fn column<T, C>(change: &Change<T>, value: impl FnOnce(&T) -> C) -> (bool, Option<C>) {
    (change.is_change(), change.value().map(value))
}

/// One entry a line: addresses hold commas, but no line breaks.
fn lines<T: ToString>(all: &[T]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn from_lines<T: std::str::FromStr>(text: Option<String>, name: &str) -> Result<Option<Vec<T>>, StoreError> {
    let read = |text: String| text.lines().map(|line| line.parse().map_err(|_| corrupt(name))).collect();
    text.map(read).transpose()
}

fn stored(amount: &Amount) -> i32 {
    // Never above `Amount::MAX`.
    amount.0.map_or(0, |amount| i32::try_from(amount).unwrap_or(i32::MAX))
}

fn amount(value: Option<i32>, name: &str) -> Result<Option<Amount>, StoreError> {
    let read = |value| match u32::try_from(value) {
        Ok(0) => Ok(Amount(None)),
        Ok(amount) => Ok(Amount(Some(amount))),
        Err(_) => Err(corrupt(name)),
    };
    value.map(read).transpose()
}

impl TryFrom<SettingsRow> for ClientSettings {
    type Error = StoreError;
    fn try_from(row: SettingsRow) -> Result<Self, StoreError> {
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
    fn try_from(row: KeyOwnerRow) -> Result<Self, StoreError> {
        let KeyOwnerRow { id, name, operator, settings } = row;
        Ok(Self { client: id, client_name: name, operator, settings: settings.try_into()? })
    }
}

impl TryFrom<KeyRow> for KeyRecord {
    type Error = StoreError;
    fn try_from(row: KeyRow) -> Result<Self, StoreError> {
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
    fn try_from(row: ClientRow) -> Result<Self, StoreError> {
        let ClientRow { id, name, created_at, settings } = row;
        Ok(Self { id, name, created_at, settings: settings.try_into()? })
    }
}

impl TryFrom<OwnSettingsRow> for (Uuid, ClientSettings) {
    type Error = StoreError;
    fn try_from(row: OwnSettingsRow) -> Result<Self, StoreError> {
        Ok((row.id, row.settings.try_into()?))
    }
}
