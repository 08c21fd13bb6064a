//! `POST /v1/verifications`: a request for a code.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hulak_common::code::Salt;
use hulak_common::sms_template::LastLine;
use hulak_common::time::Timestamp;
use hulak_common::verification::{LiveKey, Locale, Purpose, Route, Verification};
use hulak_store::{Create, Created, KeyOwner};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::openapi::path::HttpMethod;

use crate::app::{App, SharedApp};
use crate::http::auth::{Caller, Client};
use crate::http::body::OnceBody;
use crate::http::idempotency::{self, Kept};
use crate::http::problem::{Kind, Problem};
use crate::http::validation::Fields;
use crate::openapi::elements::text;
use crate::openapi::headers::{ETAG, LOCATION, NO_STORE};
use crate::openapi::operation::Op;
use crate::openapi::{examples, schemas};
use crate::tokens::client::TokenScope;
use crate::verifications::created::{self, Outcome};
use crate::verifications::describe::{ALL, op};
use crate::verifications::problems::NO_ACCOUNT;
use crate::verifications::view::{VerificationView, etag};

/// The longest `session`, in characters.
const MAX_SESSION: usize = 128;
/// An SMS Retriever hash: 11 characters of base64.
const APP_HASH: usize = 11;

schemas::markers! {
    /// An opaque string, without control characters.
    SessionName => text().max_length(Some(MAX_SESSION)).pattern(Some("^[^\\u0000-\\u001f\\u007f-\\u009f]*$"));
    /// The hash of Android's SMS Retriever: 11 characters of base64.
    AppHash => text().pattern(Some(format!("^[A-Za-z0-9+/]{{{APP_HASH}}}$")));
}

/// The body of the request.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(description = "A request for a code.")]
pub(super) struct CreateRequest {
    /// The number.
    #[schema(value_type = schemas::TypedPhone)]
    phone: String,
    /// What the proof is for; `verify` when absent.
    #[schema(value_type = Option<schemas::PurposeName>)]
    purpose: Option<String>,
    /// Your web session's hash, so that a stranger who types the same number does not get hold of this verification.
    #[schema(value_type = Option<SessionName>)]
    session: Option<String>,
    /// The language of the message; `en` when absent.
    #[schema(value_type = Option<schemas::LocaleName>)]
    locale: Option<String>,
    /// The account that the number is to belong to.
    #[schema(format = Uuid)]
    account_id: Option<String>,
    /// Lets an Android app read the code by itself.
    #[schema(value_type = Option<AppHash>)]
    app_hash: Option<String>,
    /// Lets a browser fill in the code on this site only.
    #[schema(value_type = Option<schemas::HostName>)]
    origin: Option<String>,
    /// The person's address, which limits count by.
    #[schema(value_type = Option<schemas::IpAddress>)]
    end_user_ip: Option<String>,
    /// Your own data; the whole body has at most 16 KiB.
    #[schema(value_type = Option<schemas::Metadata>)]
    metadata: Option<Map<String, Value>>,
}

/// Records a request for a code. 202: a message is on its way. 200: this number's live verification, unchanged.
///
/// # Errors
/// 403 `phone-blocked`; 422 `invalid-phone`, `unsupported-phone`, `invalid-request`; 429 `rate-limited`.
pub(super) async fn create(
    State(app): State<SharedApp>,
    client: Client,
    OnceBody(request, key): OnceBody<CreateRequest>,
) -> Result<Response, Problem> {
    let item = parse(&app, &client.0, request)?;
    let (remember, _in_flight) = app.once.enter(key, &Caller::Client(client), keep(&app))?;
    match created::outcome(&app, app.create(Create { remember, ..item }).await?)? {
        Outcome::Verification(status, row) => Ok(answer(&app, status, &row)),
        Outcome::Kept(text) => replay(&app, &text),
    }
}

fn keep(app: &SharedApp) -> impl Fn(&Created, Timestamp) -> Option<String> + Send + Sync + 'static {
    let app = Arc::clone(app);
    move |created, now| {
        let (status, row) = created::to_keep(created)?;
        let view = VerificationView::new(row, &app.carriers, false, now);
        let kept = KeptVerification { row: scope(row), view: idempotency::object(&view) };
        Kept::write(status, etag(row, now), kept)
    }
}

/// A first answer, and what its token is bound to.
#[derive(Debug, Serialize, Deserialize)]
struct KeptVerification {
    row: TokenScope,
    view: idempotency::Object,
}

fn replay(app: &App, text: &str) -> Result<Response, Problem> {
    let Kept { status, etag, body: KeptVerification { row, mut view } } = Kept::read(text)?;
    let token = app.credentials.client_tokens().mint(row);
    view.insert("client_token".to_owned(), token.expose_secret().into());
    let location = HeaderValue::from_str(&location(row.verification)).ok();
    let mut response = Kept { status, etag, body: view }.answer();
    response.headers_mut().extend(location.map(|location| (header::LOCATION, location)));
    Ok(response)
}

fn scope(row: &Verification) -> TokenScope {
    TokenScope { client: row.key.client, verification: row.id }
}

fn location(id: uuid::Uuid) -> String {
    format!("/v1/verifications/{id}")
}

fn answer(app: &App, status: StatusCode, row: &Verification) -> Response {
    let token = app.credentials.client_tokens().mint(scope(row));
    let view = VerificationView::new(row, &app.carriers, false, app.clock.now())
        .with_token(token.expose_secret().to_owned());
    let headers = [
        (header::LOCATION, location(row.id)),
        (header::ETAG, etag(row, app.clock.now())),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (status, headers, Json(view)).into_response()
}

fn parse(app: &App, owner: &KeyOwner, request: CreateRequest) -> Result<Create, Problem> {
    let mut fields = Fields::default();
    let phone = fields.phone(&request.phone);
    let purpose = fields.optional("purpose", request.purpose.as_deref(), str::parse::<Purpose>);
    let locale = fields.optional("locale", request.locale.as_deref(), str::parse::<Locale>);
    let session = fields.optional("session", request.session.as_deref(), session);
    let app_hash = fields.optional("app_hash", request.app_hash.as_deref(), app_hash);
    let origin = fields.optional("origin", request.origin.as_deref(), origin);
    let locale = locale.unwrap_or(Locale::En);
    last_line(&mut fields, app, locale, app_hash.as_deref(), origin.as_deref());
    let address = fields.optional("end_user_ip", request.end_user_ip.as_deref(), |text| {
        text.parse::<IpAddr>().map_err(|_| "must be an IPv4 or IPv6 address")
    });
    let account = fields.optional("account_id", request.account_id.as_deref(), |text| {
        text.parse::<uuid::Uuid>().map_err(|_| NO_ACCOUNT)
    });
    fields.finish()?;
    // Without one there was an error, which `finish` has told.
    let phone = phone.ok_or_else(|| Problem::fields(Kind::InvalidPhone, Vec::new()))?;
    app.require_served(&phone)?;
    let purpose = purpose.unwrap_or(Purpose::Verify);
    Ok(Create {
        id: app.rng.uuid_v7(app.clock.now()),
        salt: Salt(app.rng.bytes()),
        key: LiveKey { client: owner.client, phone, purpose, account, session: session.unwrap_or_default() },
        locale,
        app_hash,
        origin,
        app_name: owner.settings.app_name.clone(),
        metadata: Value::Object(request.metadata.unwrap_or_default()).to_string(),
        address,
        remember: None,
        route: if app.test_numbers.contains(phone) { Route::Null } else { Route::Gateway },
    })
}

/// There is one last line, and the message has to fit with it.
fn last_line(fields: &mut Fields, app: &App, locale: Locale, hash: Option<&str>, origin: Option<&str>) {
    if hash.is_some() && origin.is_some() {
        fields.wrong("origin", "give app_hash or origin, not both");
        return;
    }
    let Some(last) = LastLine::of(hash, origin) else { return };
    if let Err(refused) = app.templates.check_line(locale, last) {
        let field = if hash.is_some() { "app_hash" } else { "origin" };
        let allowed = refused.allowed;
        fields.wrong(field, format!("with this line {refused}, of {allowed} allowed"));
    }
}

fn session(text: &str) -> Result<String, String> {
    if text.chars().count() > MAX_SESSION {
        return Err(format!("must have at most {MAX_SESSION} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    Ok(text.to_owned())
}

fn app_hash(text: &str) -> Result<String, &'static str> {
    let base64 = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/');
    if text.len() == APP_HASH && base64 {
        Ok(text.to_owned())
    } else {
        Err("must be 11 characters of base64")
    }
}

/// A host name as browsers write it in an origin-bound message: no scheme, no port, no path.
fn origin(text: &str) -> Result<String, &'static str> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if text.len() <= 253 && text.split('.').all(label) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("must be a host name like example.com, without https:// and without a path")
    }
}

pub(super) fn operation() -> Op {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_taken_as_documented() {
        assert!(
            session(&"x".repeat(128)).is_ok()
                && session(&"x".repeat(129)).is_err()
                && session("a\0b").is_err()
        );
        assert!(
            app_hash("FA+9qCX9VSu").is_ok() && app_hash("short").is_err() && app_hash("FA+9qCX9VS ").is_err()
        );
        for good in ["example.com", "EXAMPLE.com", "localhost", "a-b.example"] {
            assert!(origin(good).is_ok(), "{good}");
        }
        for bad in
            ["", "https://example.com", "example.com:80", "example.com/x", "-a.com", "a..b", "ex ample.com"]
        {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
