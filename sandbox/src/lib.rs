//! A simulator of the Sparrow SMS gateway: its documented behaviour under `/v2/`, an inbox that shows the messages it took, and
//! faults on demand.
//!
//! It is for development and tests. Everything is in memory and bounded; no message leaves it.
//!
//! # Layout
//! - [`run`] serves a [`Sandbox`], whose state is in `simulator.rs`; `ledger.rs` has the account and the messages, `faults.rs` the
//!   faults, `refusal.rs` the gateway's codes.
//! - The gateway's paths: `gateway.rs`, which reads a call with `fields.rs`; `no_answer.rs` closes connections without an answer.
//! - Everything else that is served: `control.rs` (inbox, faults and counters as JSON), `live.rs` (server-sent events), `page.rs` and
//!   `fault_form.rs` (HTML), behind `host_guard.rs`.

mod control;
mod fault_form;
mod faults;
mod fields;
mod gateway;
mod host_guard;
mod ledger;
mod live;
mod no_answer;
mod page;
mod refusal;
mod simulator;

use std::time::Duration;

use axum::Router;
use hulak_runtime::serve::{ServeOptions, serve};
use hulak_runtime::shutdown::Shutdown;
use tokio::net::TcpListener;

pub use crate::faults::{Faults, InvalidFault};
pub use crate::ledger::{Message, Stats};
pub use crate::refusal::Refusal;
pub use crate::simulator::{Sandbox, SandboxConfig};

/// How long a shutdown waits for answers in flight. Calls that are held without an answer end at once.
const DRAIN: Duration = Duration::from_secs(5);

/// Longer than the 90 s for which common clients keep an idle connection, so that the client closes it.
const IDLE: Duration = Duration::from_secs(120);

/// Serves a simulator until shutdown.
///
/// # Errors
/// When the listener is broken.
pub async fn run(listener: TcpListener, sandbox: Sandbox, shutdown: Shutdown) -> std::io::Result<()> {
    let bound = listener.local_addr()?;
    // A second `run` of the same simulator keeps the first address.
    let _ = sandbox.0.bound.set(bound);
    let _ = sandbox.0.shutdown.set(shutdown.clone());
    let service = no_answer::closing(router(sandbox), shutdown.clone());
    let options = ServeOptions {
        max_connections: 8192,
        header_timeout: IDLE,
        handler_timeout: IDLE,
        drain: DRAIN,
        ..ServeOptions::default()
    };
    serve(listener, service, options, shutdown).await
}

/// The whole simulator. A call without an answer (a drop or a timeout) is answered 504 by the router alone: only
/// `no_answer::closing` can close the connection instead.
fn router(sandbox: Sandbox) -> Router {
    gateway::routes(sandbox.clone()).merge(control::routes(sandbox))
}
