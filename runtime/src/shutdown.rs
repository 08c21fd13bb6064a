//! Stopping in two steps: first no new work and a bounded drain, then at once.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long a process may take to finish what it has begun.
pub const DRAIN: Duration = Duration::from_secs(15);

/// How long parts may take to notice that the drain is over.
const GRACE: Duration = Duration::from_secs(2);

/// Tells every part of a process when to stop.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Shutdown {
    /// A process without a stop.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins an orderly stop: no new work, and work in flight is finished.
    pub fn begin(&self) {
        self.soft.cancel();
    }

    /// Stops at once.
    pub fn abort(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }

    /// Whether a stop has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Resolves when a stop begins.
    pub async fn begun(&self) {
        self.soft.cancelled().await;
    }

    /// Resolves when waiting for work in flight must end.
    pub async fn aborted(&self) {
        self.hard.cancelled().await;
    }

    /// Runs `work` to its end, or until two seconds after the stop was aborted, and then answers `None`: unfinished work is
    /// released when its connections close, as if the process had been killed.
    pub async fn bound<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let given_up = async {
            self.aborted().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! { done = work => Some(done), () = given_up => None }
    }

    /// Listens for SIGTERM and SIGINT: the first begins the stop and starts the [`DRAIN`] clock, whose end aborts what is
    /// left. A second signal ends the process at once.
    ///
    /// # Errors
    /// When the operating system refuses the signal handlers.
    pub fn on_signals(&self) -> std::io::Result<()> {
        let mut term = signal(SignalKind::terminate())?;
        let mut int = signal(SignalKind::interrupt())?;
        let this = self.clone();
        tokio::spawn(async move {
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
            tracing::info!("stopping: finishing what has begun");
            this.begin();
            let second = tokio::select! {
                _ = term.recv() => true,
                _ = int.recv() => true,
                () = tokio::time::sleep(DRAIN) => false,
            };
            if second {
                tracing::warn!("stopped by a second signal");
                std::process::exit(1);
            }
            tracing::warn!("stopping: the drain took too long");
            this.abort();
        });
        Ok(())
    }
}
