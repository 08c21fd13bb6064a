//! Errors as people and programs read them: RFC 9457 problem details.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hulak_common::limits::{LimitReached, Policy};
use hulak_common::time::Timestamp;
use hulak_runtime::batch::Full;
use hulak_store::StoreError;
use serde_json::{Map, Value, json};

/// Defines every problem there is: its variant, slug, status, title and remedy.
macro_rules! problems {
    ($($variant:ident $slug:literal $status:ident $title:literal $remedy:literal)+) => {
        /// What went wrong, as a slug of the contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind { $(#[doc = $title] $variant),+ }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The last part of its `type`.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug),+ }
            }

            /// The status it is answered with.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),+ }
            }

            /// The same for every occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }

            /// What the caller can do about it.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy),+ }
            }
        }
    };
}

problems! {
    MalformedJson "malformed-json" BAD_REQUEST "The body is not JSON"
        "Send one JSON object, UTF-8, and check its quotes and commas."
    BadRequest "bad-request" BAD_REQUEST "The request cannot be read"
        "Check the address and the headers of the request."
    Unauthorized "unauthorized" UNAUTHORIZED "No valid credential"
        "Send `Authorization: Bearer hk_…` with a key of your application, or the client token of this verification."
    Forbidden "forbidden" FORBIDDEN "This credential may not do that"
        "Use an API key (hk_…) for this call; client tokens act on their own verification only."
    PhoneBlocked "phone-blocked" FORBIDDEN "This number is blocked"
        "Support staff blocked this number; ask them to lift the block, or wait until it ends."
    NotFound "not-found" NOT_FOUND "Not found"
        "Check the id. Your application cannot see what belongs to other client applications."
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED "This address does not take that method"
        "See the `Allow` header for the methods it takes."
    RequestTimeout "request-timeout" REQUEST_TIMEOUT "The body did not arrive in time"
        "Send the request again over a better connection."
    AlreadyApproved "already-approved" CONFLICT "This verification is already approved"
        "A code is good once. Go on with the approval you got, or begin a new verification."
    VerificationCanceled "verification-canceled" CONFLICT "This verification was canceled"
        "Begin a new verification."
    UsernameTaken "username-taken" CONFLICT "This username is taken"
        "Choose another one; names that differ in case only are the same."
    AlreadyVerified "already-verified" CONFLICT "This account has this number verified already"
        "Nothing is left to do. To sign in with it, use `sign_in` as the purpose."
    PhoneTaken "phone-taken" CONFLICT "Another account has this number verified"
        "Sign in to that account, or take the number off it first."
    RequestInProgress "request-in-progress" CONFLICT "The same request is being worked on"
        "Wait a second and send it again with the same Idempotency-Key."
    VerificationExpired "verification-expired" GONE "This verification has expired"
        "Begin a new verification."
    ApprovalExpired "approval-expired" GONE "The token of this approval has expired"
        "Begin a new verification: a token is good for 10 minutes, and is not issued again after them."
    PageExpired "page-expired" GONE "This page has expired"
        "A page is good for 15 minutes: go back to the application and begin again."
    PageUsedUp "page-used-up" GONE "This page has asked for all its codes"
        "A page is good for 3 codes: go back to the application and begin again."
    BodyTooLarge "body-too-large" PAYLOAD_TOO_LARGE "The body is too large"
        "Keep the body under 16 KiB; metadata is meant for a few short values."
    UnsupportedMediaType "unsupported-media-type" UNSUPPORTED_MEDIA_TYPE "The body has another media type"
        "Send `Content-Type: application/json`."
    Misdirected "misdirected" MISDIRECTED_REQUEST "Not under this name"
        "Use the service's own address (HULAK_PUBLIC_URL)."
    InvalidRequest "invalid-request" UNPROCESSABLE_ENTITY "Some fields cannot be used"
        "See `errors` for each field and what it has to be."
    InvalidPhone "invalid-phone" UNPROCESSABLE_ENTITY "This is not a Nepali mobile number"
        "Send ten digits that begin with 98, 97 or 96, with or without +977."
    UnsupportedPhone "unsupported-phone" UNPROCESSABLE_ENTITY "Numbers like this one are not served here"
        "Use another number, or ask the operator of this service to widen HULAK_PHONE_PATTERN."
    IdempotencyKeyReused "idempotency-key-reused" UNPROCESSABLE_ENTITY "This Idempotency-Key was used for another request"
        "Use a fresh key for every request, and the same key only to repeat the same one."
    IncorrectCode "incorrect-code" UNPROCESSABLE_ENTITY "The code is wrong"
        "Let the person try again while `checks_remaining` is not zero."
    MalformedCode "malformed-code" UNPROCESSABLE_ENTITY "This is not a code"
        "Send the digits of the code, ASCII only; nothing was spent."
    InvalidPageCode "invalid-page-code" UNPROCESSABLE_ENTITY "This page code cannot be exchanged"
        "Exchange a page code once, within 10 minutes, with a key of the application that made the page."
    RateLimited "rate-limited" TOO_MANY_REQUESTS "Too many requests"
        "Wait as long as `Retry-After` says; `policy` names the limit."
    ResendCooldown "resend-cooldown" TOO_MANY_REQUESTS "Too soon for another message"
        "Wait until `resend_after`; `Retry-After` says how long that is."
    TooManyChecks "too-many-checks" TOO_MANY_REQUESTS "Too many wrong codes"
        "Wait as long as `Retry-After` says, then begin a new verification."
    Internal "internal" INTERNAL_SERVER_ERROR "Something broke on our side"
        "Try again later; tell the operator the request id."
    Unavailable "unavailable" SERVICE_UNAVAILABLE "The service is not available right now"
        "Try again after the seconds in `Retry-After`."
    Overloaded "overloaded" SERVICE_UNAVAILABLE "The service has too much to do right now"
        "Try again after the seconds in `Retry-After`."
}

impl Kind {
    /// The kind with this slug.
    #[must_use]
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.slug() == slug)
    }
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// The field, as a path: `metadata.order`.
    pub field: String,
    /// What it has to be.
    pub detail: String,
}

impl FieldError {
    /// Something wrong with `field`.
    pub fn new(field: impl Into<String>, detail: impl ToString) -> Self {
        Self { field: field.into(), detail: detail.to_string() }
    }
}

/// One occurrence of a problem.
#[derive(Debug, Clone)]
pub struct Problem(Box<Occurrence>);

#[derive(Debug, Clone)]
struct Occurrence {
    kind: Kind,
    detail: String,
    extensions: Map<String, Value>,
    headers: HeaderMap,
}

impl Problem {
    /// A problem of this kind; `detail` is for the person who reads it and says nothing of the inside.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self(Box::new(Occurrence {
            kind,
            detail: detail.into(),
            extensions: Map::new(),
            headers: HeaderMap::new(),
        }))
    }

    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Adds a member to the body.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.extensions.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        if let Ok(value) = value.try_into() {
            self.0.headers.insert(name, value);
        }
        self
    }

    /// Says after how many seconds asking again makes sense; at least one.
    #[must_use]
    pub fn retry_after(self, wait: std::time::Duration) -> Self {
        self.header(header::RETRY_AFTER, seconds(wait).to_string())
    }

    /// Fields that cannot be used.
    #[must_use]
    pub fn fields(kind: Kind, errors: Vec<FieldError>) -> Self {
        let detail: Vec<_> =
            errors.iter().map(|error| format!("{}: {}", error.field, error.detail)).collect();
        Self::new(kind, detail.join("; ")).with("errors", json!(errors))
    }

    /// A limit that is reached, with the headers of draft-ietf-httpapi-ratelimit-headers.
    #[must_use]
    pub fn limited(kind: Kind, limit: &LimitReached, now: Timestamp) -> Self {
        let wait = limit.retry_at.until(now);
        let policy = limit.policy.as_str();
        let detail = match limit.policy {
            Policy::NumberCooldown => "another message to this number was asked for a moment ago",
            Policy::NumberHour => "this number has had its messages for the hour",
            Policy::NumberDay => "this number has had its messages for the day",
            Policy::Client => "this application has asked for too many codes at once",
            Policy::Address => "too many codes were asked for from this address",
            Policy::Checks => "too many wrong codes were tried",
        };
        Self::new(kind, format!("{detail}; try again in {} s", seconds(wait)))
            .with("policy", policy)
            .header(
                HeaderName::from_static("ratelimit-policy"),
                format!("\"{policy}\";q={};w={}", limit.quota, seconds(limit.window)),
            )
            .header(HeaderName::from_static("ratelimit"), format!("\"{policy}\";r=0;t={}", seconds(wait)))
            .retry_after(wait)
    }

    /// A blocked number.
    #[must_use]
    pub(crate) fn blocked(until: Timestamp) -> Self {
        Self::new(Kind::PhoneBlocked, format!("this number is blocked until {until}"))
            .with("blocked_until", until.to_string())
    }

    /// A wrong code, after which so many more tries are left.
    #[must_use]
    pub(crate) fn incorrect_code(left: i32) -> Self {
        Self::new(Kind::IncorrectCode, format!("this is not the code; {left} more tries"))
            .with("checks_remaining", left)
    }

    /// Nothing of the caller's by that id.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Kind::NotFound, "nothing of yours has this address")
    }

    /// A valid credential is missing.
    #[must_use]
    pub fn unauthorized(detail: &str) -> Self {
        Self::new(Kind::Unauthorized, detail).header(header::WWW_AUTHENTICATE, "Bearer")
    }

    /// The database is away.
    #[must_use]
    pub fn unavailable() -> Self {
        Self::new(Kind::Unavailable, "the request may not have been recorded; ask again")
            .retry_after(std::time::Duration::from_secs(2))
    }

    /// Its body; `base` is the public address of this service.
    #[must_use]
    pub(crate) fn body(&self, base: &str) -> Value {
        let Occurrence { kind, detail, extensions, .. } = &*self.0;
        let mut body = Map::new();
        body.insert("type".into(), format!("{base}/problems/{}", kind.slug()).into());
        body.insert("title".into(), kind.title().into());
        body.insert("status".into(), kind.status().as_u16().into());
        body.insert("detail".into(), detail.as_str().into());
        body.extend(extensions.clone());
        Value::Object(body)
    }

    /// Renders it; `base` is the public address of this service.
    #[must_use]
    pub fn render(self, base: &str) -> Response {
        let mut response = (self.0.kind.status(), Json(self.body(base))).into_response();
        response.headers_mut().extend(self.0.headers);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// Whole seconds, rounded up, at least one.
fn seconds(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX).max(1)
}

/// The middleware renders it, because the public address is known there.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.kind.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Full> for Problem {
    fn from(_: Full) -> Self {
        Self::new(Kind::Overloaded, "too many requests are waiting")
            .retry_after(std::time::Duration::from_secs(1))
    }
}

impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        if error.is_unavailable() {
            tracing::warn!(%error, "answered 503");
            return Self::unavailable();
        }
        tracing::error!(%error, "answered 500");
        Self::new(Kind::Internal, "the request could not be handled")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_unique_and_found_again() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_slug(kind.slug()), Some(*kind));
            assert!(kind.status().is_client_error() || kind.status().is_server_error());
        }
    }
}
