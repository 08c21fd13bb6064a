//! The admin address: is it alive, is it ready, and how much has it done.

use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hulak_common::hosts;
use hulak_common::look;
use hulak_common::vitals::Vitals;

use crate::console;

/// `/healthz`, `/readyz` and `/metrics`, the console and the operator calls, and the look of pages at `/assets/`, for a
/// known `Host` only.
pub(crate) fn router(vitals: Vitals, console: console::Parts) -> Router {
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
        .route("/assets/{file}", get(asset))
        .with_state(vitals)
        .merge(console::router(console))
        .layer(middleware::from_fn(known_host))
}

async fn asset(Path(name): Path<String>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let asset = look::find(&name, &console::FILES);
    asset.map_or_else(
        || StatusCode::NOT_FOUND.into_response(),
        |asset| asset.answer(query.as_deref(), &headers).into_response(),
    )
}

async fn known_host(request: Request, next: Next) -> Response {
    let named = hosts::requested(request.uri(), request.headers());
    if named.is_some_and(|name| hosts::is_trusted(&name, None)) {
        return next.run(request).await;
    }
    (StatusCode::MISDIRECTED_REQUEST, "this address answers to its own name only\n").into_response()
}
