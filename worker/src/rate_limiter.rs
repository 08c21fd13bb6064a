//! The account's rate at the gateway, shared out among the live workers.

use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota};
use hulak_common::clock::{SharedClock, Stopwatch};
use hulak_runtime::shutdown::Shutdown;
use hulak_store::{Monitor, Store, WORKER_TTL};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::{MissedTickBehavior, Sleep, interval, sleep};
use uuid::Uuid;

/// Between two heartbeats.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// How long a share is valid, from the start of its heartbeat. A worker without a heartbeat for longer, because the database is
/// slow or the process did not run, may have been joined by others, so it takes no permits.
///
/// A new worker waits as long after its first heartbeat: by then every share that was computed without it has been renewed or
/// has expired.
const LEASE: Duration = Duration::from_millis(1_200);
// A worker that the registry forgets has no valid share any more.
const _: () = assert!(LEASE.as_millis() < WORKER_TTL.as_millis());

/// Permits come a little slower than calls may be made, so that calls that have bunched between the two spread out again.
const PERMITS: f64 = 0.97;

/// This worker's share of the account's rate.
#[derive(Debug)]
pub struct RateLimiter {
    account_rate: f64,
    share: RwLock<Share>,
    permits: WaitQueue,
    calls: WaitQueue,
    /// Whether the share is valid.
    valid: watch::Sender<bool>,
    /// Permits that were given back, for those who wait.
    returned: Semaphore,
    waiting: AtomicUsize,
}

impl RateLimiter {
    /// The whole rate until other workers are known.
    #[must_use]
    pub fn new(account_rate: f64) -> Self {
        Self {
            account_rate,
            share: RwLock::new(Share::of(account_rate, 1)),
            permits: WaitQueue::default(),
            calls: WaitQueue::default(),
            valid: watch::Sender::new(false),
            returned: Semaphore::new(0),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Waits until this worker may begin with one message.
    pub async fn permit(&self) {
        let _waiting = Waiting::enter(&self.waiting);
        tokio::select! {
            returned = self.returned.acquire() => if let Ok(permit) = returned { permit.forget() },
            () = self.permits.pass(self.valid_share(), || self.limiter(|share| &share.permits)) => {}
        }
    }

    /// Waits until the call itself may be made. It waits only when claims took long and several come back at once, and then
    /// about as long as the claims took.
    pub async fn call(&self) {
        self.calls.pass(std::future::ready(()), || self.limiter(|share| &share.calls)).await;
    }

    async fn valid_share(&self) {
        let mut valid = self.valid.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _valid = valid.wait_for(|valid| *valid).await.map(|valid| *valid);
    }

    fn limiter(
        &self,
        which: impl Fn(&Share) -> &Arc<DefaultDirectRateLimiter>,
    ) -> Arc<DefaultDirectRateLimiter> {
        Arc::clone(which(&self.share.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Gives back a permit whose message was not sent. A waiting message takes it at once, so that expired work costs no part of
    /// the rate. While no message waits it is dropped: if kept, it would exceed the rate in a later second.
    pub fn give_back(&self) {
        if self.waiting.load(Ordering::Relaxed) > self.returned.available_permits() {
            self.returned.add_permits(1);
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

    /// Sends heartbeats, and follows the number of live workers, until shutdown.
    pub async fn run(
        &self,
        worker: Uuid,
        store: Arc<Store>,
        monitor: Monitor,
        clock: SharedClock,
        shutdown: Shutdown,
    ) {
        let mut ticks = interval(HEARTBEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A stopwatch measures how long this worker has been known: a timer would only be seen to elapse while it is awaited.
        let (mut lease, mut known) = (Box::pin(sleep(Duration::ZERO)), Stopwatch::start());
        while !shutdown.has_begun() {
            let ready = async {
                ticks.tick().await;
                monitor.up().await;
            };
            tokio::select! { () = self.within(&mut lease, ready) => {}, () = shutdown.begun() => return }
            // Started before the heartbeat: its answer is true from some moment after this one.
            let (renewed, asked) = (Box::pin(sleep(LEASE)), Stopwatch::start());
            let live = match self.within(&mut lease, store.heartbeat(worker, clock.now())).await {
                Ok(live) => live,
                Err(error) => {
                    tracing::debug!(%error, "the heartbeat failed");
                    continue;
                }
            };
            if lease.is_elapsed() {
                // The first heartbeat, or the first one in time again: from here on the other workers know of this one.
                known = Stopwatch::start();
            }
            lease = renewed;
            self.share_among(live);
            if (live == 1 || known.elapsed() >= LEASE) && asked.elapsed() < LEASE {
                self.valid.send_replace(true);
            }
        }
    }

    /// Waits for `work`, and invalidates the share if its lease ends meanwhile.
    async fn within<T>(&self, lease: &mut Pin<Box<Sleep>>, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        tokio::select! {
            biased;
            () = lease.as_mut() => {
                if self.valid.send_replace(false) {
                    tracing::warn!("heartbeat late: this worker stops sending until its share of the rate is renewed");
                }
            }
            done = &mut work => return done,
        }
        work.await
    }
}

/// A queue before a limiter. Only the first in it waits at the limiter itself: when the share changes, at most one message still
/// goes by the old rate. If all waited there, a whole worker's concurrency would.
#[derive(Debug, Default)]
struct WaitQueue(Mutex<()>);

impl WaitQueue {
    /// Waits to be the first, then for `open`, then for the limiter.
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

/// The limits of one of `live` workers.
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

/// Counts a waiting message for as long as it exists.
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

/// A burst of at most 10 ms of the rate: timers are coarse, and a fast gateway needs more than one message a tick.
fn limiter(rate: f64) -> Arc<DefaultDirectRateLimiter> {
    let period = Duration::from_secs_f64(1.0 / rate.max(0.001));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 1000")]
    let burst = NonZeroU32::new((rate / 100.0).clamp(1.0, 1_000.0) as u32).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::with_period(period).unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(burst);
    Arc::new(governor::RateLimiter::direct(quota))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_waiting_message_goes_by_the_present_share() {
        let limiter = Arc::new(RateLimiter::new(1_000.0));
        limiter.valid.send_replace(true);
        limiter.permit().await;
        // From here on the next permit is a minute away.
        limiter.share_among(60_000);
        limiter.permit().await;
        let waiters: Vec<_> = (0..64)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                tokio::spawn(async move { limiter.permit().await })
            })
            .collect();
        while limiter.waiting.load(Ordering::Relaxed) < waiters.len() {
            tokio::task::yield_now().await;
        }
        // The first in the queue keeps its slow limiter; all others go by the new one, which is what frees them.
        limiter.share_among(1);
        limiter.give_back();
        for waiter in waiters {
            tokio::time::timeout(Duration::from_secs(5), waiter).await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn an_expired_share_stops_all_that_wait() {
        let limiter = Arc::new(RateLimiter::new(1_000.0));
        limiter.valid.send_replace(true);
        let mut lease = Box::pin(sleep(Duration::from_secs(3_600)));
        limiter.within(&mut lease, std::future::ready(())).await;
        limiter.permit().await;
        let mut lease = Box::pin(sleep(Duration::ZERO));
        lease.as_mut().await;
        // The heartbeat is answered, but too late.
        limiter.within(&mut lease, tokio::task::yield_now()).await;
        let waiters: Vec<_> = (0..8)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                tokio::spawn(async move { limiter.permit().await })
            })
            .collect();
        while limiter.waiting.load(Ordering::Relaxed) < waiters.len() {
            tokio::task::yield_now().await;
        }
        // At a thousand a second they would be through long before the time of ten permits is over.
        assert!(tokio::time::timeout(Duration::from_millis(10), limiter.permit()).await.is_err());
        limiter.valid.send_replace(true);
        for waiter in waiters {
            tokio::time::timeout(Duration::from_secs(5), waiter).await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_permit_given_back_goes_to_a_waiting_message_or_is_dropped() {
        let limiter = Arc::new(RateLimiter::new(0.1));
        limiter.valid.send_replace(true);
        limiter.give_back();
        assert_eq!(limiter.returned.available_permits(), 0, "no message waits, so it is dropped");
        limiter.permit().await;
        let waiter = tokio::spawn({
            let limiter = Arc::clone(&limiter);
            async move { limiter.permit().await }
        });
        while limiter.waiting.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        // The next permit of its own would come in ten seconds.
        limiter.give_back();
        tokio::time::timeout(Duration::from_secs(5), waiter).await.unwrap().unwrap();
    }
}
