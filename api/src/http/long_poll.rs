//! Wakes callers that wait for a change of a verification.
//!
//! Status events come from the broker, whichever process made the change, and from this process directly. They are hints:
//! a waiter that is woken reads the store, and a waiter that hears nothing reads it now and then all the same.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hulak_broker::Broker;
use hulak_common::job::StatusEvent;
use hulak_runtime::shutdown::Shutdown;
use tokio::sync::watch;
use uuid::Uuid;

use crate::http::cache::VerificationCache;

/// Locks that share the verifications between them, so that wakers and waiters seldom meet.
const SHARDS: usize = 16;
/// How long a waiter trusts that it would have heard of a change: while events come in, and while none can.
const SAFETY: Duration = Duration::from_secs(10);
const SAFETY_DEAF: Duration = Duration::from_secs(2);
/// What was heard of a verification.
#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    version: i64,
    /// Counts the times when events may have been missed.
    gaps: u64,
}

/// The verifications with waiting callers, and those read lately.
#[derive(Debug, Default)]
pub struct Changes {
    shards: [Mutex<HashMap<Uuid, watch::Sender<Heard>>>; SHARDS],
    pub(crate) recent: VerificationCache,
    hearing: AtomicBool,
}

impl Changes {
    /// Without waiters.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Starts waiting for changes of a verification, from here on.
    pub fn watch(self: &Arc<Self>, id: Uuid) -> Watch {
        let receiver = self.locked(id, |waiting| {
            waiting.entry(id).or_insert_with(|| watch::Sender::new(Heard::default())).subscribe()
        });
        let gaps = receiver.borrow().gaps;
        Watch { changes: Arc::clone(self), id, gaps, receiver: Some(receiver) }
    }

    /// Wakes those who wait for one of these verifications, when its version is newer than what was heard.
    pub fn note(&self, events: &[StatusEvent]) {
        self.recent.note(events);
        for event in events {
            self.locked(event.id, |waiting| {
                if let Some(sender) = waiting.get(&event.id) {
                    sender.send_if_modified(|heard| {
                        let newer = event.version > heard.version;
                        heard.version = heard.version.max(event.version);
                        newer
                    });
                }
            });
        }
    }

    /// How many callers wait.
    #[must_use]
    pub fn waiters(&self) -> usize {
        let waiting = |shard: &Mutex<HashMap<Uuid, watch::Sender<Heard>>>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.values().map(watch::Sender::receiver_count).sum::<usize>()
        };
        self.shards.iter().map(waiting).sum()
    }

    /// How many verifications have a waiter.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    /// Listens to the broker until the stop.
    pub async fn follow(&self, broker: Arc<dyn Broker>, shutdown: Shutdown) {
        tokio::select! {
            () = shutdown.begun() => {}
            () = self.listen(&*broker) => {}
        }
    }

    async fn listen(&self, broker: &dyn Broker) {
        // It ends with an error only when the broker was closed for good.
        while let Ok(mut subscription) = broker.subscribe().await {
            self.hearing.store(true, Ordering::Relaxed);
            // What happened before we listened was not heard.
            self.gap();
            while let Some(events) = subscription.next().await {
                self.note(&events);
            }
            self.hearing.store(false, Ordering::Relaxed);
            self.gap();
        }
    }

    /// Has every waiter read the store.
    fn gap(&self) {
        for shard in &self.shards {
            let waiting = shard.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.values().for_each(|sender| sender.send_modify(|heard| heard.gaps += 1));
        }
    }

    /// How long a waiter may go without reading the store.
    pub(crate) fn safety(&self) -> Duration {
        if self.hearing.load(Ordering::Relaxed) { SAFETY } else { SAFETY_DEAF }
    }

    fn locked<T>(&self, id: Uuid, work: impl FnOnce(&mut HashMap<Uuid, watch::Sender<Heard>>) -> T) -> T {
        // The last byte of an id is random, the first ones are its time.
        let shard = &self.shards[usize::from(id.as_bytes()[15]) % SHARDS];
        // Nothing panics under the lock; a map of hints would be whole even then.
        work(&mut shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One waiter. Dropping it ends the waiting.
#[derive(Debug)]
pub struct Watch {
    changes: Arc<Changes>,
    id: Uuid,
    /// The gaps before the last look at the store.
    gaps: u64,
    /// `None` only while it is dropped.
    receiver: Option<watch::Receiver<Heard>>,
}

impl Watch {
    /// How many callers wait for changes of this verification, this one included.
    pub(crate) fn waiters(&self) -> usize {
        self.changes.locked(self.id, |waiting| waiting.get(&self.id).map_or(0, watch::Sender::receiver_count))
    }

    /// Resolves when there is a version after this one, or when one may have been missed since the last call.
    pub(crate) async fn moved(&mut self, version: i64) {
        let (Some(receiver), gaps) = (&mut self.receiver, self.gaps) else { return };
        // The sender lives as long as there is a receiver.
        if let Ok(heard) = receiver.wait_for(|heard| heard.version > version || heard.gaps != gaps).await {
            self.gaps = heard.gaps;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.receiver = None;
        self.changes.locked(self.id, |waiting| {
            if waiting.get(&self.id).is_some_and(|sender| sender.receiver_count() == 0) {
                waiting.remove(&self.id);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use futures_util::FutureExt as _;

    use super::*;

    fn event(id: u128, version: i64) -> StatusEvent {
        StatusEvent { id: Uuid::from_u128(id), version }
    }

    fn ready(work: impl Future<Output = ()>) -> bool {
        work.now_or_never().is_some()
    }

    #[test]
    fn a_newer_version_wakes_and_an_older_one_does_not() {
        let changes = Changes::new();
        let mut watch = changes.watch(Uuid::from_u128(1));
        changes.note(&[event(1, 3), event(2, 9)]);
        assert!(!ready(watch.moved(3)));
        assert!(ready(watch.moved(2)));
        changes.note(&[event(1, 2)]);
        assert!(!ready(watch.moved(3)), "versions never go back");
        changes.note(&[event(1, 4)]);
        assert!(ready(watch.moved(3)));
    }

    #[tokio::test]
    async fn whoever_may_have_missed_something_looks() {
        let changes = Changes::new();
        let mut watch = changes.watch(Uuid::from_u128(1));
        let mut moved = Box::pin(watch.moved(1));
        assert!((&mut moved).now_or_never().is_none());
        changes.gap();
        moved.await;
        assert!(!ready(watch.moved(1)), "once");
    }

    #[test]
    fn places_are_given_back() {
        let changes = Changes::new();
        let (one, two) = (changes.watch(Uuid::from_u128(1)), changes.watch(Uuid::from_u128(1)));
        assert_eq!(changes.watched(), 1);
        drop(one);
        assert_eq!(changes.watched(), 1);
        drop(two);
        assert_eq!(changes.watched(), 0);
    }
}
