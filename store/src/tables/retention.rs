//! Deletes what no longer counts, from several tables, a bounded number of rows at a time.
//!
//! On PostgreSQL rows that another process is just deleting or using are left to it: SKIP LOCKED never waits, so these take part
//! in no circle of waiting transactions.

use std::time::Duration;

use uuid::Uuid;

use crate::error::Result;
use crate::store::{Store, execute};
use crate::tables::usage::first_id;
use hulak_common::hosted_page::REMEMBERED;
use hulak_common::idempotency::KEPT;
use hulak_common::time::Timestamp;

/// How long the record of what operators did is kept.
const AUDIT_KEPT: Duration = hours(24 * 400);

const fn hours(hours: u64) -> Duration {
    Duration::from_secs(3_600 * hours)
}

/// A statement for PostgreSQL, and the same for SQLite without the lock.
macro_rules! delete {
    ($table:literal, $keys:literal, $found:literal) => {
        [
            concat!(
                "DELETE FROM ",
                $table,
                " WHERE ",
                $keys,
                " IN (SELECT ",
                $found,
                " FOR UPDATE SKIP LOCKED)"
            ),
            concat!("DELETE FROM ", $table, " WHERE ", $keys, " IN (SELECT ", $found, ")"),
        ]
    };
}

const ALLOWANCES: [&str; 2] =
    delete!("allowances", "key", "key FROM allowances WHERE full_at <= $2 ORDER BY full_at LIMIT $1");
const ANSWERS: [&str; 2] =
    delete!("answers", "scope", "scope FROM answers WHERE created_at <= $2 ORDER BY created_at LIMIT $1");
const PAGES: [&str; 2] =
    delete!("pages", "id", "id FROM pages WHERE expires_at <= $2 ORDER BY expires_at LIMIT $1");
const PAGE_CODES: [&str; 2] = delete!(
    "page_codes",
    "verification_id",
    "verification_id FROM page_codes WHERE expires_at <= $2 ORDER BY expires_at LIMIT $1"
);
const SESSIONS: [&str; 2] =
    delete!("operator_sessions", "hash", "hash FROM operator_sessions WHERE expires_at <= $2 LIMIT $1");
const AUDIT: [&str; 2] = delete!("audit_log", "id", "id FROM audit_log WHERE id < $2 ORDER BY id LIMIT $1");
/// Of the samples older than an hour one a minute stays; those older than three have been through this.
const SAMPLES: [&str; 2] = delete!(
    "samples",
    "(at, process)",
    "at, process FROM samples \
     WHERE at <= $2 OR (at BETWEEN $3 AND $4 AND at % 60000 <> 0) ORDER BY at LIMIT $1"
);

impl Store {
    /// Deletes up to `limit` of what no longer counts: quotas that are whole again, answers too old to be
    /// given again, pages that ended long ago.
    pub async fn forget(&self, limit: u32, now: Timestamp) -> Result<()> {
        let limit = i64::from(limit);
        execute!(self, ALLOWANCES, limit, now.as_millis().saturating_mul(1_000))?;
        execute!(self, ANSWERS, limit, now - KEPT)?;
        execute!(self, PAGES, limit, now - REMEMBERED)?;
        execute!(self, PAGE_CODES, limit, now - REMEMBERED).map(drop)
    }

    /// Deletes what is too old to be looked at: sessions, samples, the record of what operators did.
    pub async fn forget_operators(&self, limit: u32, now: Timestamp) -> Result<()> {
        let limit = i64::from(limit);
        let oldest: Uuid = first_id(now - AUDIT_KEPT);
        execute!(self, SESSIONS, limit, now)?;
        execute!(self, AUDIT, limit, oldest)?;
        execute!(self, SAMPLES, limit, now - hours(24), now - hours(3), now - hours(1)).map(drop)
    }
}
