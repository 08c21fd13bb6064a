//! Headers of requests and responses, and parameters that several operations take.

use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{Header, ObjectBuilder, Ref, RefOr, Required, Schema, Type};

use crate::http::idempotency::MAX_KEY;
use crate::http::paging;
use crate::openapi::elements::text;
use crate::openapi::examples;

/// A header of responses.
pub(crate) struct Head {
    /// As it is sent.
    pub(crate) name: &'static str,
    /// As the document calls it: one header may have several descriptions.
    component: &'static str,
    description: &'static str,
    kind: HeadKind,
    example: &'static str,
    required: bool,
}

enum HeadKind {
    Text(&'static str),
    Seconds,
}

macro_rules! heads {
    ($($constant:ident $name:literal $component:literal $kind:expr, $required:literal $example:literal $text:literal)+) => {
        $(pub(crate) const $constant: Head = Head {
            name: $name, component: $component, description: $text, kind: $kind, example: $example, required: $required,
        };)+

        /// Every header that responses refer to.
        pub(crate) fn all() -> impl Iterator<Item = (String, RefOr<Header>)> {
            [$($constant),+].into_iter().map(|head| (head.component.to_owned(), RefOr::T(head.build())))
        }
    };
}

heads! {
    REQUEST_ID "X-Request-Id" "X-Request-Id" HeadKind::Text("^[A-Za-z0-9_.:/+=-]{1,128}$"), true
        "01990000-0000-7000-8000-000000000001"
        "Tells this request from all others, in our log too: the caller's own, when it sent a sane one."
    NO_STORE "Cache-Control" "Cache-Control-No-Store" HeadKind::Text("^no-store$"), true "no-store"
        "What is answered may be kept by nobody."
    CACHED "Cache-Control" "Cache-Control-Public" HeadKind::Text("^public, max-age=[0-9]+$"), true
        "public, max-age=300" "How long the answer may be kept, in seconds."
    ASSET "Cache-Control" "Cache-Control-Asset"
        HeadKind::Text("^(no-cache|public, max-age=[0-9]+, immutable)$"), true "no-cache"
        "For good under the file's hash, as the page asks for it; else the file is asked for each time."
    ETAG "ETag" "ETag" HeadKind::Text("^\"[0-9]+x?\"$"), true "\"3\""
        "The version, for `If-None-Match`."
    LOCATION "Location" "Location" HeadKind::Text("^/v1/verifications/[0-9a-f-]{36}$"), true
        "/v1/verifications/01990000-0000-7000-8000-000000000001" "Where the verification is read."
    LOCATION_OF_ACCOUNT "Location" "Location-Account" HeadKind::Text("^/v1/accounts/[0-9a-f-]{36}$"), true
        "/v1/accounts/01990000-0000-7000-8000-000000000002" "Where the account is read."
    REPLAYED "Idempotency-Replayed" "Idempotency-Replayed" HeadKind::Text("^true$"), false "true"
        "Present when a request with this `Idempotency-Key` was answered before: this is the first answer again."
    NEXT_POLL "Retry-After" "Retry-After-Poll" HeadKind::Seconds, false "2"
        "While the verification is pending: seconds until the next look makes sense."
    RETRY_AFTER "Retry-After" "Retry-After" HeadKind::Seconds, true "30"
        "Seconds until asking again makes sense."
    RATE_LIMIT "RateLimit" "RateLimit" HeadKind::Text("^\"[a-z-]+\";r=[0-9]+;t=[0-9]+$"), true
        "\"number-cooldown\";r=0;t=30"
        "The limit that was reached: what remains of it, and the seconds until it opens (draft-ietf-httpapi-ratelimit-headers)."
    RATE_LIMIT_POLICY "RateLimit-Policy" "RateLimit-Policy" HeadKind::Text("^\"[a-z-]+\";q=[0-9]+;w=[0-9]+$"), true
        "\"number-cooldown\";q=1;w=30"
        "The limit that was reached: how much it allows in how many seconds (draft-ietf-httpapi-ratelimit-headers)."
    WWW_AUTHENTICATE "WWW-Authenticate" "WWW-Authenticate" HeadKind::Text("^Bearer$"), true "Bearer"
        "How to present a credential (RFC 6750)."
    ALLOW "Allow" "Allow" HeadKind::Text("^[A-Z]+(, ?[A-Z]+)*$"), true "GET,HEAD"
        "The methods that this address takes."
}

impl Head {
    /// A reference to its description.
    pub(crate) fn reference(&self) -> RefOr<Header> {
        RefOr::Ref(Ref::new(format!("#/components/headers/{}", self.component)))
    }

    fn build(&self) -> Header {
        let schema = match self.kind {
            HeadKind::Text(pattern) => ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)),
            HeadKind::Seconds => ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)),
        };
        let mut header = HeaderBuilder::new()
            .description(Some(self.description))
            .schema(Some(schema))
            .example(Some(match self.kind {
                HeadKind::Text(_) => self.example.into(),
                HeadKind::Seconds => self.example.parse::<u64>().unwrap_or_default().into(),
            }))
            .build();
        // utoipa has no field for it.
        header.extensions = self.required.then(|| Extensions::from_iter([("required", true)]));
        header
    }
}

/// A parameter.
pub(crate) fn parameter(
    place: ParameterIn,
    name: &str,
    description: &str,
    schema: impl Into<RefOr<Schema>>,
    example: impl Into<serde_json::Value>,
) -> Parameter {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(description))
        .schema(Some(schema))
        .example(Some(example.into()))
        .build()
}

pub(crate) fn request_id() -> Parameter {
    parameter(
        ParameterIn::Header,
        "X-Request-Id",
        "Your own id for this request, taken over when it has at most 128 letters, digits and `-_.:/+=`.",
        text(),
        "checkout-7f3a",
    )
}

pub(crate) fn idempotency_key() -> Parameter {
    parameter(
        ParameterIn::Header,
        "Idempotency-Key",
        "Makes repeating safe: for 24 hours the same key, credential, address and body get the first answer again.",
        text().max_length(Some(MAX_KEY)).pattern(Some(format!("^[!-~]{{1,{MAX_KEY}}}$"))),
        "8e03978e-40d5-43dd-bc93-6894a57f9324",
    )
}

pub(crate) fn if_none_match() -> Parameter {
    parameter(
        ParameterIn::Header,
        "If-None-Match",
        "The `ETag` that you have: 304 when it is still the right one.",
        text(),
        "\"1\"",
    )
}

/// The parameters of every list.
pub(crate) fn paging() -> [Parameter; 2] {
    let limit = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(paging::MAX_LIMIT))
        .default(Some(paging::DEFAULT_LIMIT.into()));
    // 16 bytes in base64: the last character holds two bits.
    let cursor = text().pattern(Some("^[A-Za-z0-9_-]{21}[AQgw]$"));
    let text = "The `next_cursor` of the page before.";
    [
        parameter(ParameterIn::Query, "limit", "At most so many.", limit, paging::DEFAULT_LIMIT),
        parameter(ParameterIn::Query, "cursor", text, cursor, examples::CURSOR),
    ]
}
