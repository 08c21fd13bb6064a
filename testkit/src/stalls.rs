//! How long a test's own process stood still: on a busy machine that bunches what happens, and delays it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hulak_common::clock::Stopwatch;
use tokio::task::JoinHandle;

/// From one look to the next.
const TICK: Duration = Duration::from_millis(10);

/// Watches how late this process's own timers are.
#[derive(Debug)]
pub struct Stalls {
    longest_ms: Arc<AtomicU64>,
    watching: JoinHandle<()>,
}

impl Stalls {
    /// Begins to watch, within a runtime.
    #[must_use]
    pub fn watch() -> Self {
        let longest_ms = Arc::new(AtomicU64::new(0));
        let noted = Arc::clone(&longest_ms);
        let watching = tokio::spawn(async move {
            loop {
                let watch = Stopwatch::start();
                tokio::time::sleep(TICK).await;
                let late = watch.elapsed().saturating_sub(TICK).as_millis();
                noted.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self { longest_ms, watching }
    }

    /// The longest stall since the beginning.
    #[must_use]
    pub fn longest(&self) -> Duration {
        Duration::from_millis(self.longest_ms.load(Ordering::Relaxed))
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.watching.abort();
    }
}
