//! `GET /problems/{slug}`: the pages that explain problems.

use axum::Json;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::{ObjectBuilder, Type};

use crate::http::problem::{Kind, Problem};
use crate::meta::describe::op;
use crate::openapi::headers::{CACHED, parameter};
use crate::openapi::operation::Op;

/// A problem, explained.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProblemExplained)]
struct ProblemView {
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

/// What a problem means, and its remedy.
///
/// # Errors
/// 404 for a slug that no problem has.
pub(super) async fn explain(Path(slug): Path<String>) -> Result<Response, Problem> {
    let kind =
        Kind::from_slug(&slug).ok_or_else(|| Problem::new(Kind::NotFound, "no problem has this name"))?;
    let body = Json(ProblemView::from(kind));
    Ok(([(header::CACHE_CONTROL, "public, max-age=3600")], body).into_response())
}

pub(super) fn operation() -> Op {
    let slugs = ObjectBuilder::new()
        .schema_type(Type::String)
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
