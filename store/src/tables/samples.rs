//! `samples`: the counters of each process at a moment, for the console's charts. One text serves both databases.

use sqlx::FromRow;
use uuid::Uuid;

use crate::error::Result;
use crate::requests::staff::StoredSample;
use crate::store::{Store, execute, read};
use hulak_common::time::Timestamp;

const PUT: &str = "INSERT INTO samples (at, process, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
const LATER: &str = "SELECT at, process, body FROM samples WHERE (at, process) > ($1, $2) \
     ORDER BY at, process LIMIT $3";

#[derive(FromRow)]
struct SampleRow {
    at: Timestamp,
    process: Uuid,
    body: String,
}

impl Store {
    /// Keeps a process's counters.
    pub async fn put_sample(&self, sample: &StoredSample) -> Result<()> {
        execute!(self, PUT, sample.at, sample.process, sample.body.clone()).map(drop)
    }

    /// The counters of all processes from a moment on, the oldest first: after `(at, process)`, at most `limit`.
    pub async fn samples(&self, after: (Timestamp, Uuid), limit: u32) -> Result<Vec<StoredSample>> {
        let found: Vec<SampleRow> = read!(self, LATER, after.0, after.1, i64::from(limit))?;
        let sample = |SampleRow { at, process, body }| StoredSample { process, at, body };
        Ok(found.into_iter().map(sample).collect())
    }
}
