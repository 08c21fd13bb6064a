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
