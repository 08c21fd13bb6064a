//! `GET /.well-known/jwks.json`: the keys to check approval tokens with.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::path::HttpMethod;

use crate::app::SharedApp;
use crate::http::problem::Kind;
use crate::openapi::headers::CACHED;
use crate::openapi::operation::Op;

const PATH: &str = "/.well-known/jwks.json";

pub(crate) fn routes() -> Router<SharedApp> {
    Router::new().route(PATH, get(jwks))
}

/// The keys as the description shows them; `jsonwebtoken` writes them.
#[derive(ToSchema)]
#[schema(as = KeySet)]
#[expect(dead_code, reason = "only its schema is of interest")]
struct JwksView {
    /// The present key, and the previous one while its tokens may still be shown.
    #[schema(min_items = 1, max_items = 2)]
    keys: Vec<JwkView>,
}

/// An Ed25519 public key (RFC 8037).
#[derive(ToSchema)]
#[schema(as = Key)]
#[expect(dead_code, reason = "only its schema is of interest")]
struct JwkView {
    /// Always `OKP`.
    #[schema(pattern = "^OKP$")]
    kty: String,
    /// Always `Ed25519`.
    #[schema(pattern = "^Ed25519$")]
    crv: String,
    /// The key.
    #[schema(pattern = "^[A-Za-z0-9_-]{43}$")]
    x: String,
    /// Which key a token names in its head.
    kid: String,
    /// Always `EdDSA`.
    #[schema(pattern = "^EdDSA$")]
    alg: String,
    /// Always `sig`.
    #[schema(pattern = "^sig$")]
    r#use: String,
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
        .json::<JwksView>(
            StatusCode::OK,
            "The keys.",
            &[&CACHED],
            vec![("keys", "One key", json!({"keys": [key]}))],
        )
}
