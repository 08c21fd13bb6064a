//! The counters of all processes, read from the store as they come in, and only while somebody looks.

use std::time::Duration;

use hulak_common::time::Timestamp;
use hulak_service::metrics_history::Board;
use hulak_store::StoreError;
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

use super::Parts;

/// How old what is shown may be: pages are fetched anew about as often as samples come in.
const FRESH: Duration = Duration::from_secs(2);
/// Nobody has looked for this long: what was read then is forgotten.
const IDLE: Duration = Duration::from_secs(900);
/// Samples read at once.
const PAGE: u32 = 2_000;
/// The most of them for one look; an installation of a hundred processes has as many in an hour.
const MOST_PAGES: usize = 100;

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Figures(Mutex<Known>);

#[derive(Debug, Default)]
pub(super) struct Known {
    board: Board,
    read_at: Timestamp,
}

impl std::ops::Deref for Known {
    type Target = Board;
    fn deref(&self) -> &Board {
        &self.board
    }
}

impl Figures {
    /// The counters as they are now. Whoever else looks waits, and then has them, too.
    pub(super) async fn now(&self, parts: &Parts) -> Result<MutexGuard<'_, Known>, StoreError> {
        let now = parts.clock.now();
        let mut known = self.0.lock().await;
        if now < known.read_at + FRESH && now >= known.read_at {
            return Ok(known);
        }
        if now > known.read_at + IDLE {
            *known = Known::default();
        }
        let mut after = (known.board.wants(now), Uuid::nil());
        for _ in 0..MOST_PAGES {
            let samples = parts.store.samples(after, PAGE).await?;
            known.board.take(&samples);
            match samples.last() {
                Some(last) if samples.len() == PAGE as usize => after = (last.at, last.process),
                _ => break,
            }
        }
        known.board.trim(now);
        known.read_at = now;
        Ok(known)
    }
}
