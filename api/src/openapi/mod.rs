//! The OpenAPI 3.1 document, built from the code: schemas from the types that are read and written, statuses, titles and
//! remedies from [`Kind`], limits from the constants that are enforced.
//!
//! To add a route, write its handler, the types of its bodies and its operation into a file of its feature:
//!
//! 1. derive `utoipa::ToSchema` for the types (each doc comment becomes a description), with the markers of `schemas` as
//!    `value_type` for a type of another crate;
//! 2. describe the route with an `Op`, and list route and operation in the feature's `mod.rs`;
//! 3. `make openapi` writes `docs/openapi.json` anew.

pub(crate) mod elements;
pub(crate) mod examples;
pub(crate) mod headers;
pub(crate) mod operation;
mod problems;
pub(crate) mod schemas;

use utoipa::openapi::path::Paths;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, InfoBuilder, License, OpenApi, RefOr, Server};

use crate::http::problem::Kind;
use operation::Op;

const TITLE: &str = "Hulak";
const DESCRIPTION: &str = "\
Verifies phone numbers in Nepal with one-time codes over SMS.

JSON in, JSON out, UTF-8; times are RFC 3339 in UTC. `HEAD` is answered wherever `GET` is. Errors are RFC 9457 problem \
details: `type` is an address that explains the problem and its remedy. An address that does not exist answers 404 \
`not-found`; a method that an address does not take, 405 `method-not-allowed` with `Allow`. Every response carries \
`X-Request-Id`.";

/// The document of these operations.
pub(crate) fn document(operations: Vec<Op>) -> OpenApi {
    let mut components = components();
    let mut paths = Paths::new();
    for operation in operations {
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
