//! First answers to requests that may come twice: kept with the effect they tell of, and given again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::time::Timestamp;

/// How long an answer is kept.
pub const KEPT: Duration = Duration::from_secs(24 * 3_600);

/// Writes an answer of that moment down.
pub type Write<T> = Arc<dyn Fn(&T, Timestamp) -> Option<String> + Send + Sync>;

/// What has to be kept of a request that came with an `Idempotency-Key`, and how its answer is written down.
#[derive(Clone)]
pub struct Remember<T> {
    /// Client, credential, path and key, as one hash.
    pub scope: [u8; 32],
    /// Keyed hashes of the body: under the present secret, which is kept, and under the previous one, which an older
    /// answer may have been kept with.
    pub bodies: Vec<[u8; 32]>,
    /// Writes the answer down, without any token; `None` for an answer that tells of no effect and may change.
    pub write: Write<T>,
}

impl<T> fmt::Debug for Remember<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remember(…)")
    }
}

/// An answer as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// See [`Remember::scope`].
    pub scope: [u8; 32],
    /// The keyed hash of the request's body.
    pub body: [u8; 32],
    /// What [`Remember::write`] made of it.
    pub answer: String,
    /// When.
    pub created_at: Timestamp,
}

/// What is known of a request before anything is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recall {
    /// Nothing: it is the first.
    First,
    /// The same request was answered like this.
    Answered(String),
    /// Its key was used for another request.
    Reused,
}

impl KeptAnswer {
    /// What it means for a request of the same scope.
    #[must_use]
    pub fn recall<T>(&self, request: &Remember<T>, now: Timestamp) -> Recall {
        if self.created_at + KEPT <= now {
            Recall::First
        } else if request.bodies.contains(&self.body) {
            Recall::Answered(self.answer.clone())
        } else {
            Recall::Reused
        }
    }
}
