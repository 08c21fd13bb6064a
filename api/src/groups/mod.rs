//! `/v1/groups`: what accounts are allowed.

mod describe;
mod put;
mod read;

use axum::Router;
use axum::routing::get;

use crate::app::SharedApp;
use crate::openapi::operation::Op;

pub(crate) fn routes() -> Router<SharedApp> {
    Router::new()
        .route("/v1/groups", get(read::list).post(put::put))
        .route("/v1/groups/{name}", get(read::read).delete(read::delete))
}

pub(crate) fn operations() -> Vec<Op> {
    [put::operation()].into_iter().chain(read::operations()).collect()
}
