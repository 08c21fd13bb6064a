//! What the OpenAPI documents of these calls have in common.

use utoipa::openapi::path::HttpMethod;

use crate::http::problem::Kind;
use crate::openapi::operation::Op;

/// All of them answer 404 where hosted pages are off.
pub(super) fn op(method: HttpMethod, path: &'static str, id: &str) -> Op {
    Op::new(method, path, "Hosted page", id).problems(&[Kind::NotFound, Kind::Internal])
}
