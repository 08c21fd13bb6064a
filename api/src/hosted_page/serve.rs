//! `GET /verify` and `GET /assets/{file}`: the hosted page, and what it loads.

use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use hulak_runtime::html;
use utoipa::openapi::ContentBuilder;
use utoipa::openapi::path::{HttpMethod, ParameterIn};

use crate::app::SharedApp;
use crate::hosted_page::describe::op;
use crate::hosted_page::document;
use crate::hosted_page::page::require_host;
use crate::http::problem::{Kind, Problem};
use crate::openapi::elements::text;
use crate::openapi::headers::{ASSET, NO_STORE, parameter};
use crate::openapi::operation::Op;

/// `GET /verify`.
///
/// # Errors
/// 404 when hosted pages are off; 421 for a host that is not ours.
pub(super) async fn page(
    State(app): State<SharedApp>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    app.credentials.require_hosted_pages()?;
    require_host(&app, &uri, &headers)?;
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let page = document::page(document::preferred(accepted.unwrap_or_default()));
    let media = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::VARY, "accept-language")];
    let mut response = (media, page).into_response();
    html::protect(response.headers_mut());
    Ok(response)
}

/// `GET /assets/{file}`.
///
/// # Errors
/// 404 for what the page does not need, or when hosted pages are off; 421 for a host that is not ours.
pub(super) async fn asset(
    State(app): State<SharedApp>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    app.credentials.require_hosted_pages()?;
    require_host(&app, request.uri(), request.headers())?;
    let missing = || Problem::new(Kind::NotFound, "the page has no such file");
    let asset = html::find(&name, &document::FILES).ok_or_else(missing)?;
    Ok(asset.answer(query.as_deref(), request.headers()).into_response())
}

pub(super) fn operations() -> [Op; 2] {
    [describe_page(), describe_asset()]
}

fn describe_page() -> Op {
    let content = ContentBuilder::new().schema(Some(text())).build();
    op(HttpMethod::Get, "/verify", "getHostedPage")
        .says(
            "The hosted page",
            "In English or Nepali. Its token is behind the `#` of the address, which browsers send to nobody.",
        )
        .content_of(StatusCode::OK, "The page.", &[&NO_STORE], "text/html", content)
        .problems(&[Kind::Misdirected])
}

fn describe_asset() -> Op {
    let content = ContentBuilder::new().schema(Some(text())).build();
    let names = text().enum_values(Some(["hulak.css", "logo.svg", "verify.css", "verify.js"]));
    op(HttpMethod::Get, "/assets/{file}", "getHostedPageFile")
        .says("What the hosted page is made of", "Scripts, styles and the logo.")
        .path(parameter(ParameterIn::Path, "file", "The file.", names, "hulak.css"))
        .content_of(StatusCode::OK, "The file.", &[&ASSET], "text/css", content.clone())
        .content_of(StatusCode::OK, "The file.", &[&ASSET], "text/javascript", content.clone())
        .content_of(StatusCode::OK, "The file.", &[&ASSET], "image/svg+xml", content)
        .empty(StatusCode::NOT_MODIFIED, "The browser has it.", &[&ASSET])
        .problems(&[Kind::Misdirected])
}
