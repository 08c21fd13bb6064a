//! What callers see of our rows.

use hulak_common::number::NumberReport;
use hulak_common::phone::Operators;
use hulak_common::time::Timestamp;
use hulak_common::verification::{Delivery, DeliveryError, Purpose, Status, Verification};
use serde::Serialize;
use serde_json::value::RawValue;

/// A verification.
#[derive(Debug, Serialize)]
pub struct VerificationView {
    id: uuid::Uuid,
    phone: String,
    operator: Option<String>,
    purpose: Purpose,
    status: Status,
    delivery: DeliveryView,
    checks_remaining: i32,
    resend_after: Timestamp,
    expires_at: Timestamp,
    created_at: Timestamp,
    updated_at: Timestamp,
    version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_token: Option<String>,
}

/// Where its newest message stands.
#[derive(Debug, Serialize)]
struct DeliveryView {
    status: Delivery,
    messages: i32,
    last_sent_at: Option<Timestamp>,
    next_attempt_at: Option<Timestamp>,
    error: Option<DeliveryError>,
}

impl VerificationView {
    /// As of `now`; with a client token (`masked`) the number is hidden and the metadata absent.
    #[must_use]
    pub fn new(row: &Verification, operators: &Operators, masked: bool, now: Timestamp) -> Self {
        let phone = row.key.phone;
        let metadata = (!masked).then(|| RawValue::from_string(row.metadata.clone()).ok()).flatten();
        Self {
            id: row.id,
            phone: if masked { phone.masked().to_string() } else { phone.to_string() },
            operator: operators.lookup(&phone).map(str::to_owned),
            purpose: row.key.purpose,
            status: row.status_at(now),
            delivery: DeliveryView {
                status: row.delivery,
                messages: row.messages,
                last_sent_at: row.last_sent_at,
                next_attempt_at: row.next_attempt_at,
                error: row.error,
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
    pub fn with_token(mut self, token: String) -> Self {
        self.client_token = Some(token);
        self
    }
}

/// A number.
#[derive(Debug, Serialize)]
pub struct PhoneView {
    phone: String,
    operator: Option<String>,
    validated: bool,
    validated_at: Option<Timestamp>,
    otp_count: i64,
    ambiguous_count: i64,
    last_sent_at: Option<Timestamp>,
    checks_failed: usize,
    blocked_until: Option<Timestamp>,
}

impl PhoneView {
    /// As of `now`.
    #[must_use]
    pub fn new(report: &NumberReport, operators: &Operators, now: Timestamp) -> Self {
        let NumberReport { number, client } = report;
        Self {
            phone: number.phone.to_string(),
            operator: operators.lookup(&number.phone).map(str::to_owned),
            validated: client.validated_at.is_some(),
            validated_at: client.validated_at,
            otp_count: number.otp_count,
            ambiguous_count: number.ambiguous_count,
            last_sent_at: number.last_sent_at,
            checks_failed: client.failed_checks.count(now, hulak_common::limits::FAILED_CHECKS_WINDOW),
            blocked_until: client.blocked(now),
        }
    }
}
