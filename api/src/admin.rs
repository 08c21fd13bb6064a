//! The admin address of the API: the console beside health and metrics.

use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hulak_runtime::host_guard::KnownHosts;
use hulak_runtime::html;
use hulak_service::health::Vitals;

use crate::console;

/// Health and metrics, the console and the operator calls, and the pages' assets at `/assets/`.
pub(crate) fn router(vitals: Vitals, console: console::Parts, hosts: KnownHosts) -> Router {
    let assets = Router::new().route("/assets/{file}", get(asset));
    hulak_service::admin::router(vitals, assets.merge(console::router(console)), hosts)
}

async fn asset(Path(name): Path<String>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let asset = html::find(&name, &console::FILES);
    asset.map_or_else(
        || StatusCode::NOT_FOUND.into_response(),
        |asset| asset.answer(query.as_deref(), &headers).into_response(),
    )
}
