//! First answers to requests with an `Idempotency-Key`: stored together with their effect, and replayed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::time::Timestamp;

/// How long an answer is stored.
pub const KEPT: Duration = Duration::from_secs(24 * 3_600);

/// Writes an answer as text.
pub type Write<T> = Arc<dyn Fn(&T, Timestamp) -> Option<String> + Send + Sync>;

/// What is stored of a request with an `Idempotency-Key`, and how its answer becomes text.
#[derive(Clone)]
pub struct Remember<T> {
    /// Client, credential, path and key, as one hash.
    pub scope: [u8; 32],
    /// Keyed hashes of the body: under the current secret, which is stored, and under the previous one, with which an older
    /// answer may have been stored.
    pub bodies: Vec<[u8; 32]>,
    /// The answer as text, without any token; `None` for an answer without an effect, which may change.
    pub write: Write<T>,
}

impl<T> fmt::Debug for Remember<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remember(…)")
    }
}

/// A stored answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// See [`Remember::scope`].
    pub scope: [u8; 32],
    /// The keyed hash of the request's body.
    pub body: [u8; 32],
    /// The text of [`Remember::write`].
    pub answer: String,
    /// When it was stored.
    pub created_at: Timestamp,
}

/// What the store knows of a request before it acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recall {
    /// It is the first.
    First,
    /// The same request was answered like this.
    Answered(String),
    /// Its key was used for another request.
    Reused,
}

impl KeptAnswer {
    /// What this stored answer means for a request of the same scope.
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
