//! `usage_days` and `usage_progress`: what the messages of each client and day come to. One text serves both databases.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::{FromRow, query};
use uuid::Uuid;

use crate::error::{Result, StoreError};
use crate::store::{Store, execute, in_transaction, read};
use hulak_common::time::Timestamp;
use hulak_common::usage::{Day, Usage, UsageSum};
use hulak_common::verification::VERIFICATION_LIFE;

/// What is added up at once: a minute of verifications.
const SLICE: Duration = Duration::from_secs(60);
/// How much longer than a verification may live its messages are left alone: for ids that were made a moment before their
/// rows, and for workers that hold a message to the end.
const SETTLED: Duration = Duration::from_secs(300);
/// How often the days are read again when they are being added up meanwhile.
const TRIES: u32 = 8;

/// Days in Nepal, by the moment when the gateway answered. A part count that an older release did not keep counts as one.
macro_rules! usage_of {
    ($ids:literal) => {
        concat!(
            "SELECT (m.updated_at + 20700000) / 86400000 AS day, v.client_id, \
             CAST(sum(CASE WHEN m.route = 'gateway' AND m.state = 'sent' THEN 1 ELSE 0 END) AS bigint) AS messages, \
             CAST(sum(CASE WHEN m.route = 'gateway' AND m.state = 'sent' THEN coalesce(m.parts, 1) ELSE 0 END) AS bigint) \
             AS parts, \
             CAST(sum(CASE WHEN m.route = 'gateway' THEN m.ambiguous * coalesce(m.parts, 1) ELSE 0 END) AS bigint) \
             AS uncertain, \
             CAST(sum(CASE WHEN m.route = 'gateway' AND m.state = 'failed' THEN 1 ELSE 0 END) AS bigint) AS failed, \
             CAST(sum(CASE WHEN m.route <> 'gateway' AND m.state = 'sent' THEN 1 ELSE 0 END) AS bigint) AS unbilled \
             FROM messages m JOIN verifications v ON v.id = m.verification_id WHERE ",
            $ids,
            " GROUP BY 1, 2"
        )
    };
}
/// By the primary keys, which sort by time.
const BETWEEN: &str = usage_of!("m.verification_id >= $1 AND m.verification_id < $2");
const SINCE: &str = usage_of!("m.verification_id >= $1");
const DAYS: &str =
    "SELECT day, client_id, messages, parts, uncertain, failed, unbilled FROM usage_days WHERE day >= $1";
const ADD: &str = "INSERT INTO usage_days AS d \
     (day, client_id, messages, parts, uncertain, failed, unbilled) VALUES ($1, $2, $3, $4, $5, $6, $7) \
     ON CONFLICT (day, client_id) DO UPDATE SET messages = d.messages + excluded.messages, \
     parts = d.parts + excluded.parts, uncertain = d.uncertain + excluded.uncertain, \
     failed = d.failed + excluded.failed, unbilled = d.unbilled + excluded.unbilled";
/// The transaction that moves it on from where it was adds the rows; all others have come too late. This row is locked before
/// the days, so these never wait for each other in a circle.
const ADVANCE: &str = "UPDATE usage_progress SET until = $2 WHERE one = 1 AND until = $1";
const BEGIN_PROGRESS: &str =
    "INSERT INTO usage_progress (one, until) VALUES (1, $1) ON CONFLICT (one) DO NOTHING";
const PROGRESS: &str = "SELECT until FROM usage_progress WHERE one = 1";
const STILL_OPEN: &str = "SELECT count(*) FROM messages \
     WHERE verification_id >= $1 AND verification_id < $2 AND state IN ('queued', 'sending')";
const NEXT_VERIFICATION: &str = "SELECT id FROM verifications WHERE id >= $1 ORDER BY id LIMIT 1";

#[derive(Debug, Clone, FromRow)]
pub(crate) struct UsageRow {
    day: i64,
    client_id: Uuid,
    messages: i64,
    parts: i64,
    uncertain: i64,
    failed: i64,
    unbilled: i64,
}

impl UsageRow {
    fn sum(&self) -> UsageSum {
        let Self { messages, parts, uncertain, failed, unbilled, .. } = *self;
        UsageSum { messages, parts, uncertain, failed, unbilled }
    }
}

/// The first id of its kind that a moment can have.
pub(crate) fn first_id(at: Timestamp) -> Uuid {
    let millis = u128::try_from(at.as_millis()).unwrap_or(0);
    Uuid::from_u128(millis << 80)
}

/// The moment in an id.
fn moment_of(id: Uuid) -> Timestamp {
    Timestamp::from_millis(i64::try_from(id.as_u128() >> 80).unwrap_or(i64::MAX))
}

fn minute(at: Timestamp) -> Timestamp {
    let minute = SLICE.as_millis() as i64;
    Timestamp::from_millis(at.as_millis().div_euclid(minute) * minute)
}

/// The only row of a statement that has one.
fn one<T>(mut rows: Vec<(T,)>) -> Option<T> {
    rows.pop().map(|(value,)| value)
}

/// Adds rows of one client and day together, and names the clients.
fn add_up(rows: Vec<UsageRow>, names: &[(Uuid, String)]) -> Vec<Usage> {
    let mut sums = BTreeMap::<_, UsageSum>::new();
    for row in rows {
        let name = names.iter().find(|(id, _)| *id == row.client_id).map_or("?", |(_, name)| name);
        let key = (std::cmp::Reverse(row.day), name.to_owned(), row.client_id);
        *sums.entry(key).or_default() += row.sum();
    }
    let usage = |((day, client_name, client), sum): ((std::cmp::Reverse<i64>, _, _), _)| Usage {
        day: Day::from_number(day.0),
        client,
        client_name,
        sum,
    };
    sums.into_iter().map(usage).filter(|usage| usage.sum != UsageSum::default()).collect()
}

impl Store {
    /// Adds up the messages of verifications made so long ago that none of them can change any more: at most `slices`
    /// minutes. Answers how many. Any number of processes may do it at once; nothing is counted twice.
    pub async fn roll_up(&self, slices: u32, now: Timestamp) -> Result<u32> {
        let settled = minute(now - VERIFICATION_LIFE.max(self.rules.code_ttl) - SETTLED);
        let mut done = 0;
        while done < slices && self.roll_up_one(settled).await? {
            done += 1;
        }
        Ok(done)
    }

    /// What the messages of each client and day come to, from a day on: the newest day first, by client. Exact: what is
    /// not added up yet is looked at.
    pub async fn usage(&self, from: Day) -> Result<Vec<Usage>> {
        // In this order: what is added up in between is looked at and left out, or in both; then it is read anew.
        let names = self.client_names().await?;
        for _ in 0..TRIES {
            let until: Option<Timestamp> = one(read!(self, PROGRESS)?);
            let mut rows: Vec<UsageRow> = read!(self, DAYS, from.number())?;
            let recent: Vec<UsageRow> = read!(self, SINCE, first_id(until.unwrap_or_default()))?;
            rows.extend(recent.into_iter().filter(|row| row.day >= from.number()));
            if one(read!(self, PROGRESS)?) == until {
                return Ok(add_up(rows, &names));
            }
        }
        Err(StoreError::Conflict("the days are just being added up".to_owned()))
    }

    /// Up to which moment everything is added up. Set when there is none yet: to where the first verification is.
    async fn progress(&self, settled: Timestamp) -> Result<Timestamp> {
        if let Some(until) = one(read!(self, PROGRESS)?) {
            return Ok(until);
        }
        let first = one(read!(self, NEXT_VERIFICATION, Uuid::nil())?);
        let first = first.map_or(settled, |id| minute(moment_of(id)));
        execute!(self, BEGIN_PROGRESS, first.min(settled))?;
        Ok(one(read!(self, PROGRESS)?).unwrap_or(settled))
    }

    /// Adds up one slice, and tells whether it did: not when the next one is not settled, or another process was first.
    async fn roll_up_one(&self, settled: Timestamp) -> Result<bool> {
        let from = self.progress(settled).await?;
        // Minutes in which nothing was asked for are left out at once.
        let next = one(read!(self, NEXT_VERIFICATION, first_id(from))?);
        let next = next.map_or(settled, |id| minute(moment_of(id))).max(from);
        let until = next + SLICE;
        if until > settled {
            return Ok(false);
        }
        let (first, end) = (first_id(next), first_id(until));
        if one::<i64>(read!(self, STILL_OPEN, first, end)?) != Some(0) {
            return Ok(false);
        }
        // What is settled does not change any more, so it may be read before it is decided which process adds it.
        let rows: Vec<UsageRow> = read!(self, BETWEEN, first, end)?;
        in_transaction!(self, |tx| tx.add_usage(from, until, &rows).await)
    }
}

/// Adding up takes several statements, so it is done in a transaction.
trait UsageTable {
    /// Adds rows to the days, and moves the progress on from `from` to `until`; nothing when it is elsewhere.
    async fn add_usage(&mut self, from: Timestamp, until: Timestamp, rows: &[UsageRow]) -> Result<bool>;
}

for_both_transactions!(impl UsageTable {
    async fn add_usage(&mut self, from: Timestamp, until: Timestamp, rows: &[UsageRow]) -> Result<bool> {
        let advanced = query(ADVANCE).bind(from).bind(until).execute(&mut *self.tx).await?;
        if advanced.rows_affected() == 0 {
            return Ok(false);
        }
        for row in rows {
            let add = query(ADD).bind(row.day).bind(row.client_id).bind(row.messages).bind(row.parts);
            let add = add.bind(row.uncertain).bind(row.failed).bind(row.unbilled);
            add.execute(&mut *self.tx).await?;
        }
        Ok(true)
    }
});

#[cfg(test)]
mod tests {
    use super::*;
    use hulak_common::rng::Rng;

    #[test]
    fn ids_and_moments_agree() {
        let at = Timestamp::from_millis(1_800_000_000_123);
        let id = Rng::seeded(1).uuid_v7(at);
        assert_eq!(moment_of(id), at);
        let next = Timestamp::from_millis(at.as_millis() + 1);
        assert!(first_id(at) <= id && id < first_id(next));
    }
}
