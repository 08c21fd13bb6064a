//! Ends expired verifications, takes back claims whose lease ran out, and cleans up rows that are no longer needed.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::clock::SharedClock;
use hulak_common::time::Timestamp;
use hulak_runtime::metrics;
use hulak_runtime::shutdown::Shutdown;
use hulak_service::event_publisher::EventPublisher;
use hulak_store::{Monitor, Store, StoreError};

/// Between two sweeps: an expiry is written within a second.
const TICK: Duration = Duration::from_millis(400);
/// Rows of each kind in one sweep.
const BATCH: u32 = 500;

/// Ticks between two cleanups: ten seconds.
const CLEANUP_EVERY: u32 = 25;
/// Rows of each kind deleted in one cleanup; a steady flow of 500 requests a second makes fewer quotas and keys in ten
/// seconds.
const CLEANUP_BATCH: u32 = 5_000;

/// Minutes of messages added to the usage at once: after an upgrade a day of them takes some ten seconds, later there is one a
/// minute.
const ROLL_UP_BATCH: u32 = 200;

/// Reaps until shutdown.
pub async fn run(
    store: Arc<Store>,
    publisher: EventPublisher,
    monitor: Monitor,
    clock: SharedClock,
    shutdown: Shutdown,
) {
    let mut ticks = 0_u32;
    loop {
        tokio::select! { () = tokio::time::sleep(TICK) => {}, () = shutdown.begun() => return }
        tokio::select! { () = monitor.up() => {}, () = shutdown.begun() => return }
        ticks = ticks.wrapping_add(1);
        if ticks.is_multiple_of(CLEANUP_EVERY)
            && let Err(error) = clean_up(&store, clock.now()).await
        {
            tracing::warn!(%error, "cleanup or usage roll-up failed");
        }
        while sweep(&store, &publisher, clock.now()).await && !shutdown.has_begun() {}
    }
}

async fn clean_up(store: &Store, now: Timestamp) -> Result<(), StoreError> {
    store.forget(CLEANUP_BATCH, now).await?;
    store.forget_operators(CLEANUP_BATCH, now).await?;
    store.roll_up(ROLL_UP_BATCH, now).await.map(drop)
}

/// Answers whether there are more rows for another sweep.
async fn sweep(store: &Store, publisher: &EventPublisher, now: Timestamp) -> bool {
    let (reaped, events) = match store.reap(BATCH, now).await {
        Ok(done) => done,
        Err(error) => {
            tracing::warn!(%error, "the sweep for expired verifications and claims failed");
            return false;
        }
    };
    publisher.announce(events);
    metrics::worker().reaped_verifications.increment(reaped.expired as u64);
    metrics::worker().reaped_claims.increment(reaped.leases as u64);
    if reaped.leases > 0 {
        tracing::warn!(claims = reaped.leases, "took back the claims of workers that are gone");
    }
    reaped.more
}
