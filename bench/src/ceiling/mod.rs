//! What the machine can do at all: the same work without Hulak.

mod bare;
mod pgbench;
mod quorum;

pub use bare::bare;
pub use pgbench::pgbench;
pub use quorum::quorum;
