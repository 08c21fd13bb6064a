//! The description of this API: `GET /openapi.json`, and the page that shows it, `GET /docs`. All of it is in the binary.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa_swagger_ui::Config;

use crate::openapi;
use crate::problem::{Kind, Problem};

/// What the page is made of.
pub(crate) const FILES: [&str; 3] = ["swagger-ui.css", "swagger-ui-bundle.js", "start.js"];

const CACHE: &str = "public, max-age=300";
/// The page may load nothing but these files, ask nobody but us, and stand in no other page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const PAGE: &str = include_str!("docs/page.html");
const START: &str = include_str!("docs/start.js");

/// `GET /openapi.json`.
pub async fn document() -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, CACHE)];
    (headers, openapi::JSON.as_str()).into_response()
}

/// `GET /docs`.
pub async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, CACHE),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, PAGE).into_response()
}

/// `GET /docs/{file}`.
///
/// # Errors
/// 404 for what the page does not need.
pub async fn file(Path(name): Path<String>) -> Result<Response, Problem> {
    let missing = || Problem::new(Kind::NotFound, "the page has no such file");
    let name = FILES.iter().find(|file| **file == name).ok_or_else(missing)?;
    let media =
        if name.ends_with(".css") { "text/css; charset=utf-8" } else { "text/javascript; charset=utf-8" };
    let headers = [
        (header::CONTENT_TYPE, media),
        (header::CACHE_CONTROL, CACHE),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    if *name == "start.js" {
        return Ok((headers, START).into_response());
    }
    // The files are kept packed; whoever reads them is a browser, and all of them unpack.
    let file =
        utoipa_swagger_ui::serve(name, Arc::new(Config::from(""))).ok().flatten().ok_or_else(missing)?;
    // The files are kept packed; whoever reads them is a browser, and all of them unpack.
    let mut response = (headers, file.bytes.into_owned()).into_response();
    if file.gzpipped {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}
