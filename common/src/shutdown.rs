//! Stopping in two steps: first no new work and a bounded drain, then at once.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long a process may take to finish what it has begun.
pub const DRAIN: Duration = Duration::from_secs(15);

/// Tells every part of a process when to stop.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Shutdown {
    /// A process that nobody has asked to stop.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for an orderly stop: no new work, what has begun is finished.
    pub fn begin(&self) {
        self.soft.cancel();
    }

    /// Stops at once.
    pub fn abort(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Resolves when a stop was asked for.
    pub async fn begun(&self) {
        self.soft.cancelled().await;
    }

    /// Resolves when waiting for work in flight must end.
    pub async fn aborted(&self) {
        self.hard.cancelled().await;
    }

    /// The token behind [`Shutdown::begun`], for code that takes tokens.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.soft.clone()
    }

    /// Listens for SIGTERM and SIGINT: the first begins the stop and starts the [`DRAIN`] clock, a second one or the
    /// clock's end aborts it.
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
            tokio::select! {
                _ = term.recv() => {},
                _ = int.recv() => {},
                () = tokio::time::sleep(DRAIN) => tracing::warn!("stopping: the drain took too long"),
            }
            this.abort();
        });
        Ok(())
    }
}
