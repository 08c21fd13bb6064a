//! What the machine can do at all: the same work without Hulak.

mod bare;
mod pgbench;
mod quorum;
mod sync;

pub use bare::bare;
pub use pgbench::{Table, pgbench};
pub use quorum::quorum;
pub use sync::sync;
