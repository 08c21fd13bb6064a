//! The tables, a file each: the columns, what they mean, and the SQL.
//!
//! A table that batches write to is declared once, by `table!`: the lists of columns, the reader and the parameters of both
//! databases come from there. PostgreSQL takes many rows in one statement, as an array for each column; SQLite takes a
//! statement for each row.

use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};
use uuid::Uuid;

use crate::error::{Result, StoreError};
use crate::postgres::PgTransaction;
use crate::sql_text::SqlText;
use crate::sqlite::SqliteTransaction;
use hulak_common::gateway_codes::GatewayCode;
use hulak_common::job::MessageId;
use hulak_common::phone::PhoneNumber;
use hulak_common::time::Timestamp;
use hulak_common::verification::DeliveryError;

pub(crate) type PgStatement<'q> = Query<'q, Postgres, PgArguments>;
pub(crate) type SqliteStatement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// A column of a table.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// Its type in PostgreSQL.
    pub(crate) kind: &'static str,
    pub(crate) role: Role,
}

/// Which statements write a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Inserted, and what rows are found by.
    Key,
    /// Inserted, and never changed.
    Fixed,
    /// Inserted, and updated.
    State,
    /// Only read: other statements write it.
    Loaded,
}

/// What a statement does with rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    Insert,
    Update,
}

impl Write {
    /// Whether it takes the columns of this role as parameters.
    pub(crate) fn takes(self, role: Role) -> bool {
        match role {
            Role::Key | Role::State => true,
            Role::Fixed => self == Self::Insert,
            Role::Loaded => false,
        }
    }
}

/// A table that batches write to.
pub(crate) trait Table: Sized {
    const NAME: &'static str;
    /// In the order in which they are read.
    const COLUMNS: &'static [Column];
    /// A column by which an older state must not overwrite a newer one.
    const VERSION: Option<&'static str> = None;

    /// Binds rows as an array for each column, by their roles, then as they are declared.
    fn bind_arrays<'q>(statement: PgStatement<'q>, rows: &[&'q Self], write: Write) -> PgStatement<'q>;
    /// Binds one row, in the order in which the columns are declared.
    fn bind_row<'q>(statement: SqliteStatement<'q>, row: &'q Self, write: Write) -> SqliteStatement<'q>;
}

/// The roles of what is written, in the order in which PostgreSQL's statements take them.
pub(crate) const WRITTEN: [Role; 3] = [Role::Key, Role::Fixed, Role::State];

/// The columns that PostgreSQL's statement takes, in the order of its parameters.
fn columns<T: Table>(write: Write) -> impl Iterator<Item = &'static Column> {
    let of = |role| T::COLUMNS.iter().filter(move |column| column.role == role);
    WRITTEN.into_iter().filter(move |role| write.takes(*role)).flat_map(of)
}

/// The columns that PostgreSQL's statement inserts.
pub(crate) fn names<T: Table>() -> String {
    columns::<T>(Write::Insert).map(|column| column.name).collect::<Vec<_>>().join(", ")
}

/// What PostgreSQL's statement updates, from rows called `u`.
pub(crate) fn assignments<T: Table>() -> String {
    let state = T::COLUMNS.iter().filter(|column| column.role == Role::State);
    state.map(|Column { name, .. }| format!("{name} = u.{name}")).collect::<Vec<_>>().join(", ")
}

/// How many parameters a statement of PostgreSQL has so far.
pub(crate) struct Parameters(pub(crate) usize);

impl Parameters {
    /// The rows that [`Table::bind_arrays`] binds, as a table `u`.
    pub(crate) fn rows<T: Table>(&mut self, write: Write) -> String {
        let column = |Column { name, kind, .. }: &Column| {
            self.0 += 1;
            format!("unnest(${}::{kind}[]) AS {name}", self.0)
        };
        format!("(SELECT {}) AS u", columns::<T>(write).map(column).collect::<Vec<_>>().join(", "))
    }
}

/// SQLite's statement that inserts one row.
pub(crate) fn sqlite_insert<T: Table>() -> String {
    let written = T::COLUMNS.iter().filter(|column| Write::Insert.takes(column.role));
    let names: Vec<_> = written.map(|column| column.name).collect();
    format!("INSERT INTO {} ({}) VALUES ({})", T::NAME, names.join(", "), vec!["?"; names.len()].join(", "))
}

/// SQLite's statement that updates one row. A row of a newer version is left alone, which the count tells.
pub(crate) fn sqlite_update<T: Table>() -> String {
    let written = T::COLUMNS.iter().filter(|column| Write::Update.takes(column.role));
    let (mut changes, mut found) = (Vec::new(), Vec::new());
    for (n, Column { name, role, .. }) in (1..).zip(written) {
        if *role == Role::Key { &mut found } else { &mut changes }.push(format!("{name} = ?{n}"));
        if T::VERSION == Some(name) {
            found.push(format!("{name} <= ?{n}"));
        }
    }
    format!("UPDATE {} SET {} WHERE {}", T::NAME, changes.join(", "), found.join(" AND "))
}

/// A row that is beside others in an answer.
pub(crate) trait SideBySide: Sized {
    /// How many columns it has.
    const COLUMNS: usize;

    /// Reads it from the columns from `first` on.
    fn at(row: &PgRow, first: usize) -> sqlx::Result<Self>;
}

/// Declares a table: `role column: type as "PostgreSQL's type" = |row| parameter`, in the order in which columns are read.
///
/// It makes a macro with the list of the columns, the row as it is read (by the names of its columns, or by their places,
/// where an answer has rows of several tables side by side), and the [`Table`] that binds parameters.
///
/// Statements name columns: a prepared one that asks for whatever columns there are fails once a successor adds another, and
/// this release runs beside its successor's schema.
macro_rules! table {
    (
        $name:literal, $columns:ident $(($shared:vis))?, $row_type:ident of $domain:ty $(, version $version:literal)?;
        $first:ident $first_field:ident: $first_type:ty as $first_kind:literal = |$first_row:ident| $first_value:expr,
        $($role:ident $field:ident: $type:ty $(as $kind:literal = |$row:ident| $value:expr)?,)+
    ) => {
        macro_rules! $columns {
            () => {
                concat!(stringify!($first_field) $(, ", ", stringify!($field))+)
            };
        }
        $($shared use $columns;)?

        #[derive(sqlx::FromRow)]
        pub(crate) struct $row_type {
            $first_field: $first_type,
            $($field: $type,)+
        }

        impl $crate::tables::SideBySide for $row_type {
            const COLUMNS: usize = <$domain as $crate::tables::Table>::COLUMNS.len();

            fn at(row: &sqlx::postgres::PgRow, first: usize) -> sqlx::Result<Self> {
                use sqlx::Row as _;
                let mut next = first;
                let mut column = || {
                    next += 1;
                    next - 1
                };
                Ok(Self { $first_field: row.try_get(column())?, $($field: row.try_get(column())?,)+ })
            }
        }

        impl $crate::tables::Table for $domain {
            const NAME: &'static str = $name;
            const COLUMNS: &'static [$crate::tables::Column] = &[
                $crate::tables::Column {
                    name: stringify!($first_field),
                    kind: $first_kind,
                    role: $crate::tables::Role::$first,
                },
                $($crate::tables::Column {
                    name: stringify!($field),
                    kind: concat!($($kind)?),
                    role: $crate::tables::Role::$role,
                },)+
            ];
            $(const VERSION: Option<&'static str> = Some($version);)?

            fn bind_arrays<'q>(
                mut statement: $crate::tables::PgStatement<'q>,
                rows: &[&'q Self],
                write: $crate::tables::Write,
            ) -> $crate::tables::PgStatement<'q> {
                use $crate::tables::{Role, WRITTEN, array};
                for role in WRITTEN.into_iter().filter(|role| write.takes(*role)) {
                    if role == Role::$first {
                        statement = statement.bind(array(rows, |$first_row| $first_value));
                    }
                    $($(if role == Role::$role {
                        statement = statement.bind(array(rows, |$row| $value));
                    })?)+
                }
                statement
            }

            fn bind_row<'q>(
                mut statement: $crate::tables::SqliteStatement<'q>,
                row: &'q Self,
                write: $crate::tables::Write,
            ) -> $crate::tables::SqliteStatement<'q> {
                use $crate::tables::Role;
                if write.takes(Role::$first) {
                    let $first_row = row;
                    statement = statement.bind($first_value);
                }
                $($(if write.takes(Role::$role) {
                    let $row = row;
                    statement = statement.bind($value);
                })?)+
                statement
            }
        }
    };
}

/// Implements a table's trait for the transactions of both databases, where one text serves both.
macro_rules! for_both_transactions {
    (impl $table:ident { $($body:tt)* }) => {
        impl $table for $crate::postgres::PgTransaction {
            $($body)*
        }
        impl $table for $crate::sqlite::SqliteTransaction {
            $($body)*
        }
    };
}

// After the macros, which they use.
pub(crate) mod accounts;
pub(crate) mod allowances;
pub(crate) mod answers;
pub(crate) mod audit;
pub(crate) mod bundles;
pub(crate) mod client_numbers;
pub(crate) mod clients;
pub(crate) mod messages;
pub(crate) mod numbers;
pub(crate) mod pages;
pub(crate) mod retention;
pub(crate) mod samples;
pub(crate) mod sessions;
pub(crate) mod usage;
pub(crate) mod verifications;
pub(crate) mod workers;

/// What a transaction's statements say differently from the other database's.
pub(crate) trait Dialect {
    type Database: sqlx::Database;
    /// Ends a statement that locks what it finds.
    const FOR_UPDATE: &'static str;
    /// Ends a statement that locks what it finds against changes only.
    const FOR_SHARE: &'static str;

    /// The text for this database.
    fn text(sql: impl SqlText) -> &'static str;
}

impl Dialect for PgTransaction {
    type Database = Postgres;
    const FOR_UPDATE: &'static str = " FOR UPDATE";
    const FOR_SHARE: &'static str = " FOR SHARE";

    fn text(sql: impl SqlText) -> &'static str {
        sql.postgres()
    }
}

/// SQLite's writer is alone for as long as its transaction lasts.
impl Dialect for SqliteTransaction {
    type Database = Sqlite;
    const FOR_UPDATE: &'static str = "";
    const FOR_SHARE: &'static str = "";

    fn text(sql: impl SqlText) -> &'static str {
        sql.sqlite()
    }
}

/// A column of many rows, as PostgreSQL takes it.
pub(crate) fn array<'q, R, T: Parameter>(rows: &[&'q R], value: impl Fn(&'q R) -> T) -> Vec<T> {
    T::short(rows.iter().map(|row| value(row)).collect())
}

/// What a column is bound as.
pub(crate) trait Parameter: Sized {
    /// What is left out of an array is NULL to the database.
    fn short(values: Vec<Self>) -> Vec<Self>;
}

/// When all are NULL, the array is empty: `unnest` in a select list gives NULL beside the other columns' elements then, and
/// each array costs as much as it has elements.
impl<T> Parameter for Option<T> {
    fn short(values: Vec<Self>) -> Vec<Self> {
        if values.iter().any(Option::is_some) { values } else { Vec::new() }
    }
}

macro_rules! parameters {
    ($($type:ty),+) => {
        $(impl Parameter for $type {
            fn short(values: Vec<Self>) -> Vec<Self> {
                values
            }
        })+
    };
}
parameters!(i16, i32, i64, String, &str, &[u8], Uuid, Timestamp);

impl SqliteTransaction {
    /// Writes rows, one by one; [`StoreError::Conflict`] when one is not there, or another transaction was first.
    pub(crate) async fn write<T: Table + Sync>(
        &mut self,
        rows: &[&T],
        sql: &'static str,
        write: Write,
    ) -> Result<()> {
        for row in rows {
            self.write_one(T::bind_row(sqlx::query(sql), row, write)).await?;
        }
        Ok(())
    }

    pub(crate) async fn write_one(&mut self, statement: SqliteStatement<'_>) -> Result<()> {
        all_written(statement.execute(&mut *self.tx).await?.rows_affected(), 1)
    }
}

/// Messages as two arrays.
pub(crate) fn split(ids: &[MessageId]) -> (Vec<Uuid>, Vec<i32>) {
    ids.iter().map(|id| (id.verification, id.seq)).unzip()
}

/// Fewer rows than given means that another transaction was there first.
pub(crate) fn all_written(written: u64, rows: usize) -> Result<()> {
    if written == rows as u64 {
        Ok(())
    } else {
        Err(StoreError::Conflict(format!("{written} of {rows} rows were written")))
    }
}

/// Gives each row its meaning.
pub(crate) fn all<R, T: TryFrom<R, Error = StoreError>>(rows: Vec<R>) -> Result<Vec<T>> {
    rows.into_iter().map(T::try_from).collect()
}

pub(crate) fn phone(value: i64) -> Result<PhoneNumber> {
    PhoneNumber::from_i64(value).ok_or_else(|| corrupt("phone"))
}

pub(crate) fn corrupt(column: &str) -> StoreError {
    StoreError::Corrupt(format!("column {column}"))
}

pub(crate) fn parse<T: std::str::FromStr>(text: &str, column: &str) -> Result<T> {
    text.parse().map_err(|_| corrupt(column))
}

/// The gateway's code is a text, and beside it a number if it is one: the release before this one knows only the number, and
/// leaves the text alone when it writes the row. A text that does not belong to the number is of an earlier error.
pub(crate) fn delivery_error(
    code: Option<String>,
    number: Option<i32>,
    text: Option<String>,
) -> Result<Option<DeliveryError>> {
    let Some(code) = code else { return Ok(None) };
    let text = text.map(|text| parse::<GatewayCode>(&text, "gateway_error")).transpose()?;
    let gateway_code = text.filter(|text| text.to_number() == number).or(number.map(Into::into));
    Ok(Some(DeliveryError { code: parse(&code, "error")?, gateway_code }))
}

pub(crate) fn gateway_error(error: Option<DeliveryError>) -> Option<String> {
    Some(error?.gateway_code?.to_string())
}
