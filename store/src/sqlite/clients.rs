//! Client applications and their keys on SQLite.

use sqlx::{query, query_as, query_scalar};
use uuid::Uuid;

use super::super::clients::{
    CHANGE_CLIENT, CLIENTS, ChangeColumns, ClientRow, FIND_KEY, INSTALL_CLIENT, INSTALL_KEY, KEYS,
    KeyOwnerRow, KeyRow, OwnSettingsRow, REVOKE_KEY, settings_columns,
};
use super::super::transaction::Result;
use super::super::{KeyOwner, rows};
use super::Sqlite;
use super::transaction::SqliteTransaction;
use hulak_common::client::NewKey;
use hulak_common::client::{ClientRecord, ClientSettings, KeyRecord, SettingsChange};
use hulak_common::time::Timestamp;

pub(super) async fn install_key(store: &Sqlite, key: &NewKey, id: Uuid, now: Timestamp) -> Result<Uuid> {
    let mut tx = store.writer.begin_with("BEGIN IMMEDIATE").await?;
    let client: Uuid =
        query_scalar(INSTALL_CLIENT).bind(id).bind(&key.client_name).bind(now).fetch_one(&mut *tx).await?;
    query(INSTALL_KEY)
        .bind(key.hash.as_slice())
        .bind(client)
        .bind(&key.prefix)
        .bind(key.operator)
        .bind(now)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(client)
}

pub(super) async fn find_key(store: &Sqlite, hash: &[u8; 32]) -> Result<Option<KeyOwner>> {
    let row: Option<KeyOwnerRow> =
        query_as(FIND_KEY).bind(hash.as_slice()).fetch_optional(&store.readers).await?;
    row.map(TryInto::try_into).transpose()
}

pub(super) async fn keys(store: &Sqlite) -> Result<Vec<KeyRecord>> {
    rows::all::<KeyRow, _>(query_as(KEYS).fetch_all(&store.readers).await?)
}

pub(super) async fn revoke_key(store: &Sqlite, hash: &[u8; 32], now: Timestamp) -> Result<Option<Timestamp>> {
    // All there is, so that the answer comes after the commit.
    let update = query_scalar(REVOKE_KEY).bind(hash.as_slice()).bind(now);
    Ok(update.fetch_all(&store.writer).await?.pop())
}

pub(super) async fn clients(store: &Sqlite) -> Result<Vec<ClientRecord>> {
    rows::all::<ClientRow, _>(query_as(CLIENTS).fetch_all(&store.readers).await?)
}

pub(super) async fn change_client(
    store: &Sqlite,
    name: &str,
    change: &SettingsChange,
) -> Result<Option<ClientRecord>> {
    let columns = ChangeColumns::from(change);
    // All there is, so that the answer comes after the commit.
    let mut rows: Vec<ClientRow> = query_as(CHANGE_CLIENT)
        .bind(name)
        .bind(columns.app_name.0)
        .bind(columns.app_name.1)
        .bind(columns.cors_origins.0)
        .bind(columns.cors_origins.1)
        .bind(columns.redirect_uris.0)
        .bind(columns.redirect_uris.1)
        .bind(columns.rate.0)
        .bind(columns.rate.1)
        .bind(columns.address_hourly.0)
        .bind(columns.address_hourly.1)
        .fetch_all(&store.writer)
        .await?;
    rows.pop().map(TryInto::try_into).transpose()
}

pub(super) async fn own_limits(
    session: &mut SqliteTransaction,
    clients: &[Uuid],
) -> Result<Vec<(Uuid, ClientSettings)>> {
    let sql = concat!(
        "SELECT id, ",
        settings_columns!(),
        " FROM clients WHERE id = ? AND (rate IS NOT NULL OR address_hourly IS NOT NULL)"
    );
    let mut found: Vec<OwnSettingsRow> = Vec::new();
    for client in clients {
        found.extend(query_as(sql).bind(client).fetch_optional(&mut *session.tx).await?);
    }
    rows::all(found)
}
