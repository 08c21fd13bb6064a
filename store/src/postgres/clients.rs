//! Client applications and their keys on PostgreSQL.

use futures_util::FutureExt as _;
use sqlx::{Connection as _, query, query_as, query_scalar};
use uuid::Uuid;

use super::super::clients::{
    CHANGE_CLIENT, CLIENTS, ChangeColumns, ClientRow, FIND_KEY, INSTALL_CLIENT, INSTALL_KEY, KEYS,
    KeyOwnerRow, KeyRow, OwnSettingsRow, REVOKE_KEY, settings_columns,
};
use super::super::transaction::Result;
use super::super::{KeyOwner, rows};
use super::Postgres;
use super::transaction::PgTransaction;
use hulak_common::client::NewKey;
use hulak_common::client::{ClientRecord, ClientSettings, KeyRecord, SettingsChange};
use hulak_common::time::Timestamp;

pub(super) async fn install_key(store: &Postgres, key: &NewKey, id: Uuid, now: Timestamp) -> Result<Uuid> {
    let client = query_scalar(INSTALL_CLIENT).bind(id).bind(key.client_name.clone()).bind(now);
    let insert = query(INSTALL_KEY).bind(key.hash.to_vec());
    let (prefix, operator) = (key.prefix.clone(), key.operator);
    store
        .run(move |connection| {
            async move {
                let mut tx = connection.begin().await?;
                let client: Uuid = client.fetch_one(&mut *tx).await?;
                insert.bind(client).bind(prefix).bind(operator).bind(now).execute(&mut *tx).await?;
                tx.commit().await?;
                Ok(client)
            }
            .boxed()
        })
        .await
}

pub(super) async fn find_key(store: &Postgres, hash: &[u8; 32]) -> Result<Option<KeyOwner>> {
    let select = query_as(FIND_KEY).bind(hash.to_vec());
    let row: Option<KeyOwnerRow> = store.run(|connection| select.fetch_optional(connection).boxed()).await?;
    row.map(TryInto::try_into).transpose()
}

pub(super) async fn keys(store: &Postgres) -> Result<Vec<KeyRecord>> {
    let select = query_as(KEYS);
    rows::all::<KeyRow, _>(store.run(|connection| select.fetch_all(connection).boxed()).await?)
}

pub(super) async fn revoke_key(
    store: &Postgres,
    hash: &[u8; 32],
    now: Timestamp,
) -> Result<Option<Timestamp>> {
    let update = query_scalar(REVOKE_KEY).bind(hash.to_vec()).bind(now);
    // All there is, so that the answer comes after the commit.
    let mut revoked = store.run(|connection| update.fetch_all(connection).boxed()).await?;
    Ok(revoked.pop())
}

pub(super) async fn clients(store: &Postgres) -> Result<Vec<ClientRecord>> {
    let select = query_as(CLIENTS);
    rows::all::<ClientRow, _>(store.run(|connection| select.fetch_all(connection).boxed()).await?)
}

pub(super) async fn change_client(
    store: &Postgres,
    name: &str,
    change: &SettingsChange,
) -> Result<Option<ClientRecord>> {
    let columns = ChangeColumns::from(change);
    let update = query_as(CHANGE_CLIENT)
        .bind(name.to_owned())
        .bind(columns.app_name.0)
        .bind(columns.app_name.1)
        .bind(columns.cors_origins.0)
        .bind(columns.cors_origins.1)
        .bind(columns.redirect_uris.0)
        .bind(columns.redirect_uris.1)
        .bind(columns.rate.0)
        .bind(columns.rate.1)
        .bind(columns.address_hourly.0)
        .bind(columns.address_hourly.1);
    // All there is, so that the answer comes after the commit.
    let mut rows: Vec<ClientRow> = store.run(|connection| update.fetch_all(connection).boxed()).await?;
    rows.pop().map(TryInto::try_into).transpose()
}

pub(super) async fn own_limits(
    session: &mut PgTransaction,
    clients: &[Uuid],
) -> Result<Vec<(Uuid, ClientSettings)>> {
    let sql = concat!(
        "SELECT id, ",
        settings_columns!(),
        " FROM clients WHERE id = ANY($1) AND (rate IS NOT NULL OR address_hourly IS NOT NULL)"
    );
    let found = query_as(sql).bind(clients.to_vec()).fetch_all(&mut *session.tx).await?;
    rows::all::<OwnSettingsRow, _>(found)
}
