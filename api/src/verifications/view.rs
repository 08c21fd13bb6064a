//! A verification, as callers see it.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hulak_common::phone::Carriers;
use hulak_common::time::Timestamp;
use hulak_common::verification::{Delivery, DeliveryError, Purpose, Status, Verification};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::app::App;
use crate::openapi::schemas;

/// A verification.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Verification)]
pub(crate) struct VerificationView {
    /// A version 7 UUID.
    id: uuid::Uuid,
    /// The number.
    #[schema(value_type = schemas::ShownPhone)]
    phone: String,
    /// Who issued the number, by its prefix; null when not known.
    #[schema(required)]
    operator: Option<String>,
    /// What the proof is for.
    #[schema(value_type = schemas::PurposeName)]
    purpose: Purpose,
    /// Where it stands.
    #[schema(value_type = schemas::VerificationStatus)]
    status: Status,
    delivery: DeliveryView,
    /// How many wrong codes it still bears.
    #[schema(minimum = 0)]
    checks_remaining: i32,
    /// From when on another message may be asked for.
    #[schema(value_type = schemas::Moment)]
    resend_after: Timestamp,
    /// When its code dies.
    #[schema(value_type = schemas::Moment)]
    expires_at: Timestamp,
    /// When it was asked for.
    #[schema(value_type = schemas::Moment)]
    created_at: Timestamp,
    /// When anything here last changed.
    #[schema(value_type = schemas::Moment)]
    updated_at: Timestamp,
    /// Counts the changes.
    #[schema(minimum = 1)]
    version: i64,
    /// Your own data. Absent with a client token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schemas::Metadata, required = false)]
    metadata: Option<Box<RawValue>>,
    /// Lets a phone or a browser follow this verification. Given when it is asked for only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, pattern = "^vt_[A-Za-z0-9_-]+$")]
    client_token: Option<String>,
}

/// Where its newest message stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
struct DeliveryView {
    /// Where its newest message stands.
    #[schema(value_type = schemas::DeliveryStatus)]
    status: Delivery,
    /// How many messages it has had.
    #[schema(minimum = 1)]
    messages: i32,
    /// When the gateway last took one.
    #[schema(value_type = Option<schemas::Moment>, required)]
    last_sent_at: Option<Timestamp>,
    /// When the newest message is tried next, while it waits for a known time.
    #[schema(value_type = Option<schemas::Moment>, required)]
    next_attempt_at: Option<Timestamp>,
    /// What went wrong with the newest message.
    #[schema(value_type = Option<DeliveryErrorView>, required)]
    error: Option<DeliveryError>,
}

/// Why a message did not go out, or has not yet. Describes [`DeliveryError`].
#[derive(ToSchema)]
#[schema(as = DeliveryError, description = "Why a message did not go out, or has not yet.")]
#[expect(dead_code, reason = "only its schema is of interest")]
struct DeliveryErrorView {
    /// The reason.
    #[schema(value_type = schemas::DeliveryFaultCode)]
    code: String,
    /// The gateway's own code, when it gave one; null for client tokens.
    #[schema(required)]
    gateway_code: Option<String>,
}

impl VerificationView {
    /// As of `now`; with a client token (`masked`) the number is hidden and the metadata absent.
    #[must_use]
    pub(crate) fn new(row: &Verification, carriers: &Carriers, masked: bool, now: Timestamp) -> Self {
        let phone = row.key.phone;
        let metadata = (!masked).then(|| RawValue::from_string(row.metadata.clone()).ok()).flatten();
        Self {
            id: row.id,
            phone: if masked { phone.masked().to_string() } else { phone.to_string() },
            operator: carriers.lookup(&phone).map(str::to_owned),
            purpose: row.key.purpose,
            status: row.status_at(now),
            delivery: DeliveryView {
                status: row.delivery,
                messages: row.messages,
                last_sent_at: row.last_sent_at,
                next_attempt_at: row.next_attempt_at,
                // The gateway's own code says how the account is doing, which is nobody's business but the application's.
                error: row
                    .error
                    .map(|error| if masked { DeliveryError { gateway_code: None, ..error } } else { error }),
            },
            checks_remaining: row.checks_remaining,
            resend_after: row.resend_after,
            expires_at: row.expires_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
            metadata,
            client_token: None,
        }
    }

    /// Adds the token that lets a phone or a browser follow it.
    #[must_use]
    pub(crate) fn with_token(mut self, token: String) -> Self {
        self.client_token = Some(token);
        self
    }
}

/// The version, marked while the row still says pending but its time is over: that is another answer than before.
pub(crate) fn etag(row: &Verification, now: Timestamp) -> String {
    let overdue = if row.status_at(now) == row.status { "" } else { "x" };
    format!("\"{}{overdue}\"", row.version)
}

/// Answers with a verification as it is now.
pub(super) fn answer(app: &App, status: StatusCode, row: &Verification, masked: bool) -> Response {
    let now = app.clock.now();
    let headers = [(header::ETAG, etag(row, now)), (header::CACHE_CONTROL, "no-store".to_owned())];
    (status, headers, Json(VerificationView::new(row, &app.carriers, masked, now))).into_response()
}
