//! Brings a database into use and keeps watch over it: migrations, the clock's offset, and whether it answers.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::error::StoreError;
use crate::store::Store;
use hulak_common::clock::{SharedClock, Stopwatch};
use hulak_common::limits::backoff;
use hulak_common::rng::Rng;
use hulak_runtime::shutdown::Shutdown;

/// Between two looks at a database that answers.
const PULSE: Duration = Duration::from_secs(1);
/// Between two looks at one that does not, at first; it doubles up to about a second, with jitter, because every process is
/// looking.
const RETRY: Duration = Duration::from_millis(250);
const RETRY_DOUBLINGS: u32 = 2;
/// Between a look and one that a failed request calls for: requests fail in crowds.
const GAP: Duration = Duration::from_millis(50);
/// A look that takes longer counts as no answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// How the database is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Not reached yet, or its schema is not ready.
    Starting,
    /// It answers.
    Up,
    /// It does not answer; being tried.
    Down,
}

/// Knows how the database is doing, so that no request has to wait to find out.
#[derive(Debug, Clone)]
pub struct Monitor(Arc<Watched>);

#[derive(Debug)]
struct Watched {
    health: watch::Sender<Health>,
    trouble: Notify,
}

impl Monitor {
    /// A database that was not reached yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Watched { health: watch::Sender::new(Health::Starting), trouble: Notify::new() }))
    }

    /// How it is doing.
    #[must_use]
    pub fn health(&self) -> Health {
        *self.0.health.borrow()
    }

    /// Resolves when it is up.
    pub async fn up(&self) {
        let mut health = self.0.health.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _up = health.wait_for(|health| *health == Health::Up).await;
    }

    /// Resolves when it is not up.
    pub async fn away(&self) {
        let mut health = self.0.health.subscribe();
        let _away = health.wait_for(|health| *health != Health::Up).await;
    }

    /// A request was not served. That may be a slow statement or a connection that broke, which concerns no other request,
    /// so nothing is concluded from it: the database is looked at right away.
    pub fn report_trouble(&self) {
        self.0.trouble.notify_one();
    }

    /// Waits for the database, applies the migrations, runs `prepare`, and then looks after it until the stop.
    ///
    /// # Errors
    /// When the schema is newer than this program, or a migration fails for good.
    pub async fn run<F, Fut>(
        &self,
        store: Arc<Store>,
        clock: SharedClock,
        rng: Rng,
        shutdown: Shutdown,
        prepare: F,
    ) -> Result<(), StoreError>
    where
        F: Fn() -> Fut + Send,
        Fut: Future<Output = Result<(), StoreError>> + Send,
    {
        let mut attempts = 0;
        loop {
            let ready = async {
                store.migrate().await?;
                calibrate(&store, &clock).await?;
                prepare().await
            };
            match tokio::select! { ready = ready => ready, () = shutdown.begun() => return Ok(()) } {
                Ok(()) => break,
                Err(error) if error.is_unavailable() => {
                    attempts += 1;
                    tracing::warn!(%error, "waiting for the database");
                    let pause = backoff(attempts, rng.fraction(), None).min(Duration::from_secs(5));
                    tokio::select! { () = tokio::time::sleep(pause) => {}, () = shutdown.begun() => return Ok(()) }
                }
                Err(error) => return Err(error),
            }
        }
        self.0.health.send_replace(Health::Up);
        self.watch(&store, &clock, &rng, &shutdown).await;
        Ok(())
    }

    async fn watch(&self, store: &Store, clock: &SharedClock, rng: &Rng, shutdown: &Shutdown) {
        let mut failures = 0;
        loop {
            tokio::select! { () = self.pause(failures, rng) => {}, () = shutdown.aborted() => return }
            let answer = tokio::time::timeout(PATIENCE, calibrate(store, clock)).await;
            failures = if matches!(answer, Ok(Ok(()))) { 0 } else { failures + 1 };
            match answer {
                Ok(Ok(())) => {
                    if self
                        .0
                        .health
                        .send_if_modified(|health| std::mem::replace(health, Health::Up) != Health::Up)
                    {
                        tracing::info!("the database answers again");
                    }
                }
                Ok(Err(error)) => self.note_down(&error),
                Err(_) => self.note_down(&"no answer in time"),
            }
        }
    }

    async fn pause(&self, failures: u32, rng: &Rng) {
        if failures > 0 {
            let pause = RETRY * (1 << (failures - 1).min(RETRY_DOUBLINGS));
            return tokio::time::sleep(pause.mul_f64(0.8 + 0.4 * rng.fraction())).await;
        }
        let trouble = async {
            tokio::time::sleep(GAP).await;
            self.0.trouble.notified().await;
        };
        tokio::select! { () = tokio::time::sleep(PULSE) => {}, () = trouble => {} }
    }

    fn note_down(&self, reason: &dyn std::fmt::Display) {
        if self.0.health.send_if_modified(|health| std::mem::replace(health, Health::Down) != Health::Down) {
            tracing::error!(%reason, "the database does not answer");
        }
    }
}

impl Default for Monitor {
    fn default() -> Self {
        Self::new()
    }
}

async fn calibrate(store: &Store, clock: &SharedClock) -> Result<(), StoreError> {
    let (before, watch) = (clock.now(), Stopwatch::start());
    let read = store.time().await?;
    clock.calibrate(read, before, watch.elapsed());
    Ok(())
}
