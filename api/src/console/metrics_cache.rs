//! The counters of all processes, read from the store as they come in, and only while an operator looks at the console.

use std::time::Duration;

use hulak_common::time::Timestamp;
use hulak_service::metrics_history::Board;
use hulak_store::{Store, StoreError};
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

/// How old the counters may be: pages are fetched again about as often as processes write samples.
const MAX_AGE: Duration = Duration::from_secs(2);
/// After this long without a reader the cache is emptied.
const IDLE: Duration = Duration::from_secs(900);
/// Samples read with one statement.
const PAGE: u32 = 2_000;
/// The most statements of one read; a hundred processes write as many samples in an hour.
const MAX_PAGES: usize = 100;

/// A cache of the counters.
#[derive(Debug, Default)]
pub(super) struct MetricsCache(Mutex<Cached>);

#[derive(Debug, Default)]
pub(super) struct Cached {
    board: Board,
    read_at: Timestamp,
}

impl std::ops::Deref for Cached {
    type Target = Board;
    fn deref(&self) -> &Board {
        &self.board
    }
}

impl MetricsCache {
    /// The counters as they are at `now`. Only one request reads the store; the others wait for what it reads.
    pub(super) async fn read(
        &self,
        store: &Store,
        now: Timestamp,
    ) -> Result<MutexGuard<'_, Cached>, StoreError> {
        let mut cached = self.0.lock().await;
        if now < cached.read_at + MAX_AGE && now >= cached.read_at {
            return Ok(cached);
        }
        if now > cached.read_at + IDLE {
            *cached = Cached::default();
        }
        let mut after = (cached.board.wants(now), Uuid::nil());
        for _ in 0..MAX_PAGES {
            let samples = store.samples(after, PAGE).await?;
            cached.board.take(&samples);
            match samples.last() {
                Some(last) if samples.len() == PAGE as usize => after = (last.at, last.process),
                _ => break,
            }
        }
        cached.board.trim(now);
        cached.read_at = now;
        Ok(cached)
    }
}
