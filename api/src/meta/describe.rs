//! What the OpenAPI documents of these calls have in common.

use utoipa::openapi::path::HttpMethod;

use crate::http::problem::Kind;
use crate::openapi::operation::Op;

pub(super) fn op(path: &'static str, id: &str) -> Op {
    Op::new(HttpMethod::Get, path, "Around", id).problems(&[Kind::Internal])
}
