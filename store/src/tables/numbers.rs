//! `numbers`: what was sent to a phone number, when it may be sent to again, and a block for all clients.

use sqlx::query_as;

use crate::error::{Result, StoreError};
use crate::postgres::PgTransaction;
use crate::sqlite::SqliteTransaction;
use crate::store::{Store, execute};
use crate::tables::{all, parse, phone};
use hulak_common::phone::PhoneNumber;
use hulak_common::phone_record::Number;
use hulak_common::staff::BlockEverywhere;
use hulak_common::time::Timestamp;

table! {
    "numbers", number_columns (pub(crate)), NumberRow of Number;
    Key phone: i64 as "bigint" = |row| row.phone.to_i64(),
    State otp_count: i64 as "bigint" = |row| row.otp_count,
    State ambiguous_count: i64 as "bigint" = |row| row.ambiguous_count,
    State last_sent_at: Option<Timestamp> as "bigint" = |row| row.last_sent_at,
    State paced_until: Option<Timestamp> as "bigint" = |row| row.paced_until,
    State asked: String as "text" = |row| row.asked.to_string(),
    Loaded blocked_until: Option<Timestamp>,
    Loaded block_reason: Option<String>,
}

impl TryFrom<NumberRow> for Number {
    type Error = StoreError;
    fn try_from(row: NumberRow) -> Result<Self> {
        Ok(Self {
            phone: phone(row.phone)?,
            otp_count: row.otp_count,
            ambiguous_count: row.ambiguous_count,
            last_sent_at: row.last_sent_at,
            paced_until: row.paced_until,
            asked: parse(&row.asked, "asked")?,
            blocked_until: row.blocked_until,
            block_reason: row.block_reason,
        })
    }
}

pub(crate) const READ_NUMBER: &str = concat!("SELECT ", number_columns!(), " FROM numbers WHERE phone = $1");
/// Locks come first in the lock order, by number.
const LOCK_NUMBERS: &str =
    concat!("SELECT ", number_columns!(), " FROM numbers WHERE phone = ANY($1) ORDER BY phone FOR UPDATE");
/// One row, so its lock is in the order of all locks. A transaction that is just inserting the number is waited for; one that
/// inserts it later tries again and finds it.
const BLOCK_EVERYWHERE: &str = "INSERT INTO numbers \
     (phone, otp_count, ambiguous_count, asked, blocked_until, block_reason) VALUES ($1, 0, 0, '', $2, $3) \
     ON CONFLICT (phone) DO UPDATE SET blocked_until = excluded.blocked_until, block_reason = excluded.block_reason";
const UNBLOCK_EVERYWHERE: &str =
    "UPDATE numbers SET blocked_until = NULL, block_reason = NULL WHERE phone = $1";

/// What the decisions need of numbers. They are inserted and updated with verifications and messages, see
/// [`crate::tables::bundles`].
pub(crate) trait NumbersTable: Send {
    /// Locks the numbers there are; those never seen are absent.
    fn lock_numbers(&mut self, phones: &[PhoneNumber]) -> impl Future<Output = Result<Vec<Number>>> + Send;
}

impl NumbersTable for PgTransaction {
    async fn lock_numbers(&mut self, phones: &[PhoneNumber]) -> Result<Vec<Number>> {
        let phones: Vec<_> = phones.iter().map(|phone| phone.to_i64()).collect();
        all::<NumberRow, _>(query_as(LOCK_NUMBERS).bind(phones).fetch_all(&mut *self.tx).await?)
    }
}

impl NumbersTable for SqliteTransaction {
    async fn lock_numbers(&mut self, phones: &[PhoneNumber]) -> Result<Vec<Number>> {
        let mut found: Vec<NumberRow> = Vec::with_capacity(phones.len());
        for phone in phones {
            found.extend(query_as(READ_NUMBER).bind(phone.to_i64()).fetch_optional(&mut *self.tx).await?);
        }
        all(found)
    }
}

impl Store {
    /// Blocks a number for all clients, or lifts that block.
    pub async fn block_everywhere(&self, block: &BlockEverywhere) -> Result<()> {
        let phone = block.phone.to_i64();
        match &block.block {
            Some((until, reason)) => execute!(self, BLOCK_EVERYWHERE, phone, *until, reason.clone()),
            None => execute!(self, UNBLOCK_EVERYWHERE, phone),
        }
        .map(drop)
    }
}
