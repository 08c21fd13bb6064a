//! `/v1/phones/{phone}`: a number, and its block.

mod block;
mod describe;
mod read;

use axum::Router;
use axum::routing::{get, put};

pub(crate) use block::{FOREVER, MAX_REASON};

use crate::app::SharedApp;
use crate::openapi::operation::Op;

pub(crate) fn routes() -> Router<SharedApp> {
    Router::new()
        .route("/v1/phones/{phone}", get(read::read))
        .route("/v1/phones/{phone}/block", put(block::block).delete(block::unblock))
}

pub(crate) fn operations() -> Vec<Op> {
    [read::operation()].into_iter().chain(block::operations()).collect()
}
