//! The admin address: is it alive, is it ready, and how much has it done.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hulak_common::hosts;
use hulak_common::vitals::Vitals;

/// `/healthz`, `/readyz` and `/metrics`, for a known `Host` only.
pub fn router(vitals: Vitals) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/readyz",
            get(|State(vitals): State<Vitals>| async move {
                let (status, body) = vitals.ready();
                (status, Json(body))
            }),
        )
        .route(
            "/metrics",
            get(|State(vitals): State<Vitals>| async move {
                ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], vitals.metrics())
            }),
        )
        .layer(middleware::from_fn(known_host))
        .with_state(vitals)
}

async fn known_host(request: Request, next: Next) -> Response {
    let named = hosts::requested(request.uri(), request.headers());
    if named.is_some_and(|name| hosts::is_trusted(&name, None)) {
        return next.run(request).await;
    }
    (StatusCode::MISDIRECTED_REQUEST, "this address answers to its own name only\n").into_response()
}
