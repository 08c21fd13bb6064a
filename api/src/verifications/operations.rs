//! `/v1/verifications`.

use axum::http::StatusCode;
use serde_json::json;
use utoipa::openapi::path::{HttpMethod, Parameter, ParameterIn};
use utoipa::openapi::{ContentBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type};

use super::headers::{self, ETAG, LOCATION, NEXT_POLL, NO_STORE, parameter};
use super::operation::Op;
use super::schemas::VerificationPage;
use super::{examples, reference};
use crate::problem::Kind;
use crate::resource::VerificationView;
use crate::routes::again::ResendRequest;
use crate::routes::checks::{Approved, CheckRequest};
use crate::routes::create::CreateRequest;
use crate::routes::list;
use crate::routes::read::MAX_WAIT;

const ALL: &str = "/v1/verifications";
const ONE: &str = "/v1/verifications/{id}";
/// What is refused once a verification has ended.
const ENDED: &[Kind] =
    &[Kind::AlreadyApproved, Kind::VerificationCanceled, Kind::VerificationExpired, Kind::TooManyChecks];

pub(super) fn operations() -> Vec<Op> {
    vec![create(), list(), read(), cancel(), check(), resend(), events()]
}

fn op(method: HttpMethod, path: &'static str, id: &str) -> Op {
    Op::new(method, path, "Verifications", id)
}

/// An operation on one verification. There is a bounded queue before the store.
fn on_one(method: HttpMethod, path: &'static str, id: &str) -> Op {
    op(method, path, id).key_or_token().path(id_parameter()).problems(&[Kind::NotFound, Kind::Overloaded])
}

fn id_parameter() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)));
    parameter(ParameterIn::Path, "id", "The verification.", schema, examples::ID)
}

fn create() -> Op {
    let minimal = json!({"phone": examples::TYPED});
    let full = json!({
        "phone": "+977 981-2345678", "purpose": "sign_up", "session": "5f2c…hash of the web session", "locale": "ne",
        "app_hash": "FA+9qCX9VSu", "origin": "example.com", "end_user_ip": "203.0.113.7", "metadata": {"order": 7}
    });
    op(HttpMethod::Post, ALL, "createVerification")
        .says(
            "Ask for a code",
            "Sends a one-time code to a number. While a verification of the same client, number, purpose, account and \
             session is live, the same one comes back: 200 before `resend_after`, so that a reload never buys a second \
             SMS; after it, the call acts as a resend, 202.",
        )
        .key()
        .once()
        .body::<CreateRequest>(
            true,
            "The number, and what the code is for.",
            vec![("minimal", "A number alone", minimal), ("full", "Everything there is", full)],
        )
        .json::<VerificationView>(
            StatusCode::ACCEPTED,
            "A message is on its way.",
            &[&LOCATION, &ETAG, &NO_STORE],
            vec![("created", "A new verification", examples::created())],
        )
        .json::<VerificationView>(
            StatusCode::OK,
            "The live verification, unchanged: it is too soon for another message.",
            &[&LOCATION, &ETAG, &NO_STORE],
            vec![("live", "The live verification", examples::live())],
        )
        .then(&[
            ("getVerification", "How it fares."),
            ("followVerification", "How it fares, as a stream."),
            ("checkCode", "The code that the person typed."),
            ("resendCode", "Another message."),
            ("cancelVerification", "Take it back."),
        ])
        .problems(&[
            Kind::PhoneBlocked,
            Kind::AlreadyVerified,
            Kind::PhoneTaken,
            Kind::InvalidPhone,
            Kind::UnsupportedPhone,
            Kind::RateLimited,
            Kind::Overloaded,
        ])
}

/// The parameters of every list.
pub(super) fn paging() -> [Parameter; 2] {
    let limit = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(list::MAX_LIMIT))
        .default(Some(list::DEFAULT_LIMIT.into()));
    // 16 bytes in base64: the last character holds two bits.
    let cursor = headers::text().pattern(Some("^[A-Za-z0-9_-]{21}[AQgw]$"));
    let text = "The `next_cursor` of the page before.";
    [
        parameter(ParameterIn::Query, "limit", "At most so many.", limit, list::DEFAULT_LIMIT),
        parameter(ParameterIn::Query, "cursor", text, cursor, examples::CURSOR),
    ]
}

fn list() -> Op {
    let query = |name, description: &str, schema: &str, example: &str| {
        parameter(ParameterIn::Query, name, description, reference(schema), example)
    };
    let [limit, cursor] = paging();
    let page = json!({"data": [examples::sent()], "next_cursor": examples::CURSOR});
    op(HttpMethod::Get, ALL, "listVerifications")
        .says(
            "List verifications",
            "The client's verifications, newest first. Each parameter may be given once; others are refused.",
        )
        .key()
        .parameter(query("phone", "Of this number only.", "TypedPhone", examples::TYPED))
        .parameter(query("status", "In this state only.", "VerificationStatus", "pending"))
        .parameter(query("delivery", "Whose newest message is in this state only.", "DeliveryStatus", "sent"))
        .parameter(limit)
        .parameter(cursor)
        .json::<VerificationPage>(
            StatusCode::OK,
            "A page.",
            &[&NO_STORE],
            vec![("page", "A page with another after it", page)],
        )
        .problems(&[Kind::InvalidRequest, Kind::InvalidPhone])
}

fn read() -> Op {
    let wait = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(0))
        .maximum(Some(MAX_WAIT))
        .default(Some(0.into()));
    on_one(HttpMethod::Get, ONE, "getVerification")
        .says(
            "Read a verification",
            "With `If-None-Match` a version that you have already is answered 304. With `wait` too, the answer comes as \
             soon as there is another version, or after so many seconds.",
        )
        .parameter(parameter(ParameterIn::Query, "wait", "Seconds to wait for another version.", wait, 20))
        .parameter(headers::if_none_match())
        .json::<VerificationView>(
            StatusCode::OK,
            "The verification.",
            &[&ETAG, &NO_STORE, &NEXT_POLL],
            vec![
                ("sent", "Its message has gone out", examples::sent()),
                ("refused", "The gateway refused its message", examples::refused()),
                ("masked", "As a client token sees it", examples::masked()),
            ],
        )
        .empty(StatusCode::NOT_MODIFIED, "You have this version.", &[&ETAG, &NO_STORE, &NEXT_POLL])
        .problems(&[Kind::InvalidRequest])
}

fn cancel() -> Op {
    on_one(HttpMethod::Delete, ONE, "cancelVerification")
        .says(
            "Take a verification back",
            "A message that was not sent will not be, and no code is right any more. Doing it again changes nothing.",
        )
        .json::<VerificationView>(
            StatusCode::OK,
            "The verification, canceled.",
            &[&ETAG, &NO_STORE],
            vec![("canceled", "Taken back", examples::ended("canceled"))],
        )
        .problems(&[Kind::AlreadyApproved, Kind::VerificationExpired])
}

fn check() -> Op {
    on_one(HttpMethod::Post, "/v1/verifications/{id}/check", "checkCode")
        .says(
            "Check a code",
            "The only way to an approval. A wrong code is charged to the verification and to the number; a text that is \
             no code is not.",
        )
        .once()
        .body::<CheckRequest>(
            true,
            "What the person typed.",
            vec![("code", "A code of six digits", json!({"code": "123456"}))],
        )
        .json::<Approved>(
            StatusCode::OK,
            "The code is right. `token` is the proof: a JWT whose keys are at `/.well-known/jwks.json`.",
            &[&NO_STORE],
            vec![("approved", "Approved", examples::approval())],
        )
        .problems(&[Kind::IncorrectCode, Kind::MalformedCode, Kind::PhoneTaken])
        .problems(ENDED)
}

fn resend() -> Op {
    on_one(HttpMethod::Post, "/v1/verifications/{id}/resend", "resendCode")
        .says(
            "Send the code again",
            "Another message, with the same code while enough of its life remains, and a new one otherwise.",
        )
        .once()
        .body::<ResendRequest>(
            false,
            "Nothing yet: an empty object, or no body.",
            vec![("empty", "Nothing", json!({}))],
        )
        .json::<VerificationView>(
            StatusCode::ACCEPTED,
            "A message is on its way, or the last one still is.",
            &[&ETAG, &NO_STORE],
            vec![("again", "A second message", examples::again())],
        )
        .problems(&[Kind::PhoneBlocked, Kind::ResendCooldown, Kind::RateLimited])
        .problems(ENDED)
}

fn events() -> Op {
    // OpenAPI 3.1 has no words for a stream; tools read the schema as that of one event.
    let data = headers::text()
        .content_media_type("application/json")
        .content_schema(Some(reference("Verification")))
        .description(Some("The verification, as JSON."));
    let event = ObjectBuilder::new()
        .description(Some("One event."))
        .property("id", headers::text().pattern(Some("^[0-9]+$")).description(Some("The version.")))
        .property("data", data)
        .required("id")
        .required("data");
    let event_example = json!({"id": "3", "data": examples::sent().to_string()});
    let stream = ContentBuilder::new().schema(Some(event)).example(Some(event_example)).build();
    on_one(HttpMethod::Get, "/v1/verifications/{id}/events", "followVerification")
        .says(
            "Follow a verification",
            "A stream of server-sent events: the verification at once, then at every change, each as JSON with its \
             version as `id`; a comment every 15 s. It ends after a final state.",
        )
        .parameter(parameter(
            ParameterIn::Header,
            "Last-Event-ID",
            "The last version that you have seen, as browsers send it.",
            headers::text(),
            "3",
        ))
        .content_of(StatusCode::OK, "The stream.", &[&NO_STORE], "text/event-stream", stream)
        .empty(StatusCode::NO_CONTENT, "You have seen its final state: do not come again.", &[])
}
