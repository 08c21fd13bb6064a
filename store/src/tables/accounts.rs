//! `accounts`, `account_groups` and `memberships`. One text serves both databases.

use sqlx::{Database, Encode, FromRow, QueryBuilder, Type};
use uuid::Uuid;

use crate::error::{Result, StoreError};
use crate::requests::accounts::AccountList;
use crate::tables::Dialect;
use crate::tables::client_numbers::ClientPhone;
use hulak_common::account::{Account, Group, GroupName, Permission};
use hulak_common::phone::PhoneNumber;
use hulak_common::time::Timestamp;

/// Which accounts.
pub(crate) enum Wanted<'a> {
    /// Clients and ids.
    Ids(&'a [(Uuid, Uuid)]),
    /// Client and [`hulak_common::account::Username::key`].
    Username(Uuid, &'a str),
    /// Those that have these numbers verified.
    Verified(&'a [ClientPhone]),
    List(&'a AccountList),
}

/// How strongly groups are held: a transaction that makes an account a member shares them, one that changes them does not.
#[derive(Clone, Copy)]
pub(crate) enum Hold {
    No,
    Shared,
    Alone,
}

/// What the decisions on accounts need of a transaction. Accounts are locked after verifications, groups after accounts.
pub(crate) trait AccountsTable: Send {
    /// Loads accounts with their groups, locking them, by id, when `lock`.
    fn find_accounts(
        &mut self,
        wanted: Wanted<'_>,
        lock: bool,
    ) -> impl Future<Output = Result<Vec<Account>>> + Send;
    /// Inserts an account; [`StoreError::Conflict`] when its username was taken meanwhile.
    fn insert_account(&mut self, row: &Account) -> impl Future<Output = Result<()>> + Send;
    /// Writes a locked account back; [`StoreError::Conflict`] when its username or verified number was taken meanwhile.
    fn update_account(&mut self, row: &Account) -> impl Future<Output = Result<()>> + Send;
    /// Deletes an account and its memberships.
    fn delete_account(&mut self, id: Uuid) -> impl Future<Output = Result<()>> + Send;
    /// Makes these all the groups of an account.
    fn set_memberships(&mut self, account: Uuid, groups: &[Uuid]) -> impl Future<Output = Result<()>> + Send;
    /// A client's groups by name: those of these names, or all.
    fn find_groups(
        &mut self,
        client: Uuid,
        names: Option<&[GroupName]>,
        hold: Hold,
    ) -> impl Future<Output = Result<Vec<Group>>> + Send;
    /// Inserts a group; [`StoreError::Conflict`] when its name was taken meanwhile.
    fn insert_group(&mut self, row: &Group) -> impl Future<Output = Result<()>> + Send;
    /// Writes a held group back.
    fn update_group(&mut self, row: &Group) -> impl Future<Output = Result<()>> + Send;
    /// Deletes a held group and its memberships.
    fn delete_group(&mut self, id: Uuid) -> impl Future<Output = Result<()>> + Send;
}

#[derive(FromRow)]
struct AccountRow {
    id: Uuid,
    client_id: Uuid,
    username: String,
    first_name: String,
    last_name: String,
    email: Option<String>,
    phone: Option<i64>,
    phone_verified: bool,
    is_active: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
    last_login_at: Option<Timestamp>,
}

#[derive(FromRow)]
struct MemberRow {
    account_id: Uuid,
    name: String,
    permissions: String,
}

#[derive(FromRow)]
struct GroupRow {
    id: Uuid,
    client_id: Uuid,
    name: String,
    permissions: String,
    created_at: Timestamp,
    updated_at: Timestamp,
}

fn parse<T: std::str::FromStr>(text: &str, what: &'static str) -> Result<T> {
    text.parse().map_err(|_| StoreError::Corrupt(what.to_owned()))
}

fn permissions(text: &str) -> Result<Vec<Permission>> {
    text.split_whitespace().map(|name| parse(name, "a permission")).collect()
}

/// The text that [`permissions`] reads.
fn permissions_text(permissions: &[Permission]) -> String {
    permissions.iter().map(Permission::as_str).collect::<Vec<_>>().join(" ")
}

impl TryFrom<GroupRow> for Group {
    type Error = StoreError;
    fn try_from(row: GroupRow) -> Result<Self> {
        Ok(Self {
            id: row.id,
            client: row.client_id,
            name: parse(&row.name, "a group's name")?,
            permissions: permissions(&row.permissions)?,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Accounts with their groups and what those allow.
fn assemble(rows: Vec<AccountRow>, members: &[MemberRow]) -> Result<Vec<Account>> {
    rows.into_iter().map(|row| account(row, members)).collect()
}

fn account(row: AccountRow, members: &[MemberRow]) -> Result<Account> {
    let (mut groups, mut allowed) = (Vec::new(), std::collections::BTreeSet::new());
    for member in members.iter().filter(|member| member.account_id == row.id) {
        groups.push(parse(&member.name, "a group's name")?);
        allowed.extend(permissions(&member.permissions)?);
    }
    groups.sort_unstable();
    Ok(Account {
        id: row.id,
        client: row.client_id,
        username: parse(&row.username, "a username")?,
        first_name: parse(&row.first_name, "a first name")?,
        last_name: parse(&row.last_name, "a last name")?,
        email: row.email.map(|email| parse(&email, "an e-mail address")).transpose()?,
        phone: row
            .phone
            .map(|phone| {
                PhoneNumber::from_i64(phone).ok_or_else(|| StoreError::Corrupt("a phone number".to_owned()))
            })
            .transpose()?,
        phone_verified: row.phone_verified,
        is_active: row.is_active,
        groups,
        permissions: allowed.into_iter().collect(),
        created_at: row.created_at,
        updated_at: row.updated_at,
        last_login_at: row.last_login_at,
    })
}

/// The accounts that are wanted; they are locked in the order of their ids.
fn accounts_query<DB: Database>(wanted: &Wanted<'_>) -> QueryBuilder<DB>
where
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> Uuid: Encode<'q, DB> + Type<DB>,
    for<'q> String: Encode<'q, DB> + Type<DB>,
{
    let mut sql = QueryBuilder::new(
        "SELECT id, client_id, username, first_name, last_name, email, phone, phone_verified, is_active, created_at, updated_at, last_login_at \
         FROM accounts WHERE ",
    );
    match wanted {
        Wanted::Ids(pairs) => {
            for (n, (client, id)) in pairs.iter().enumerate() {
                sql.push(if n == 0 { "((client_id = " } else { " OR (client_id = " }).push_bind(*client);
                sql.push(" AND id = ").push_bind(*id).push(")");
            }
            sql.push(")");
        }
        Wanted::Username(client, key) => {
            sql.push("client_id = ").push_bind(*client);
            sql.push(" AND username_key = ").push_bind((*key).to_owned());
        }
        Wanted::Verified(pairs) => {
            // By the index accounts_verified_phone.
            sql.push("phone_verified AND (");
            for (n, (client, phone)) in pairs.iter().enumerate() {
                sql.push(if n == 0 { "(client_id = " } else { " OR (client_id = " }).push_bind(*client);
                sql.push(" AND phone = ").push_bind(phone.to_i64()).push(")");
            }
            sql.push(")");
        }
        Wanted::List(list) => filter(&mut sql, list),
    }
    sql
}

fn filter<DB: Database>(sql: &mut QueryBuilder<DB>, list: &AccountList)
where
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> Uuid: Encode<'q, DB> + Type<DB>,
    for<'q> String: Encode<'q, DB> + Type<DB>,
{
    sql.push("client_id = ").push_bind(list.client);
    if let Some(id) = list.id {
        sql.push(" AND id = ").push_bind(id);
    }
    if let Some(username) = &list.username {
        sql.push(" AND username_key = ").push_bind(username.key().to_owned());
    }
    if let Some(phone) = list.phone {
        sql.push(" AND phone = ").push_bind(phone.to_i64());
    }
    if let Some(before) = list.before {
        sql.push(" AND id < ").push_bind(before);
    }
}

/// The memberships of these accounts, with what each group allows.
fn members_query<DB: Database>(accounts: &[AccountRow]) -> QueryBuilder<DB>
where
    for<'q> Uuid: Encode<'q, DB> + Type<DB>,
{
    let mut sql = QueryBuilder::new(
        "SELECT m.account_id, g.name, g.permissions FROM memberships m JOIN account_groups g ON g.id = m.group_id \
         WHERE m.account_id IN (",
    );
    // Without an account the query asks for none: whether a number has an account must not show in the time that an answer
    // takes.
    let none = accounts.is_empty().then_some(Uuid::nil());
    let mut list = sql.separated(", ");
    for id in accounts.iter().map(|account| account.id).chain(none) {
        list.push_bind(id);
    }
    sql.push(")");
    sql
}

/// A client's groups by name.
fn groups_query<DB: Database>(client: Uuid, names: Option<&[GroupName]>) -> QueryBuilder<DB>
where
    for<'q> Uuid: Encode<'q, DB> + Type<DB>,
    for<'q> String: Encode<'q, DB> + Type<DB>,
{
    let mut sql = QueryBuilder::new(
        "SELECT id, client_id, name, permissions, created_at, updated_at FROM account_groups WHERE client_id = ",
    );
    sql.push_bind(client);
    if let Some(names) = names {
        sql.push(" AND name IN (");
        let mut list = sql.separated(", ");
        for name in names {
            list.push_bind(name.as_str().to_owned());
        }
        sql.push(")");
    }
    sql.push(" ORDER BY name");
    sql
}

const INSERT_ACCOUNT: &str = "INSERT INTO accounts (username, username_key, first_name, last_name, email, \
     phone, phone_verified, is_active, updated_at, last_login_at, id, client_id, created_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
const UPDATE_ACCOUNT: &str = "UPDATE accounts SET username = $1, username_key = $2, first_name = $3, \
     last_name = $4, email = $5, phone = $6, phone_verified = $7, is_active = $8, updated_at = $9, last_login_at = $10 \
     WHERE id = $11 AND client_id = $12 AND created_at = $13";

/// Binds an account to one of the two statements above.
macro_rules! write_account {
    ($self:ident, $row:ident, $sql:expr) => {{
        let statement = sqlx::query($sql)
            .bind($row.username.as_str().to_owned())
            .bind($row.username.key().to_owned())
            .bind($row.first_name.as_str().to_owned())
            .bind($row.last_name.as_str().to_owned())
            .bind($row.email.as_ref().map(|email| email.as_str().to_owned()))
            .bind($row.phone.map(|phone| phone.to_i64()))
            .bind($row.phone_verified)
            .bind($row.is_active)
            .bind($row.updated_at)
            .bind($row.last_login_at)
            .bind($row.id)
            .bind($row.client)
            .bind($row.created_at);
        statement.execute(&mut *$self.tx).await?;
        Ok(())
    }};
}

for_both_transactions!(impl AccountsTable {
    async fn find_accounts(&mut self, wanted: Wanted<'_>, lock: bool) -> Result<Vec<Account>> {
        if matches!(wanted, Wanted::Ids([]) | Wanted::Verified([])) {
            return Ok(Vec::new());
        }
        let mut sql = accounts_query::<<Self as Dialect>::Database>(&wanted);
        match wanted {
            Wanted::List(list) => {
                sql.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(list.limit));
            }
            _ => {
                sql.push(" ORDER BY id");
            }
        }
        if lock {
            sql.push(Self::FOR_UPDATE);
        }
        let rows: Vec<AccountRow> = sql.build_query_as().fetch_all(&mut *self.tx).await?;
        let mut members = members_query::<<Self as Dialect>::Database>(&rows);
        let members: Vec<MemberRow> = members.build_query_as().fetch_all(&mut *self.tx).await?;
        assemble(rows, &members)
    }

    async fn insert_account(&mut self, row: &Account) -> Result<()> {
        write_account!(self, row, INSERT_ACCOUNT)
    }

    async fn update_account(&mut self, row: &Account) -> Result<()> {
        write_account!(self, row, UPDATE_ACCOUNT)
    }

    async fn delete_account(&mut self, id: Uuid) -> Result<()> {
        for sql in ["DELETE FROM memberships WHERE account_id = $1", "DELETE FROM accounts WHERE id = $1"] {
            sqlx::query(sql).bind(id).execute(&mut *self.tx).await?;
        }
        Ok(())
    }

    async fn set_memberships(&mut self, account: Uuid, groups: &[Uuid]) -> Result<()> {
        let clear = sqlx::query("DELETE FROM memberships WHERE account_id = $1").bind(account);
        clear.execute(&mut *self.tx).await?;
        for group in groups {
            let insert = sqlx::query("INSERT INTO memberships (account_id, group_id) VALUES ($1, $2)");
            insert.bind(account).bind(*group).execute(&mut *self.tx).await?;
        }
        Ok(())
    }

    async fn find_groups(
        &mut self,
        client: Uuid,
        names: Option<&[GroupName]>,
        hold: Hold,
    ) -> Result<Vec<Group>> {
        if names.is_some_and(<[GroupName]>::is_empty) {
            return Ok(Vec::new());
        }
        let mut sql = groups_query::<<Self as Dialect>::Database>(client, names);
        match hold {
            Hold::No => {}
            Hold::Shared => {
                sql.push(Self::FOR_SHARE);
            }
            Hold::Alone => {
                sql.push(Self::FOR_UPDATE);
            }
        }
        let rows: Vec<GroupRow> = sql.build_query_as().fetch_all(&mut *self.tx).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    async fn insert_group(&mut self, row: &Group) -> Result<()> {
        let sql = "INSERT INTO account_groups (id, client_id, name, permissions, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6)";
        let insert = sqlx::query(sql).bind(row.id).bind(row.client).bind(row.name.as_str().to_owned());
        let insert = insert.bind(permissions_text(&row.permissions));
        insert.bind(row.created_at).bind(row.updated_at).execute(&mut *self.tx).await?;
        Ok(())
    }

    async fn update_group(&mut self, row: &Group) -> Result<()> {
        let sql = "UPDATE account_groups SET permissions = $1, updated_at = $2 WHERE id = $3";
        let update = sqlx::query(sql).bind(permissions_text(&row.permissions)).bind(row.updated_at);
        update.bind(row.id).execute(&mut *self.tx).await?;
        Ok(())
    }

    async fn delete_group(&mut self, id: Uuid) -> Result<()> {
        for sql in
            ["DELETE FROM memberships WHERE group_id = $1", "DELETE FROM account_groups WHERE id = $1"]
        {
            sqlx::query(sql).bind(id).execute(&mut *self.tx).await?;
        }
        Ok(())
    }
});
