//! What the console keeps and asks for.

use uuid::Uuid;

use hulak_common::time::Timestamp;

/// A process's counters at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSample {
    /// The process, with a new id at every start.
    pub process: Uuid,
    /// When.
    pub at: Timestamp,
    /// The counters, as text.
    pub body: String,
}
