//! Ceilings: similar work without Hulak, to show what the machine can do.

mod bare;
mod pgbench;
mod quorum;
mod sync;

pub use bare::bare_handler;
pub use pgbench::{Table, pgbench};
pub use quorum::quorum;
pub use sync::sync;
