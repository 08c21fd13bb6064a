//! `/v1/accounts`: who may sign in.

mod change;
mod create;
mod describe;
mod fields;
mod list;
mod one;
mod view;

use axum::Router;
use axum::routing::get;

use crate::app::SharedApp;
use crate::openapi::operation::Op;

pub(crate) fn routes() -> Router<SharedApp> {
    Router::new()
        .route("/v1/accounts", get(list::list).post(create::create))
        .route("/v1/accounts/{id}", get(one::read).patch(change::change).delete(one::delete))
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        create::operation(),
        list::operation(),
        one::describe_read(),
        change::operation(),
        one::describe_delete(),
    ]
}
