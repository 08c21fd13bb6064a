//! The account's rate at the gateway, shared out among the live workers.

use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use hulak_common::clock::{SharedClock, Stopwatch};
use hulak_runtime::shutdown::Shutdown;
use hulak_store::{Monitor, Store, WORKER_TTL};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::{MissedTickBehavior, Sleep, interval, sleep};
use uuid::Uuid;

/// From one sign of life to the next.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// How long a share holds from the moment on when its sign of life was begun. Whoever hears of nobody for longer, because
/// the database is slow or the process was not running, may have been joined by others, and takes no permits.
///
/// A newcomer waits as long from its first sign of life on: by then every share that was taken without knowing of it has been
/// renewed, or has run out.
const LEASE: Duration = Duration::from_millis(1_200);
// Whoever is forgotten has no share any more.
const _: () = assert!(LEASE.as_millis() < WORKER_TTL.as_millis());

/// Permits come a little slower than calls may go, so that what has bunched between the two thins out again.
const PERMITS: f64 = 0.97;

/// This worker's share of the account's rate.
#[derive(Debug)]
pub struct Pacer {
    account_rate: f64,
    share: RwLock<Share>,
    permits: Line,
    calls: Line,
    joined: watch::Sender<bool>,
    /// Permits that were given back, for whoever is waiting.
    spare: Semaphore,
    waiting: AtomicUsize,
}

impl Pacer {
    /// The whole rate until others are heard of.
    #[must_use]
    pub fn new(account_rate: f64) -> Self {
        Self {
            account_rate,
            share: RwLock::new(Share::of(account_rate, 1)),
            permits: Line::default(),
            calls: Line::default(),
            joined: watch::Sender::new(false),
            spare: Semaphore::new(0),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Waits until this worker may begin with one message.
    pub async fn permit(&self) {
        let _waiting = Waiting::enter(&self.waiting);
        tokio::select! {
            spare = self.spare.acquire() => if let Ok(spare) = spare { spare.forget() },
            () = self.permits.pass(self.share_held(), || self.limiter(|share| &share.permits)) => {}
        }
    }

    /// Waits until the call itself may go. It hardly ever waits: only when claims took long and several come back at
    /// once, and then about as long as they took.
    pub async fn call(&self) {
        self.calls.pass(std::future::ready(()), || self.limiter(|share| &share.calls)).await;
    }

    async fn share_held(&self) {
        let mut joined = self.joined.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _joined = joined.wait_for(|joined| *joined).await.map(|joined| *joined);
    }

    fn limiter(
        &self,
        which: impl Fn(&Share) -> &Arc<DefaultDirectRateLimiter>,
    ) -> Arc<DefaultDirectRateLimiter> {
        Arc::clone(which(&self.share.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Gives a permit back that was not used, because the message was not to be sent after all. Whoever waits takes it
    /// at once, so that expired work costs no part of the rate. With nobody waiting it is forgotten: kept, it would be
    /// a call more than the rate in some later second.
    pub fn unused(&self) {
        if self.waiting.load(Ordering::Relaxed) > self.spare.available_permits() {
            self.spare.add_permits(1);
        }
    }

    /// This worker's share, in messages a second.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.account_rate / f64::from(self.share.read().unwrap_or_else(PoisonError::into_inner).live)
    }

    /// Takes its share among `live` workers.
    fn share_among(&self, live: u32) {
        let live = live.max(1);
        let mut current = self.share.write().unwrap_or_else(PoisonError::into_inner);
        if current.live != live {
            tracing::info!(live, "sharing the gateway's rate among the live workers");
            *current = Share::of(self.account_rate, live);
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
        let mut ticks = interval(HEARTBEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A stopwatch says how long it has been known: a timer tells that it has elapsed only to who has waited for it.
        let (mut lease, mut known) = (Box::pin(sleep(Duration::ZERO)), Stopwatch::start());
        while !shutdown.has_begun() {
            let ready = async {
                ticks.tick().await;
                monitor.up().await;
            };
            tokio::select! { () = self.holding(&mut lease, ready) => {}, () = shutdown.begun() => return }
            // Before it is asked: what is answered is true from then on.
            let (renewed, asked) = (Box::pin(sleep(LEASE)), Stopwatch::start());
            match self.holding(&mut lease, store.heartbeat(worker, clock.now())).await {
                Ok(live) => {
                    if lease.is_elapsed() {
                        // The first one, or the first one in time: the others know of this worker from here on.
                        known = Stopwatch::start();
                    }
                    lease = renewed;
                    self.share_among(live);
                    if (live == 1 || known.elapsed() >= LEASE) && asked.elapsed() < LEASE {
                        self.joined.send_replace(true);
                    }
                }
                Err(error) => tracing::debug!(%error, "no sign of life given"),
            }
        }
    }

    /// Waits for `work`. A share that runs out meanwhile is laid down.
    async fn holding<T>(&self, lease: &mut Pin<Box<Sleep>>, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        tokio::select! {
            biased;
            () = lease.as_mut() => {
                if self.joined.send_replace(false) {
                    tracing::warn!("no sign of life in time: this worker lays its share of the rate down");
                }
            }
            done = &mut work => return done,
        }
        work.await
    }
}

/// Those who wait for a limiter, one behind the other. Only the first waits at the limiter itself: when the share
/// changes, at most one still goes by the old rate. With all of them there, a whole worker's concurrency would.
#[derive(Debug, Default)]
struct Line(Mutex<()>);

impl Line {
    /// The first in line waits until it may go at all, and then for the limiter.
    async fn pass(
        &self,
        open: impl Future<Output = ()>,
        limiter: impl Fn() -> Arc<DefaultDirectRateLimiter>,
    ) {
        let _first = self.0.lock().await;
        open.await;
        limiter().until_ready().await;
    }
}

/// What one of `live` workers may do.
#[derive(Debug)]
struct Share {
    live: u32,
    permits: Arc<DefaultDirectRateLimiter>,
    calls: Arc<DefaultDirectRateLimiter>,
}

impl Share {
    fn of(account_rate: f64, live: u32) -> Self {
        let rate = account_rate / f64::from(live);
        Self { live, permits: limiter(rate * PERMITS), calls: limiter(rate) }
    }
}

/// Counts itself among those who wait.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_goes_by_the_share_of_the_moment() {
        let pacer = Arc::new(Pacer::new(1_000.0));
        pacer.joined.send_replace(true);
        pacer.permit().await;
        // From here on the next permit is a minute away.
        pacer.share_among(60_000);
        pacer.permit().await;
        let waiters: Vec<_> = (0..64)
            .map(|_| {
                let pacer = Arc::clone(&pacer);
                tokio::spawn(async move { pacer.permit().await })
            })
            .collect();
        while pacer.waiting.load(Ordering::Relaxed) < waiters.len() {
            tokio::task::yield_now().await;
        }
        // The first in line keeps its slow limiter; all others go by the new one, which is what frees them.
        pacer.share_among(1);
        pacer.unused();
        for waiter in waiters {
            tokio::time::timeout(Duration::from_secs(5), waiter).await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_share_that_ran_out_is_laid_down_by_all_who_wait() {
        let pacer = Arc::new(Pacer::new(1_000.0));
        pacer.joined.send_replace(true);
        let mut lease = Box::pin(sleep(Duration::from_secs(3_600)));
        pacer.holding(&mut lease, std::future::ready(())).await;
        pacer.permit().await;
        let mut lease = Box::pin(sleep(Duration::ZERO));
        lease.as_mut().await;
        // The sign of life comes back, but too late.
        pacer.holding(&mut lease, tokio::task::yield_now()).await;
        let waiters: Vec<_> = (0..8)
            .map(|_| {
                let pacer = Arc::clone(&pacer);
                tokio::spawn(async move { pacer.permit().await })
            })
            .collect();
        while pacer.waiting.load(Ordering::Relaxed) < waiters.len() {
            tokio::task::yield_now().await;
        }
        // At a thousand a second they would be through long before ten permits' time is over.
        assert!(tokio::time::timeout(Duration::from_millis(10), pacer.permit()).await.is_err());
        pacer.joined.send_replace(true);
        for waiter in waiters {
            tokio::time::timeout(Duration::from_secs(5), waiter).await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_permit_given_back_is_taken_by_who_waits_and_not_kept_otherwise() {
        let pacer = Arc::new(Pacer::new(0.1));
        pacer.joined.send_replace(true);
        pacer.unused();
        assert_eq!(pacer.spare.available_permits(), 0, "nobody waits, so it is forgotten");
        pacer.permit().await;
        let waiter = tokio::spawn({
            let pacer = Arc::clone(&pacer);
            async move { pacer.permit().await }
        });
        while pacer.waiting.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        // The next permit of its own would come in ten seconds.
        pacer.unused();
        tokio::time::timeout(Duration::from_secs(5), waiter).await.unwrap().unwrap();
    }
}
