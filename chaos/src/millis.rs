//! The unit of time in the evidence.

/// Milliseconds since 1970, as in the tables and in the simulator's log.
pub type Millis = i64;
