//! The admin address: is the process alive, is it ready, and how much has it done.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hulak_runtime::host_guard::{self, KnownHosts};

use crate::gauges;
use crate::health::Vitals;

/// `/healthz`, `/readyz` and `/metrics`, and `pages` of the role's own beside them; all of it for a known `Host` only.
pub fn router(vitals: Vitals, pages: Router, hosts: KnownHosts) -> Router {
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
                ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], gauges::render(&vitals))
            }),
        )
        .with_state(vitals)
        .merge(pages)
        .layer(middleware::from_fn_with_state(hosts, known_host))
}

async fn known_host(State(hosts): State<KnownHosts>, request: Request, next: Next) -> Response {
    let named = host_guard::requested(request.uri(), request.headers());
    if named.is_some_and(|name| hosts.know(&name)) {
        return next.run(request).await;
    }
    (
        StatusCode::MISDIRECTED_REQUEST,
        "this address answers to its own name only; HULAK_ADMIN_HOSTS names others\n",
    )
        .into_response()
}
