//! What the OpenAPI documents of these calls have in common.

use utoipa::openapi::path::{HttpMethod, Parameter, ParameterIn};
use utoipa::openapi::{KnownFormat, ObjectBuilder, SchemaFormat, Type};

use crate::http::problem::Kind;
use crate::openapi::examples;
use crate::openapi::headers::parameter;
use crate::openapi::operation::Op;

pub(super) const ALL: &str = "/v1/verifications";
pub(super) const ONE: &str = "/v1/verifications/{id}";

pub(super) fn op(method: HttpMethod, path: &'static str, id: &str) -> Op {
    Op::new(method, path, "Verifications", id)
}

/// An operation on one verification. There is a bounded queue before the store.
pub(super) fn on_one(method: HttpMethod, path: &'static str, id: &str) -> Op {
    op(method, path, id).key_or_token().path(id_parameter()).problems(&[Kind::NotFound, Kind::Overloaded])
}

fn id_parameter() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)));
    parameter(ParameterIn::Path, "id", "The verification.", schema, examples::ID)
}
