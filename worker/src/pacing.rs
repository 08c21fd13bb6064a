//! The account's rate at the gateway, shared out among the live workers.

use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use hulak_common::clock::SharedClock;
use hulak_common::shutdown::Shutdown;
use hulak_common::store::{Monitor, Store};
use tokio::sync::watch;
use uuid::Uuid;

/// Between two signs of life; the others know of a newcomer after that at the latest.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// How long a newcomer leaves the others to slow down before it takes its share.
const JOIN: Duration = Duration::from_millis(1_000);

/// This worker's share of the account's rate.
#[derive(Debug)]
pub struct Pacer {
    account_rate: f64,
    limiter: RwLock<(u32, Arc<DefaultDirectRateLimiter>)>,
    joined: watch::Sender<bool>,
}

impl Pacer {
    /// The whole rate until others are heard of.
    #[must_use]
    pub fn new(account_rate: f64) -> Self {
        Self {
            account_rate,
            limiter: RwLock::new((1, limiter(account_rate))),
            joined: watch::Sender::new(false),
        }
    }

    /// Waits until this worker may call the gateway once.
    pub async fn permit(&self) {
        let mut joined = self.joined.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _joined = joined.wait_for(|joined| *joined).await.map(|joined| *joined);
        let limiter = Arc::clone(&self.limiter.read().unwrap_or_else(PoisonError::into_inner).1);
        limiter.until_ready().await;
    }

    /// Takes its share among `live` workers.
    fn share(&self, live: u32) {
        let live = live.max(1);
        let mut current = self.limiter.write().unwrap_or_else(PoisonError::into_inner);
        if current.0 != live {
            tracing::info!(live, "sharing the gateway's rate among the live workers");
            *current = (live, limiter(self.account_rate / f64::from(live)));
        }
    }

    /// Gives signs of life, and follows how many workers there are, until the stop.
    pub async fn run(
        &self,
        worker: Uuid,
        store: Arc<dyn Store>,
        monitor: Monitor,
        clock: SharedClock,
        shutdown: Shutdown,
    ) {
        loop {
            monitor.up().await;
            match store.heartbeat(worker, clock.now()).await {
                Ok(live) => {
                    self.share(live);
                    if !*self.joined.borrow() {
                        if live > 1 {
                            tokio::select! { () = tokio::time::sleep(JOIN) => {}, () = shutdown.begun() => return }
                        }
                        self.joined.send_replace(true);
                    }
                }
                Err(error) => tracing::debug!(%error, "no sign of life given"),
            }
            tokio::select! { () = tokio::time::sleep(HEARTBEAT) => {}, () = shutdown.begun() => return }
        }
    }
}

/// At most 10 ms worth at once: timers are coarse, and a fast gateway needs more than one message a tick.
fn limiter(rate: f64) -> Arc<DefaultDirectRateLimiter> {
    let period = Duration::from_secs_f64(1.0 / rate.max(0.001));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 1000")]
    let burst = NonZeroU32::new((rate / 100.0).clamp(1.0, 1_000.0) as u32).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::with_period(period).unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(burst);
    Arc::new(RateLimiter::direct(quota))
}
