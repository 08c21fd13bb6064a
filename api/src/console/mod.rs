//! The operator console and its JSON API, on the admin address.
//!
//! The server renders every page, charts included, so the console works without JavaScript; its only script fetches the
//! live part of the overview again. Pages and the JSON API under `/operator` call the same functions, and every action is
//! written to the audit log before it is done.

mod actions;
mod api;
mod audit;
mod auth;
mod chart;
mod dead_letters_page;
mod form;
mod format;
mod layout;
mod metrics_cache;
mod middleware;
mod number_page;
mod overview;
mod overview_page;
mod search;
mod session;
mod sign_in_page;
mod state;
mod status;
mod timeline;
mod usage;
mod verification_page;
mod wrong_keys;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post, put};

pub(crate) use layout::FILES;
pub(crate) use state::Parts;
use state::{Console, MAX_BODY};

/// The console's routes.
pub(crate) fn router(parts: Parts) -> Router {
    let console = Arc::new(Console::new(parts));
    let api = Router::new()
        .route("/operator/status", get(api::status))
        .route("/operator/search", post(api::search))
        .route("/operator/verifications/{id}", get(api::verification))
        .route("/operator/block", put(api::block).delete(api::unblock))
        .route("/operator/pause", put(api::pause).delete(api::resume))
        .route("/operator/dead", get(api::dead_letters).delete(api::purge))
        .route("/operator/usage", get(api::usage))
        .route("/operator/record", get(api::audit_log))
        .layer(from_fn_with_state(Arc::clone(&console), middleware::problems_as_json));
    let pages = Router::new()
        .route("/console", get(overview_page::page))
        .route("/console/live", get(overview_page::live))
        .route("/console/sign-in", post(session::sign_in))
        .route("/console/sign-out", post(session::sign_out))
        .route("/console/find", post(verification_page::find))
        .route("/console/verifications/{id}", get(verification_page::page))
        .route("/console/block", post(number_page::block))
        .route("/console/unblock", post(number_page::unblock))
        .route("/console/pause", post(overview_page::pause))
        .route("/console/resume", post(overview_page::resume))
        .route("/console/dead", get(dead_letters_page::page))
        .route("/console/purge", post(dead_letters_page::purge))
        .route("/console/record", get(audit::page))
        .route("/console/bill.csv", get(usage::csv))
        .layer(from_fn(middleware::problems_as_pages));
    api.merge(pages)
        .layer(from_fn(middleware::same_origin))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(Arc::clone(&console), middleware::places))
        .with_state(console)
}
