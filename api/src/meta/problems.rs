//! What needs no credential: the keys to check approval tokens with, and the pages that explain problems.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::{Kind, Problem};
use crate::state::SharedApp;

/// A problem, explained.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProblemExplained)]
pub(crate) struct ProblemView {
    /// The last part of its `type`.
    slug: &'static str,
    /// The status it is answered with.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// The same for every occurrence.
    title: &'static str,
    /// What the caller can do about it.
    remedy: &'static str,
}

impl From<Kind> for ProblemView {
    fn from(kind: Kind) -> Self {
        Self { slug: kind.slug(), status: kind.status().as_u16(), title: kind.title(), remedy: kind.remedy() }
    }
}

/// The keys as the description shows them; `jsonwebtoken` writes them.
#[derive(ToSchema)]
#[schema(as = KeySet)]
#[expect(dead_code, reason = "only its schema is of interest")]
pub(crate) struct JwksView {
    /// The present key, and the previous one while its tokens may still be shown.
    #[schema(min_items = 1, max_items = 2)]
    keys: Vec<JwkView>,
}

/// An Ed25519 public key (RFC 8037).
#[derive(ToSchema)]
#[schema(as = Key)]
#[expect(dead_code, reason = "only its schema is of interest")]
pub(crate) struct JwkView {
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

/// `GET /.well-known/jwks.json`: the present and the previous public key.
pub async fn jwks(State(app): State<SharedApp>) -> Response {
    // Short: a client that meets an unknown `kid` should find it soon after a rotation.
    ([(header::CACHE_CONTROL, "public, max-age=300")], Json(app.approvals.public_keys())).into_response()
}

/// `GET /problems/{slug}`: what a problem means, and its remedy.
///
/// # Errors
/// 404 for a slug that no problem has.
pub async fn problem(Path(slug): Path<String>) -> Result<Response, Problem> {
    let kind =
        Kind::from_slug(&slug).ok_or_else(|| Problem::new(Kind::NotFound, "no problem has this name"))?;
    let body = Json(ProblemView::from(kind));
    Ok(([(header::CACHE_CONTROL, "public, max-age=3600")], body).into_response())
}
