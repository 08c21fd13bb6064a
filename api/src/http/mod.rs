//! The HTTP edge, without knowledge of any resource.

pub(crate) mod auth;
pub(crate) mod availability;
pub(crate) mod body;
mod cache;
pub mod client_ip;
pub mod cors;
pub(crate) mod fair_queue;
pub(crate) mod idempotency;
pub(crate) mod load_shedding;
pub mod long_poll;
pub(crate) mod middleware;
pub(crate) mod paging;
pub mod problem;
pub(crate) mod validation;
