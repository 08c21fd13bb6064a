//! What the OpenAPI documents of these calls have in common.

use utoipa::openapi::path::{HttpMethod, ParameterIn};

use crate::http::problem::Kind;
use crate::openapi::elements::reference;
use crate::openapi::examples;
use crate::openapi::headers::parameter;
use crate::openapi::operation::Op;

pub(super) fn op(method: HttpMethod, path: &'static str, id: &str) -> Op {
    Op::new(method, path, "Numbers", id)
        .key()
        .path(parameter(ParameterIn::Path, "phone", "The number.", reference("TypedPhone"), examples::TYPED))
        .problems(&[Kind::InvalidPhone])
}
