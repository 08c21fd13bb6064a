//! The OpenAPI 3.1 document, built from the code: schemas from the types that are read and written, statuses, titles and
//! remedies from [`Kind`], limits from the constants that are enforced.
//!
//! To add a route:
//!
//! 1. derive `utoipa::ToSchema` for the types of its bodies (each doc comment becomes a description), with the markers
//!    of `schemas` as `value_type` where a type of another crate stands;
//! 2. describe it with an `Op` in the module of its subject, and add a new module to [`document`];
//! 3. `make openapi` writes `docs/openapi.json` anew.
//!
//! Tests compare the document with the router's routes, with the committed file, and with what is answered.

mod accounts;
mod around;
mod examples;
mod headers;
mod operation;
mod pages;
mod phones;
mod problems;
pub(crate) mod schemas;
mod verifications;

use std::sync::LazyLock;

use utoipa::openapi::path::Paths;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, InfoBuilder, License, OpenApi, Ref, RefOr, Schema, Server};

use crate::problem::Kind;
use operation::Op;

const TITLE: &str = "Hulak";
const DESCRIPTION: &str = "\
Verifies phone numbers in Nepal with one-time codes over SMS.

JSON in, JSON out, UTF-8; times are RFC 3339 in UTC. `HEAD` is answered wherever `GET` is. Errors are RFC 9457 problem \
details: `type` is an address that explains the problem and its remedy. An address that does not exist answers 404 \
`not-found`; a method that an address does not take, 405 `method-not-allowed` with `Allow`. Every response carries \
`X-Request-Id`.";

/// The document as it is served and committed.
pub static JSON: LazyLock<String> = LazyLock::new(|| {
    // Maps with text for keys are all there is in it, so writing it cannot fail.
    let mut json = document().to_pretty_json().unwrap_or_default();
    json.push('\n');
    json
});

/// Every operation.
fn operations() -> Vec<Op> {
    let all = [
        verifications::operations(),
        phones::operations(),
        accounts::operations(),
        pages::operations(),
        around::operations(),
    ];
    all.into_iter().flatten().collect()
}

/// The document.
#[must_use]
pub fn document() -> OpenApi {
    let mut components = components();
    let mut paths = Paths::new();
    for operation in operations() {
        let (path, method, operation) = operation.build(&mut components);
        paths.add_path_operation(path, vec![method], operation);
    }
    let info = InfoBuilder::new()
        .title(TITLE)
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(License::new("MIT")))
        .build();
    let mut document = OpenApi::new(info, paths);
    document.servers = Some(vec![Server::new("/")]);
    document.components = Some(components);
    let tags = [
        ("Verifications", "A number being verified: from the request for a code to the approval."),
        ("Numbers", "What is known of a number, and its block."),
        ("Accounts", "Who may sign in, and what their groups allow."),
        (
            "Hosted page",
            "A page where a person types a number and its code, where it is on (`HULAK_HOSTED_PAGE`).",
        ),
        ("Around", "Keys, explanations, and this description. Without a credential."),
    ];
    let tag = |(name, text)| TagBuilder::new().name(name).description(Some(text)).build();
    document.tags = Some(tags.into_iter().map(tag).collect());
    document
}

/// What operations refer to.
fn components() -> Components {
    let mut components = Components::new();
    components.schemas.extend(schemas::shared());
    components.headers.extend(headers::all());
    // Belongs to no operation: it is what a path answers to a method that it has none for.
    problems::add(&mut components, Kind::MethodNotAllowed.status().as_u16(), &[Kind::MethodNotAllowed]);
    let scheme = |format, text| {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.bearer_format = Some(String::from(format));
        scheme.description = Some(String::from(text));
        RefOr::T(SecurityScheme::Http(scheme))
    };
    components.security_schemes.extend([
        (
            operation::API_KEY.to_owned(),
            scheme("hk_…", "The key of a client application. It sees and changes the things of its client only."),
        ),
        (
            operation::CLIENT_TOKEN.to_owned(),
            scheme("vt_…", "What the creation of a verification answers, for a phone or a browser: good for this verification, until 10 minutes after its end."),
        ),
        (
            operation::PAGE_TOKEN.to_owned(),
            scheme("pt_…", "What stands behind the `#` of a page's address: good for this page, for 15 minutes and 3 codes."),
        ),
    ]);
    components
}

/// A reference to a schema by its name.
fn reference(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// Path and methods of every route, as the router itself tells in its `Debug`.
    fn routed() -> BTreeMap<String, BTreeSet<String>> {
        let text = format!("{:?}", crate::router::routes());
        let text = text.split("fallback_router:").next().unwrap();
        // `RouteId(3): MethodRouter(MethodRouter { get: BoxedHandler(..), …, allow_header: Bytes(b"GET,HEAD") })` and,
        // further on, `RouteId(3): "/path"`.
        let mut methods = BTreeMap::new();
        let mut paths = BTreeMap::new();
        for part in text.split("RouteId(").skip(1) {
            let Some((id, rest)) = part.split_once("): ") else { continue };
            if let Some(path) = rest.strip_prefix('"') {
                paths.insert(path.split('"').next().unwrap().to_owned(), id.to_owned());
            } else if let Some((_, allowed)) = rest.split_once("allow_header: Bytes(b\"") {
                let allowed = allowed.split('"').next().unwrap();
                let names = allowed.split(',').filter(|name| *name != "HEAD").map(str::to_lowercase);
                methods.insert(id.to_owned(), names.collect::<BTreeSet<_>>());
            }
        }
        paths.into_iter().map(|(path, id)| (path, methods.get(&id).cloned().unwrap_or_default())).collect()
    }

    #[test]
    fn every_route_is_documented_and_every_documented_operation_is_routed() {
        let document: serde_json::Value = serde_json::from_str(&JSON).unwrap();
        let documented: BTreeMap<_, BTreeSet<_>> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(path, item)| (path.clone(), item.as_object().unwrap().keys().cloned().collect()))
            .collect();
        let routed = routed();
        assert!(routed.len() >= 10, "axum tells its routes otherwise now: {routed:?}");
        assert_eq!(routed, documented);
    }

    #[test]
    fn every_problem_is_documented_somewhere() {
        let document: serde_json::Value = serde_json::from_str(&JSON).unwrap();
        let missing: Vec<_> = Kind::ALL
            .iter()
            .filter(|kind| document["components"]["examples"].get(kind.slug()).is_none())
            .map(|kind| kind.slug())
            .collect();
        assert!(missing.is_empty(), "no operation gives {missing:?}");
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_component_is_used() {
        let document: serde_json::Value = serde_json::from_str(&JSON).unwrap();
        let used: BTreeSet<_> =
            JSON.split("\"$ref\": \"#").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        for pointer in &used {
            assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
        }
        for section in ["schemas", "headers", "examples"] {
            for name in document["components"][section].as_object().unwrap().keys() {
                assert!(
                    used.contains(&*format!("/components/{section}/{name}")),
                    "{section}/{name} is not used"
                );
            }
        }
    }

    #[test]
    fn every_operation_says_what_it_does() {
        let mut ids = BTreeSet::new();
        for operation in operations() {
            let (path, _, operation) = operation.build(&mut Components::new());
            for text in [&operation.summary, &operation.description] {
                assert!(text.as_ref().is_some_and(|text| text.len() > 10), "{path}");
            }
            assert!(operation.tags.is_some_and(|tags| tags.len() == 1), "{path}");
            assert!(operation.security.is_some(), "{path}");
            assert!(ids.insert(operation.operation_id.unwrap()), "{path}: its operationId is taken");
        }
    }
}
