//! The harness that checks Hulak's promises: real programs, a real database and a real broker are killed and disconnected by a
//! schedule that a seed repeats, while clients continue to call. Afterwards every promise is checked against the log of the
//! simulated gateway, which runs in this process, where no kill reaches it.
//!
//! # Layout
//! From the bottom up:
//! - [`promise`], [`millis`], [`random`], [`config`], [`programs`], [`schedule`] (the faults of a run), [`fault_log`] (when each
//!   was active), [`recovery`] (how soon Hulak recovered);
//! - [`child`] (a program as a process), [`deployment`] (all that runs), [`faults`] and [`stall_watch`];
//! - [`load`]: clients and visitors; [`evidence`]: all that is checked; [`judge`]: the checks; [`report`]: the result;
//! - [`run`]: a run; [`measure`]: measurements of one promise each.

pub mod child;
pub mod config;
pub mod deployment;
pub mod error;
pub mod evidence;
pub mod fault_log;
pub mod faults;
pub mod judge;
pub mod load;
pub mod measure;
pub mod millis;
pub mod programs;
pub mod promise;
pub mod random;
pub mod recovery;
pub mod report;
pub mod run;
pub mod schedule;
pub mod stall_watch;
