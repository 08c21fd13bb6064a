//! `workers` and `pauses`: which workers live, what they say of themselves, and whether sending is stopped.

use std::time::Duration;

use sqlx::{FromRow, query, query_as};
use uuid::Uuid;

use crate::error::{Result, StoreError};
use crate::requests::claims::Load;
use crate::store::{Store, both, execute, read};
use hulak_common::time::Timestamp;
use hulak_common::worker_registry::{Pause, WorkerRecord, WorkerState};

/// A worker that has not been heard of for this long is dead.
pub const WORKER_TTL: Duration = Duration::from_secs(3);

/// How long a dead worker is remembered.
const WORKER_FORGOTTEN: Duration = Duration::from_secs(60);

const BEAT: &str =
    "INSERT INTO workers (id, seen_at) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET seen_at = $2";
const FORGET: &str = "DELETE FROM workers WHERE seen_at <= $1";
const COUNT: &str = "SELECT count(*) FROM workers WHERE seen_at > $1";
const LEAVE: &str = "DELETE FROM workers WHERE id = $1";
/// The index messages_outbox has only what is to be published; the limit bounds how much of it is read.
const LOAD: &str = "SELECT (SELECT count(*) FROM (SELECT 1 FROM messages WHERE publish_at <= $1 LIMIT $2) AS due), \
     (SELECT count(*) FROM workers WHERE seen_at > $3)";
const REPORT: &str = "UPDATE workers SET state = $2 WHERE id = $1";
const WORKERS: &str = "SELECT id, seen_at, state FROM workers";
const PAUSE: &str =
    "INSERT INTO pauses (one, since, who, reason) VALUES (1, $1, $2, $3) ON CONFLICT (one) DO NOTHING";
const RESUME: &str = "DELETE FROM pauses WHERE one = 1";
const PAUSED: &str = "SELECT since, who, reason FROM pauses WHERE one = 1";

#[derive(FromRow)]
struct PauseRow {
    since: Timestamp,
    who: String,
    reason: String,
}

#[derive(FromRow)]
struct WorkerRow {
    id: Uuid,
    seen_at: Timestamp,
    state: String,
}

fn counted(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Store {
    /// Says that a worker lives, and answers how many do.
    pub async fn heartbeat(&self, worker: Uuid, now: Timestamp) -> Result<u32> {
        let live = both!(self, |database| {
            let beat = query(BEAT).bind(worker).bind(now);
            // A worker that was killed did not say that it leaves.
            let forget = query(FORGET).bind(now - WORKER_FORGOTTEN);
            let count = query_as(COUNT).bind(now - WORKER_TTL);
            database.execute_then_read([beat, forget], count).await
        })?;
        Ok(live.first().map_or(0, |(count,)| counted(*count)))
    }

    /// Says that a worker is leaving.
    pub async fn leave(&self, worker: Uuid) -> Result<()> {
        execute!(self, LEAVE, worker).map(drop)
    }

    /// How much is to be done, and by how many.
    pub async fn load(&self, now: Timestamp) -> Result<Load> {
        let found = read!(self, LOAD, now, i64::from(Load::MOST), now - WORKER_TTL)?.pop();
        let (outbox, workers) = found.unwrap_or_default();
        Ok(Load { outbox: counted(outbox), workers: counted(workers) })
    }

    /// Keeps what a worker says of itself, if it is in the registry, and tells whether sending is stopped.
    pub async fn report(&self, worker: Uuid, state: &WorkerState) -> Result<bool> {
        let state = serde_json::to_string(state).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        execute!(self, REPORT, worker, state)?;
        Ok(self.paused().await?.is_some())
    }

    /// The workers that were heard of lately.
    pub async fn workers(&self) -> Result<Vec<WorkerRecord>> {
        let found: Vec<WorkerRow> = read!(self, WORKERS)?;
        // A worker of another release may have written anything; its state is for people to look at.
        let record = |WorkerRow { id, seen_at, state }| WorkerRecord {
            id,
            seen_at,
            state: serde_json::from_str(&state).ok(),
        };
        let mut workers: Vec<_> = found.into_iter().map(record).collect();
        workers.sort_by_key(|worker| worker.id);
        Ok(workers)
    }

    /// Stops sending. The first pause stays.
    pub async fn pause(&self, pause: &Pause) -> Result<()> {
        execute!(self, PAUSE, pause.since, pause.by.clone(), pause.reason.clone()).map(drop)
    }

    /// Lets sending go on.
    pub async fn resume(&self) -> Result<()> {
        execute!(self, RESUME).map(drop)
    }

    /// Whether sending is stopped.
    pub async fn paused(&self) -> Result<Option<Pause>> {
        let found: Option<PauseRow> = read!(self, PAUSED)?.pop();
        Ok(found.map(|PauseRow { since, who, reason }| Pause { since, by: who, reason }))
    }
}
