//! What a program needs to run, whatever it does.
//!
//! # Layout
//! - [`settings`]: flags and environment variables, with the group that writes messages in [`settings::messages`].
//! - [`logging`], [`trace`] (spans for a collector), [`metrics`] (Prometheus).
//! - [`serve`] (the HTTP server's loop), [`networks`] (how many connections each may have), [`host_guard`] (against DNS rebinding), [`html`] (pages and their assets).
//! - [`shutdown`] (an orderly stop), [`batch`] (one call for many requests).

pub mod batch;
pub mod host_guard;
pub mod html;
pub mod logging;
pub mod metrics;
pub mod networks;
pub mod serve;
pub mod settings;
pub mod shutdown;
pub mod trace;
