//! What needs no credential.

use axum::http::StatusCode;
use serde_json::json;
use utoipa::openapi::path::{HttpMethod, ParameterIn};
use utoipa::openapi::{ContentBuilder, ObjectBuilder};

use super::headers::{self, CACHED, parameter};
use super::operation::Op;
use crate::problem::Kind;
use crate::routes::wellknown::{JwksView, ProblemView};

pub(super) fn operations() -> Vec<Op> {
    vec![jwks(), problem(), openapi(), docs(), docs_file()]
}

fn op(path: &'static str, id: &str) -> Op {
    Op::new(HttpMethod::Get, path, "Around", id).problems(&[Kind::Internal])
}

fn jwks() -> Op {
    let key = json!({
        "use": "sig", "alg": "EdDSA", "kid": "1f2e3d4c", "kty": "OKP", "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    });
    op("/.well-known/jwks.json", "getKeys")
        .says("Keys of approval tokens", "The present and the previous public key, as a JWK set (RFC 7517).")
        .json::<JwksView>(
            StatusCode::OK,
            "The keys.",
            &[&CACHED],
            vec![("keys", "One key", json!({"keys": [key]}))],
        )
}

fn problem() -> Op {
    let slugs = ObjectBuilder::new()
        .schema_type(utoipa::openapi::Type::String)
        .enum_values(Some(Kind::ALL.iter().map(|kind| kind.slug())));
    let kind = Kind::RateLimited;
    op("/problems/{slug}", "explainProblem")
        .says("What a problem means", "The explanation and the remedy of a problem: where its `type` leads.")
        .path(parameter(
            ParameterIn::Path,
            "slug",
            "The last part of the problem's `type`.",
            slugs,
            kind.slug(),
        ))
        .json::<ProblemView>(
            StatusCode::OK,
            "The explanation.",
            &[&CACHED],
            vec![("explained", kind.title(), json!(ProblemView::from(kind)))],
        )
        .problems(&[Kind::NotFound])
}

fn openapi() -> Op {
    let content = ContentBuilder::new().schema(Some(ObjectBuilder::new())).build();
    op("/openapi.json", "getDescription")
        .says("This description", "The OpenAPI 3.1 document that you are reading.")
        .content_of(StatusCode::OK, "The document.", &[&CACHED], "application/json", content)
}

fn docs() -> Op {
    let content = ContentBuilder::new().schema(Some(headers::text())).build();
    op("/docs", "getPage")
        .says(
            "This description as a page",
            "Shows the document, and lets you try the calls. Loads nothing from elsewhere.",
        )
        .content_of(StatusCode::OK, "The page.", &[&CACHED], "text/html", content)
}

fn docs_file() -> Op {
    let names = headers::text().enum_values(Some(crate::routes::docs::FILES));
    let text = ContentBuilder::new().schema(Some(headers::text())).build();
    op("/docs/{file}", "getPageFile")
        .says("What the page is made of", "Scripts and styles of the page.")
        .path(parameter(ParameterIn::Path, "file", "The file.", names, "swagger-ui.css"))
        .content_of(StatusCode::OK, "The file.", &[&CACHED], "text/css", text.clone())
        .content_of(StatusCode::OK, "The file.", &[&CACHED], "text/javascript", text)
        .problems(&[Kind::NotFound])
}
