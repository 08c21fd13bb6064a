//! Problem responses: which slugs a status stands for here, and what each looks like.

use std::time::Duration;

use axum::http::StatusCode;
use hulak_common::limits::{LimitReached, Policy};
use hulak_common::time::Timestamp;
use serde_json::json;
use utoipa::openapi::example::{Example, ExampleBuilder};
use utoipa::openapi::{AllOfBuilder, Components, ContentBuilder, ObjectBuilder, Ref, RefOr, Response, Type};

use crate::http::problem::{FieldError, Kind, Problem};
use crate::openapi::elements::reference;
use crate::openapi::examples::NOW;
use crate::openapi::headers::{self, Head};

/// Where the service of the examples is.
const BASE: &str = "https://verify.example.com";

/// A reference to the response with this status that is one of these problems. Many operations share it, so it is among
/// the components, by its slugs.
pub(crate) fn add(components: &mut Components, status: u16, kinds: &[Kind]) -> Ref {
    let mut kinds = kinds.to_vec();
    kinds.sort_unstable_by_key(|kind| kind.slug());
    let slugs: Vec<_> = kinds.iter().map(|kind| kind.slug()).collect();
    let name = slugs.join(".");
    for kind in &kinds {
        let example = ExampleBuilder::new()
            .summary(kind.title())
            .description(kind.remedy())
            .value(Some(example(*kind).body(BASE)));
        components.examples.insert(kind.slug().to_owned(), example.into());
    }
    components.responses.entry(name.clone()).or_insert_with(|| response(status, &kinds, &slugs).into());
    Ref::from_response_name(name)
}

fn response(status: u16, kinds: &[Kind], slugs: &[&str]) -> Response {
    let named: Vec<_> = slugs.iter().map(|slug| format!("`{slug}`")).collect();
    let mut response = Response::new(format!("One of the problems {}.", named.join(", ")));
    if let [only] = kinds {
        response.description = format!("The problem `{}`: {}.", only.slug(), lowercase(only.title()));
    }
    let titles = kinds.iter().map(|kind| kind.title());
    let narrowed = ObjectBuilder::new()
        .property(
            "type",
            ObjectBuilder::new()
                .schema_type(Type::String)
                .pattern(Some(format!("/problems/({})$", slugs.join("|")))),
        )
        .property("title", ObjectBuilder::new().schema_type(Type::String).enum_values(Some(titles)))
        .property("status", ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([status])));
    let examples = slugs
        .iter()
        .map(|slug| (*slug, RefOr::<Example>::Ref(Ref::new(format!("#/components/examples/{slug}")))));
    let content = ContentBuilder::new()
        .schema(Some(AllOfBuilder::new().item(reference("Problem")).item(narrowed)))
        .examples_from_iter(examples)
        .build();
    response.content.insert("application/problem+json".to_owned(), content.into());
    for head in heads(status) {
        response.headers.insert(head.name.to_owned(), head.reference());
    }
    response
}

fn lowercase(title: &str) -> String {
    let mut characters = title.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

fn heads(status: u16) -> Vec<&'static Head> {
    let mut heads = vec![&headers::REQUEST_ID, &headers::NO_STORE];
    match StatusCode::from_u16(status) {
        Ok(StatusCode::UNAUTHORIZED) => heads.push(&headers::WWW_AUTHENTICATE),
        Ok(StatusCode::METHOD_NOT_ALLOWED) => heads.push(&headers::ALLOW),
        Ok(StatusCode::TOO_MANY_REQUESTS) => {
            heads.extend([&headers::RETRY_AFTER, &headers::RATE_LIMIT, &headers::RATE_LIMIT_POLICY]);
        }
        Ok(StatusCode::SERVICE_UNAVAILABLE) => heads.push(&headers::RETRY_AFTER),
        _ => {}
    }
    heads
}

/// One occurrence, made as the handlers make it.
fn example(kind: Kind) -> Problem {
    let field = |field: &str, detail: &str| Problem::fields(kind, vec![FieldError::new(field, detail)]);
    let limit = |policy, quota, window, wait| {
        let (window, wait) = (Duration::from_secs(window), Duration::from_secs(wait));
        Problem::limited(kind, &LimitReached { policy, quota, window, retry_at: NOW + wait }, NOW)
    };
    match kind {
        Kind::Unauthorized => Problem::unauthorized("this API key is not known"),
        Kind::NotFound => Problem::not_found(),
        Kind::PhoneBlocked => Problem::blocked(Timestamp::from_millis(NOW.as_millis() + 86_400_000)),
        Kind::InvalidRequest => field("purpose", "must be one of verify, sign_up, sign_in"),
        Kind::InvalidPhone => {
            field("phone", "digits are missing: a mobile number has 10 without the country code, this has 9")
        }
        Kind::UnsupportedPhone => field("phone", "numbers like this one are not served here"),
        Kind::MalformedCode => field("code", "must be 6 ASCII digits"),
        Kind::IncorrectCode => Problem::incorrect_code(4),
        Kind::RateLimited => limit(Policy::NumberHour, 5, 3_600, 1_260),
        Kind::ResendCooldown => limit(Policy::NumberCooldown, 1, 30, 17),
        Kind::TooManyChecks => limit(Policy::Checks, 5, 300, 240),
        Kind::Unavailable => Problem::unavailable(),
        // Its remedy says as much as any detail.
        other => Problem::new(other, other.remedy()),
    }
}

/// Names of the limits, as `policy` gives them.
pub(crate) fn policies() -> Vec<serde_json::Value> {
    let all = [
        Policy::NumberCooldown,
        Policy::NumberHour,
        Policy::NumberDay,
        Policy::Client,
        Policy::Address,
        Policy::Checks,
    ];
    all.iter().map(|policy| json!(policy.as_str())).collect()
}
