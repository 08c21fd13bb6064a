//! The harness that holds Hulak to its promises: real programs, a real database and a real broker, killed and cut off by
//! a schedule that a seed repeats, while callers go on. Afterwards every promise is checked against what the simulated
//! gateway itself took, which no kill reaches.
//!
//! One run: [`World`] starts everything, [`faults`] plays the [`schedule`], [`load`] calls, [`evidence`] reads what is
//! left, [`judge`] decides, [`report`] prints.

pub mod config;
mod error;
pub mod evidence;
pub mod faults;
pub mod heartbeat;
pub mod judge;
pub mod load;
pub mod measure;
pub mod program;
pub mod recovery;
pub mod report;
mod run;
pub mod schedule;
pub mod world;

pub use config::{Binaries, Plan};
pub use error::ChaosError;
pub use report::Report;
pub use run::run;
pub use world::World;

/// Milliseconds since 1970, as the tables and the simulator's record have them.
pub type Millis = i64;
