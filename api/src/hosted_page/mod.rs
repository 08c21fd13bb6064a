//! Hosted pages: what a client application does with them, the page itself, and the calls that it makes with its own token.
//! With what the page gets it can follow its verification; the approval token stays here, until the application's server
//! exchanges the page code for it.

mod begin;
mod check;
mod demonstration;
mod describe;
mod document;
mod exchange;
mod make;
mod page;
mod serve;
mod state;

use axum::Router;
use axum::routing::{get, post};

use crate::app::SharedApp;
use crate::openapi::operation::Op;

pub(crate) fn routes() -> Router<SharedApp> {
    Router::new()
        .route("/v1/pages", post(make::create))
        .route("/v1/pages/exchange", post(exchange::exchange))
        .route("/v1/page", get(state::read))
        .route("/v1/page/verifications", post(begin::begin))
        .route("/v1/page/check", post(check::check))
        .route("/v1/page/demonstration", post(demonstration::demonstrate))
        .route("/verify", get(serve::page))
        .route("/assets/{file}", get(serve::asset))
}

pub(crate) fn operations() -> Vec<Op> {
    let calls = [
        make::operation(),
        exchange::operation(),
        state::operation(),
        begin::operation(),
        check::operation(),
        demonstration::operation(),
    ];
    calls.into_iter().chain(serve::operations()).collect()
}
