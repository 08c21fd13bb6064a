//! `client_numbers`: what a client knows of a phone number: whether it was verified, wrong codes, and a block within the client.

use std::collections::HashMap;
use std::sync::LazyLock;

use sqlx::{query, query_as};
use uuid::Uuid;

use crate::error::{Result, StoreError};
use crate::postgres::PgTransaction;
use crate::sqlite::SqliteTransaction;
use crate::store::{Store, both};
use crate::tables::numbers::{NumberRow, READ_NUMBER};
use crate::tables::{
    Parameters, Table as _, Write, all, all_written, assignments, names, parse, phone, sqlite_insert,
    sqlite_update,
};
use hulak_common::phone::PhoneNumber;
use hulak_common::phone_record::{ClientNumber, Number, NumberReport};
use hulak_common::staff::NumberFile;
use hulak_common::time::Timestamp;

table! {
    "client_numbers", client_number_columns (pub(crate)), ClientNumberRow of ClientNumber;
    Key client_id: Uuid as "uuid" = |row| row.client,
    Key phone: i64 as "bigint" = |row| row.phone.to_i64(),
    State validated_at: Option<Timestamp> as "bigint" = |row| row.validated_at,
    State failed_checks: String as "text" = |row| row.failed_checks.to_string(),
    State blocked_until: Option<Timestamp> as "bigint" = |row| row.blocked_until,
    State block_reason: Option<String> as "text" = |row| row.block_reason.as_deref(),
}

impl TryFrom<ClientNumberRow> for ClientNumber {
    type Error = StoreError;
    fn try_from(row: ClientNumberRow) -> Result<Self> {
        Ok(Self {
            client: row.client_id,
            phone: phone(row.phone)?,
            validated_at: row.validated_at,
            failed_checks: parse(&row.failed_checks, "failed_checks")?,
            blocked_until: row.blocked_until,
            block_reason: row.block_reason,
        })
    }
}

/// A client's number, as a key.
pub(crate) type ClientPhone = (Uuid, PhoneNumber);

const READ_ONE: &str =
    concat!("SELECT ", client_number_columns!(), " FROM client_numbers WHERE phone = $1 AND client_id = $2");
const OF_ALL_CLIENTS: &str =
    concat!("SELECT ", client_number_columns!(), " FROM client_numbers WHERE phone = $1");
const PG_READ: &str = concat!(
    "SELECT ",
    client_number_columns!(),
    " FROM (SELECT unnest($1::uuid[]) AS client_id, unnest($2::bigint[]) AS phone) AS u \
     JOIN client_numbers c USING (client_id, phone)"
);
/// Locks come after the numbers' and before the verifications', by number.
const PG_LOCK: &str = concat!(
    "SELECT ",
    client_number_columns!(),
    " FROM (SELECT unnest($1::uuid[]) AS client_id, unnest($2::bigint[]) AS phone) AS u \
     JOIN client_numbers c USING (client_id, phone) ORDER BY phone, client_id FOR UPDATE OF c"
);
/// DO NOTHING waits for a concurrent insert of the same row; the count then tells that it won.
static PG_INSERT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO client_numbers ({}) SELECT * FROM {} ORDER BY phone, client_id ON CONFLICT DO NOTHING",
        names::<ClientNumber>(),
        Parameters(0).rows::<ClientNumber>(Write::Insert),
    )
});
/// The rows are locked, so the order does not matter.
static PG_UPDATE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE client_numbers c SET {} FROM {} WHERE c.phone = u.phone AND c.client_id = u.client_id",
        assignments::<ClientNumber>(),
        Parameters(0).rows::<ClientNumber>(Write::Update),
    )
});
static SQLITE_INSERT: LazyLock<String> = LazyLock::new(sqlite_insert::<ClientNumber>);
static SQLITE_UPDATE: LazyLock<String> = LazyLock::new(sqlite_update::<ClientNumber>);

/// What the decisions need of clients' numbers.
pub(crate) trait ClientNumbersTable: Send {
    /// Reads clients' numbers, locking them when `lock`; those never seen are absent.
    fn client_numbers(
        &mut self,
        keys: &[ClientPhone],
        lock: bool,
    ) -> impl Future<Output = Result<Vec<ClientNumber>>> + Send;
    /// Inserts clients' numbers; [`StoreError::Conflict`] when another transaction was first.
    fn insert_client_numbers(&mut self, rows: &[&ClientNumber]) -> impl Future<Output = Result<()>> + Send;
    /// Writes locked clients' numbers back.
    fn update_client_numbers(&mut self, rows: &[&ClientNumber]) -> impl Future<Output = Result<()>> + Send;
}

impl ClientNumbersTable for PgTransaction {
    async fn client_numbers(&mut self, keys: &[ClientPhone], lock: bool) -> Result<Vec<ClientNumber>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let (clients, phones): (Vec<Uuid>, Vec<i64>) =
            keys.iter().map(|(client, phone)| (*client, phone.to_i64())).unzip();
        let select = query_as(if lock { PG_LOCK } else { PG_READ }).bind(clients).bind(phones);
        all::<ClientNumberRow, _>(select.fetch_all(&mut *self.tx).await?)
    }

    async fn insert_client_numbers(&mut self, rows: &[&ClientNumber]) -> Result<()> {
        pg_write(self, rows, &PG_INSERT, Write::Insert).await
    }

    async fn update_client_numbers(&mut self, rows: &[&ClientNumber]) -> Result<()> {
        pg_write(self, rows, &PG_UPDATE, Write::Update).await
    }
}

async fn pg_write(
    tx: &mut PgTransaction,
    rows: &[&ClientNumber],
    sql: &'static str,
    write: Write,
) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let done = ClientNumber::bind_arrays(query(sql), rows, write).execute(&mut *tx.tx).await?;
    all_written(done.rows_affected(), rows.len())
}

impl ClientNumbersTable for SqliteTransaction {
    async fn client_numbers(&mut self, keys: &[ClientPhone], _lock: bool) -> Result<Vec<ClientNumber>> {
        let mut found: Vec<ClientNumberRow> = Vec::with_capacity(keys.len());
        for (client, phone) in keys {
            let select = query_as(READ_ONE).bind(phone.to_i64()).bind(client);
            found.extend(select.fetch_optional(&mut *self.tx).await?);
        }
        all(found)
    }

    async fn insert_client_numbers(&mut self, rows: &[&ClientNumber]) -> Result<()> {
        self.write(rows, &SQLITE_INSERT, Write::Insert).await
    }

    async fn update_client_numbers(&mut self, rows: &[&ClientNumber]) -> Result<()> {
        self.write(rows, &SQLITE_UPDATE, Write::Update).await
    }
}

impl Store {
    /// Reads a number.
    pub async fn number(&self, client: Uuid, phone: PhoneNumber) -> Result<NumberReport> {
        let (numbers, rows) = both!(self, |database| {
            let number = query_as(READ_NUMBER).bind(phone.to_i64());
            database.read_two(number, query_as(READ_ONE).bind(phone.to_i64()).bind(client)).await
        })?;
        let row: Option<ClientNumberRow> = rows.into_iter().next();
        let client = row.map_or_else(|| Ok(ClientNumber::new(client, phone)), TryInto::try_into)?;
        Ok(NumberReport { number: only(numbers, phone)?, client })
    }

    /// All that is known of a number.
    pub async fn number_file(&self, phone: PhoneNumber) -> Result<NumberFile> {
        let (numbers, clients) = both!(self, |database| {
            let number = query_as(READ_NUMBER).bind(phone.to_i64());
            database.read_two(number, query_as(OF_ALL_CLIENTS).bind(phone.to_i64())).await
        })?;
        let clients: Vec<ClientNumber> = all::<ClientNumberRow, _>(clients)?;
        let names: HashMap<_, _> = self.client_names().await?.into_iter().collect();
        let named = |row: ClientNumber| (names.get(&row.client).cloned().unwrap_or_default(), row);
        let mut clients: Vec<_> = clients.into_iter().map(named).collect();
        clients.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(NumberFile { number: only(numbers, phone)?, clients })
    }
}

/// The row of a number, or that of one never seen.
fn only(found: Vec<NumberRow>, phone: PhoneNumber) -> Result<Number> {
    found.into_iter().next().map_or_else(|| Ok(Number::new(phone)), TryInto::try_into)
}
