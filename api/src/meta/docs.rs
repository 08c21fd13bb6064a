//! The description of this API: `GET /openapi.json`, and the page that shows it, `GET /docs`. All of it is in the binary.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::{ContentBuilder, ObjectBuilder};
use utoipa_swagger_ui::Config;

use crate::http::problem::{Kind, Problem};
use crate::meta::describe::op;
use crate::openapi::elements::text;
use crate::openapi::headers::{CACHED, parameter};
use crate::openapi::operation::Op;

/// What the page is made of.
const FILES: [&str; 3] = ["swagger-ui.css", "swagger-ui-bundle.js", "start.js"];

const CACHE: &str = "public, max-age=300";
/// The page may load nothing but these files, ask nobody but us, and stand in no other page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const PAGE: &str = include_str!("page.html");
const START: &str = include_str!("start.js");

/// `GET /openapi.json`.
pub(crate) fn document(json: &'static str) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, CACHE)];
    (headers, json).into_response()
}

/// `GET /docs`.
pub(super) async fn page() -> Response {
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
pub(super) async fn file(Path(name): Path<String>) -> Result<Response, Problem> {
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
    let file =
        utoipa_swagger_ui::serve(name, Arc::new(Config::from(""))).ok().flatten().ok_or_else(missing)?;
    // The files are kept compressed: every browser that reads them can decompress them.
    let mut response = (headers, file.bytes.into_owned()).into_response();
    if file.gzpipped {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

/// How the description itself is described.
pub(super) fn operations() -> Vec<Op> {
    vec![openapi(), docs(), docs_file()]
}

fn openapi() -> Op {
    let content = ContentBuilder::new().schema(Some(ObjectBuilder::new())).build();
    op("/openapi.json", "getDescription")
        .says("This description", "The OpenAPI 3.1 document that you are reading.")
        .content_of(StatusCode::OK, "The document.", &[&CACHED], "application/json", content)
}

fn docs() -> Op {
    let content = ContentBuilder::new().schema(Some(text())).build();
    op("/docs", "getPage")
        .says(
            "This description as a page",
            "Shows the document, and lets you try the calls. Loads nothing from elsewhere.",
        )
        .content_of(StatusCode::OK, "The page.", &[&CACHED], "text/html", content)
}

fn docs_file() -> Op {
    let names = text().enum_values(Some(FILES));
    let content = ContentBuilder::new().schema(Some(text())).build();
    op("/docs/{file}", "getPageFile")
        .says("What the page is made of", "Scripts and styles of the page.")
        .path(parameter(ParameterIn::Path, "file", "The file.", names, "swagger-ui.css"))
        .content_of(StatusCode::OK, "The file.", &[&CACHED], "text/css", content.clone())
        .content_of(StatusCode::OK, "The file.", &[&CACHED], "text/javascript", content)
        .problems(&[Kind::NotFound])
}
