//! Verifications seen lately, so that polling costs no database.
//!
//! Three rules keep it honest. A row is believed for [`FRESH`] after the moment at which it was asked for, so a reader is
//! never more than a second behind, whether events come or not. An event, or a tag of the caller's, that tells of a later
//! version makes the next reader ask the store. And what a slow read brings back never takes the place of a later version:
//! on one process nobody goes back in time.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::clock::Stopwatch;
use hulak_common::job::StatusEvent;
use hulak_common::verification::Verification;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use uuid::Uuid;

/// How long a row is believed. Below a second by more than the way from a handler to its caller takes.
const FRESH: Duration = Duration::from_millis(750);
/// How many are kept: about 1 KB each.
const ROWS: u64 = 32_768;
/// How long a row is kept that nobody looks at: what is old is of use only against going back in time.
const KEPT: Duration = Duration::from_secs(10);

/// Verifications seen lately.
#[derive(Debug)]
pub(crate) struct VerificationCache(Cache<Uuid, Seen>);

/// A row, and what is known of its age.
#[derive(Debug, Clone)]
struct Seen {
    row: Arc<Verification>,
    /// Runs since before the store was asked for it.
    age: Stopwatch,
    /// The latest version that was heard of.
    heard: i64,
}

impl Default for VerificationCache {
    fn default() -> Self {
        let rows = Cache::builder()
            .max_capacity(ROWS)
            .time_to_idle(KEPT)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self(rows)
    }
}

impl VerificationCache {
    /// The row, if it can be believed and is at least of this version.
    pub(crate) fn get(&self, id: Uuid, at_least: i64) -> Option<Arc<Verification>> {
        let Seen { row, age, heard } = self.0.get(&id)?;
        (row.version >= heard.max(at_least) && age.elapsed() < FRESH).then_some(row)
    }

    /// Takes note of a row that was asked for when `age` began, and answers the latest that is known.
    pub(crate) fn put(&self, row: Arc<Verification>, age: Stopwatch) -> Arc<Verification> {
        let latest = self.0.entry(row.id).and_upsert_with(|known| {
            let Some(known) = known.map(|known| known.into_value()) else {
                return Seen { heard: row.version, row, age };
            };
            if row.version < known.row.version {
                return known;
            }
            // The same version read again is as good as new.
            Seen { heard: known.heard.max(row.version), row, age }
        });
        latest.into_value().row
    }

    /// Takes note of changes, whoever made them.
    pub(crate) fn note(&self, events: &[StatusEvent]) {
        for event in events {
            if !self.0.contains_key(&event.id) {
                continue;
            }
            self.0.entry(event.id).and_compute_with(|known| match known.map(|known| known.into_value()) {
                Some(known) if known.heard < event.version => Op::Put(Seen { heard: event.version, ..known }),
                _ => Op::Nop,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use hulak_common::time::Timestamp;
    use hulak_testkit::fixtures::{live_key, verification};

    use super::*;

    fn row(version: i64) -> Verification {
        let key = live_key(Uuid::from_u128(1), "9812345678".parse().unwrap());
        let row = verification(Uuid::from_u128(7), key, Timestamp::from_millis(1_700_000_000_000));
        Verification { version, ..row }
    }

    #[test]
    fn a_row_is_believed_until_something_later_is_heard_of() {
        let recent = VerificationCache::default();
        let row = Arc::new(row(3));
        let id = row.id;
        assert!(recent.get(id, 0).is_none());
        recent.put(Arc::clone(&row), Stopwatch::start());
        assert_eq!(recent.get(id, 3).map(|row| row.version), Some(3));
        assert!(recent.get(id, 4).is_none(), "the caller knows more");
        recent.note(&[StatusEvent { id, version: 2 }]);
        assert!(recent.get(id, 0).is_some());
        recent.note(&[StatusEvent { id, version: 5 }]);
        assert!(recent.get(id, 0).is_none());
        let latest = recent.put(Arc::new(Verification { version: 5, ..(*row).clone() }), Stopwatch::start());
        assert_eq!(latest.version, 5);
        assert_eq!(recent.get(id, 0).map(|row| row.version), Some(5));
    }

    #[test]
    fn what_comes_late_is_not_believed() {
        let recent = VerificationCache::default();
        let row = Arc::new(row(3));
        recent.put(Arc::clone(&row), Stopwatch::start());
        let late = Arc::new(Verification { version: 2, ..(*row).clone() });
        assert_eq!(recent.put(late, Stopwatch::start()).version, 3);
        assert_eq!(recent.get(row.id, 0).map(|row| row.version), Some(3));
    }
}
