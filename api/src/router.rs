//! All public routes, and the OpenAPI document of them.
//!
//! Tests compare the document with the routes, with the committed file, and with what is answered.

use std::sync::LazyLock;

use axum::Router;
use axum::routing::get;

use crate::app::SharedApp;
use crate::http::middleware;
use crate::openapi::operation::Op;
use crate::tokens::jwks;
use crate::{accounts, groups, hosted_page, meta, openapi, phones, verifications};

/// The OpenAPI document, as it is served and committed.
pub static OPENAPI: LazyLock<String> = LazyLock::new(|| {
    // Maps with text for keys are all there is in it, so writing it cannot fail.
    let mut json = openapi::document(operations()).to_pretty_json().unwrap_or_default();
    json.push('\n');
    json
});

/// Every route.
fn routes() -> Router<SharedApp> {
    verifications::routes()
        .merge(phones::routes())
        .merge(accounts::routes())
        .merge(groups::routes())
        .merge(hosted_page::routes())
        .merge(jwks::routes())
        .merge(meta::routes())
        .route("/openapi.json", get(|| async { meta::docs::document(&OPENAPI) }))
}

/// Every operation.
fn operations() -> Vec<Op> {
    let all = [
        verifications::operations(),
        phones::operations(),
        accounts::operations(),
        groups::operations(),
        hosted_page::operations(),
        vec![jwks::operation()],
        meta::operations(),
    ];
    all.into_iter().flatten().collect()
}

/// The public address.
pub(crate) fn router(app: SharedApp) -> Router {
    middleware::wrap(routes(), &app.public_url, &app.rng, &app.origins).with_state(app)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::http::problem::Kind;
    use utoipa::openapi::Components;

    /// Path and methods of every route, as the router itself tells in its `Debug`.
    fn routed() -> BTreeMap<String, BTreeSet<String>> {
        let text = format!("{:?}", routes());
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
        let document: serde_json::Value = serde_json::from_str(&OPENAPI).unwrap();
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
        let document: serde_json::Value = serde_json::from_str(&OPENAPI).unwrap();
        let missing: Vec<_> = Kind::ALL
            .iter()
            .filter(|kind| document["components"]["examples"].get(kind.slug()).is_none())
            .map(|kind| kind.slug())
            .collect();
        assert!(missing.is_empty(), "no operation gives {missing:?}");
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_component_is_used() {
        let document: serde_json::Value = serde_json::from_str(&OPENAPI).unwrap();
        let used: BTreeSet<_> =
            OPENAPI.split("\"$ref\": \"#").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
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
