//! `/v1/verifications`: a number being verified, from the request for a code to the approval.

mod cancel;
pub(crate) mod check;
mod create;
pub(crate) mod created;
mod describe;
mod events;
mod follow;
mod list;
pub(crate) mod lookup;
pub(crate) mod problems;
mod read;
mod resend;
pub(crate) mod view;

use axum::Router;
use axum::routing::{get, post};

use crate::app::SharedApp;
use crate::openapi::operation::Op;

pub(crate) fn routes() -> Router<SharedApp> {
    Router::new()
        .route("/v1/verifications", get(list::list).post(create::create))
        .route("/v1/verifications/{id}", get(read::read).delete(cancel::cancel))
        .route("/v1/verifications/{id}/events", get(events::events))
        .route("/v1/verifications/{id}/check", post(check::check))
        .route("/v1/verifications/{id}/resend", post(resend::resend))
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        create::operation(),
        list::operation(),
        read::operation(),
        cancel::operation(),
        check::operation(),
        resend::operation(),
        events::operation(),
    ]
}
