//! Ends what time has ended: verifications past their life, and claims of workers that are gone.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::clock::SharedClock;
use hulak_common::time::Timestamp;
use hulak_runtime::metrics;
use hulak_runtime::shutdown::Shutdown;
use hulak_service::event_publisher::EventPublisher;
use hulak_store::{Monitor, Store, StoreError};

/// Between two sweeps: what expires is written down within a second.
const TICK: Duration = Duration::from_millis(400);
/// Rows of each kind in one sweep.
const BATCH: u32 = 500;

/// Ticks between two deletions of what no longer counts: ten seconds.
const FORGET_EVERY: u32 = 25;
/// Rows of each kind deleted at once; that many each ten seconds is more than quotas and keys are made in a steady flow
/// of 500 a second.
const FORGET_BATCH: u32 = 5_000;

/// Minutes of messages added up at once: a day of them takes some ten seconds after an upgrade, and one a minute later on.
const ROLL_UP_BATCH: u32 = 200;

async fn tidy(store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
    store.forget(FORGET_BATCH, now).await?;
    store.forget_operators(FORGET_BATCH, now).await?;
    store.roll_up(ROLL_UP_BATCH, now).await.map(drop)
}

/// Reaps until the stop.
pub async fn run(
    store: Arc<dyn Store>,
    announcer: EventPublisher,
    monitor: Monitor,
    clock: SharedClock,
    shutdown: Shutdown,
) {
    let mut ticks = 0_u32;
    loop {
        tokio::select! { () = tokio::time::sleep(TICK) => {}, () = shutdown.begun() => return }
        tokio::select! { () = monitor.up() => {}, () = shutdown.begun() => return }
        ticks = ticks.wrapping_add(1);
        if ticks.is_multiple_of(FORGET_EVERY)
            && let Err(error) = tidy(&*store, clock.now()).await
        {
            tracing::warn!(%error, "what no longer counts could not be deleted or added up");
        }
        loop {
            match store.reap(BATCH, clock.now()).await {
                Ok((reaped, events)) => {
                    announcer.announce(events);
                    metrics::worker().reaped_verifications.increment(reaped.expired as u64);
                    metrics::worker().reaped_claims.increment(reaped.leases as u64);
                    if reaped.leases > 0 {
                        tracing::warn!(
                            claims = reaped.leases,
                            "took back the claims of workers that are gone"
                        );
                    }
                    if !reaped.more || shutdown.has_begun() {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the reaper could not work");
                    break;
                }
            }
        }
    }
}
