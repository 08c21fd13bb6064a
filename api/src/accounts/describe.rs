//! What the OpenAPI documents of these calls have in common.

use utoipa::openapi::path::{HttpMethod, ParameterIn};
use utoipa::openapi::{KnownFormat, ObjectBuilder, SchemaFormat, Type};

use crate::http::problem::Kind;
use crate::openapi::examples;
use crate::openapi::headers::parameter;
use crate::openapi::operation::Op;

pub(super) const ALL: &str = "/v1/accounts";
const ONE: &str = "/v1/accounts/{id}";

pub(super) fn op(method: HttpMethod, path: &'static str, id: &str) -> Op {
    Op::new(method, path, "Accounts", id).key()
}

pub(super) fn on_one(method: HttpMethod, id: &str) -> Op {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)));
    let account = parameter(ParameterIn::Path, "id", "The account.", schema, examples::ACCOUNT);
    op(method, ONE, id).path(account).problems(&[Kind::NotFound])
}
