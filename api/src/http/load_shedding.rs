//! Sheds load when the messages wait too long: a code that would arrive late is of no use to anybody, and costs as much.

use hulak_service::gauges;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hulak_common::clock::SharedClock;
use hulak_runtime::shutdown::Shutdown;
use hulak_store::{Monitor, Store};

use crate::http::problem::{Kind, Problem};

/// Between two looks at the backlog.
const TICK: Duration = Duration::from_secs(1);
/// What callers are told to wait.
const RETRY: Duration = Duration::from_secs(10);

/// Knows whether the workers are too far behind.
#[derive(Debug, Clone)]
pub(crate) struct Backlog {
    max_age: Duration,
    behind: Arc<AtomicBool>,
}

impl Backlog {
    /// Sheds when a message has waited longer than this for a worker.
    #[must_use]
    pub(crate) fn new(max_age: Duration) -> Self {
        Self { max_age, behind: Arc::default() }
    }

    /// Whether one more request may be accepted.
    ///
    /// # Errors
    /// 503 `overloaded` while the workers are too far behind.
    pub(crate) fn admit(&self) -> Result<(), Problem> {
        if self.behind.load(Ordering::Relaxed) {
            let detail = "messages are waiting too long to be sent; a code asked for now would come too late";
            return Err(Problem::new(Kind::Overloaded, detail).retry_after(RETRY));
        }
        Ok(())
    }

    /// Follows the backlog until the stop.
    pub(crate) async fn run(
        &self,
        store: Arc<Store>,
        monitor: Monitor,
        clock: SharedClock,
        shutdown: Shutdown,
    ) {
        loop {
            tokio::select! { () = monitor.up() => {}, () = shutdown.begun() => return }
            let now = clock.now();
            match store.waiting_since(now).await {
                Ok(since) => self.note(since.map_or(Duration::ZERO, |since| now - since)),
                Err(error) => tracing::debug!(%error, "the backlog was not looked at"),
            }
            tokio::select! { () = tokio::time::sleep(TICK) => {}, () = shutdown.begun() => return }
        }
    }

    fn note(&self, age: Duration) {
        gauges::backlog(age);
        let behind = age > self.max_age;
        if self.behind.swap(behind, Ordering::Relaxed) != behind {
            let seconds = age.as_secs();
            if behind {
                tracing::error!(seconds, "the oldest message waits too long: new requests are refused");
            } else {
                tracing::info!("messages go out in time again: new requests are accepted");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sheds_while_the_oldest_message_is_too_old() {
        let backlog = Backlog::new(Duration::from_secs(60));
        backlog.note(Duration::from_secs(60));
        assert!(backlog.admit().is_ok());
        backlog.note(Duration::from_secs(61));
        assert_eq!(backlog.admit().unwrap_err().kind(), Kind::Overloaded);
        backlog.note(Duration::ZERO);
        assert!(backlog.admit().is_ok());
    }
}
