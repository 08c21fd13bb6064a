//! What needs no credential and belongs to no resource: explanations of problems, and the description of the API.

mod describe;
pub(crate) mod docs;
mod problems;

use axum::Router;
use axum::routing::get;

use crate::app::SharedApp;
use crate::openapi::operation::Op;

pub(crate) fn routes() -> Router<SharedApp> {
    Router::new()
        .route("/problems/{slug}", get(problems::explain))
        .route("/docs", get(docs::page))
        .route("/docs/{file}", get(docs::file))
}

pub(crate) fn operations() -> Vec<Op> {
    [vec![problems::operation()], docs::operations()].into_iter().flatten().collect()
}
