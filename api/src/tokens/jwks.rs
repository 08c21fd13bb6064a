//! `GET /.well-known/jwks.json`: the keys to check approval tokens with.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use utoipa::openapi::path::HttpMethod;

use crate::app::SharedApp;
use crate::http::problem::Kind;
use crate::openapi::headers::CACHED;
use crate::openapi::operation::Op;
use crate::tokens::approval::KeySet;

const PATH: &str = "/.well-known/jwks.json";

pub(crate) fn routes() -> Router<SharedApp> {
    Router::new().route(PATH, get(jwks))
}

/// The present and the previous public key.
async fn jwks(State(app): State<SharedApp>) -> Response {
    // Short: a client that meets an unknown `kid` should find it soon after a rotation.
    ([(header::CACHE_CONTROL, "public, max-age=300")], Json(app.approvals.public_keys())).into_response()
}

pub(crate) fn operation() -> Op {
    let key = json!({
        "use": "sig", "alg": "EdDSA", "kid": "1f2e3d4c", "kty": "OKP", "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    });
    Op::new(HttpMethod::Get, PATH, "Around", "getKeys")
        .problems(&[Kind::Internal])
        .says("Keys of approval tokens", "The present and the previous public key, as a JWK set (RFC 7517).")
        .json::<KeySet>(
            StatusCode::OK,
            "The keys.",
            &[&CACHED],
            vec![("keys", "One key", json!({"keys": [key]}))],
        )
}
