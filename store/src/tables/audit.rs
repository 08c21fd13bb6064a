//! `audit_log`: what operators did. One text serves both databases.

use sqlx::FromRow;
use uuid::Uuid;

use crate::error::{Result, StoreError};
use crate::store::{Store, execute, read};
use crate::tables::{all, parse};
use hulak_common::audit::AuditEntry;
use hulak_common::time::Timestamp;

const INSERT: &str =
    "INSERT INTO audit_log (id, at, who, key_prefix, act, what) VALUES ($1, $2, $3, $4, $5, $6)";
/// By the primary key, which sorts by time.
const OLDER: &str = "SELECT id, at, who, key_prefix, act, what FROM audit_log WHERE id < $1 \
     ORDER BY id DESC LIMIT $2";

#[derive(FromRow)]
struct AuditRow {
    id: Uuid,
    at: Timestamp,
    who: String,
    key_prefix: String,
    act: String,
    what: String,
}

impl TryFrom<AuditRow> for AuditEntry {
    type Error = StoreError;
    fn try_from(row: AuditRow) -> Result<Self> {
        let AuditRow { id, at, who, key_prefix, act, what } = row;
        Ok(Self { id, at, who, key_prefix, act: parse(&act, "act")?, what })
    }
}

impl Store {
    /// Writes down what an operator does.
    pub async fn audit(&self, entry: &AuditEntry) -> Result<()> {
        let AuditEntry { id, at, who, key_prefix, act, what } = entry.clone();
        execute!(self, INSERT, id, at, who, key_prefix, act.as_str(), what).map(drop)
    }

    /// What operators did, the newest first: older than `before`, at most `limit`.
    pub async fn audit_log(&self, before: Option<Uuid>, limit: u32) -> Result<Vec<AuditEntry>> {
        all::<AuditRow, _>(read!(self, OLDER, before.unwrap_or(Uuid::max()), i64::from(limit))?)
    }
}
