//! What the OpenAPI documents of these calls have in common.

use utoipa::openapi::path::{HttpMethod, ParameterIn};

use crate::http::problem::Kind;
use crate::openapi::elements::reference;
use crate::openapi::headers::parameter;
use crate::openapi::operation::Op;

pub(super) const GROUPS: &str = "/v1/groups";
const GROUP: &str = "/v1/groups/{name}";

pub(super) fn op(method: HttpMethod, path: &'static str, id: &str) -> Op {
    Op::new(method, path, "Accounts", id).key()
}

pub(super) fn on_group(method: HttpMethod, id: &str) -> Op {
    let name = parameter(ParameterIn::Path, "name", "The group.", reference("GroupName"), "staff");
    op(method, GROUP, id).path(name).problems(&[Kind::NotFound])
}
