//! The smallest pieces of the document.

use utoipa::openapi::{ObjectBuilder, Ref, RefOr, Schema, Type};

/// A reference to a schema by its name.
pub(crate) fn reference(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

/// Any text.
pub(crate) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}
