//! `GET /v1/phones/{phone}`: what is known of a number.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hulak_common::phone::{Carriers, PhoneNumber};
use hulak_common::phone_record::NumberReport;
use hulak_common::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::path::HttpMethod;

use crate::app::SharedApp;
use crate::http::auth::Client;
use crate::http::problem::{FieldError, Kind, Problem};
use crate::openapi::headers::NO_STORE;
use crate::openapi::operation::Op;
use crate::openapi::{examples, schemas};
use crate::phones::describe::op;

/// A number.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Number)]
pub(super) struct PhoneView {
    /// The number.
    #[schema(value_type = schemas::ShownPhone)]
    phone: String,
    /// Who issued the number, by its prefix; null when not known.
    #[schema(required)]
    operator: Option<String>,
    /// Whether this client has verified it.
    validated: bool,
    /// When this client last did.
    #[schema(value_type = Option<schemas::Moment>, required)]
    validated_at: Option<Timestamp>,
    /// Messages that the gateway took, over all clients.
    #[schema(minimum = 0)]
    otp_count: i64,
    /// Messages of which nobody can tell whether it did.
    #[schema(minimum = 0)]
    ambiguous_count: i64,
    /// When the gateway last took one.
    #[schema(value_type = Option<schemas::Moment>, required)]
    last_sent_at: Option<Timestamp>,
    /// Wrong codes of this client in the last 24 hours.
    checks_failed: usize,
    /// The end of the block, this client's or an operator's.
    #[schema(value_type = Option<schemas::Moment>, required)]
    blocked_until: Option<Timestamp>,
}

impl PhoneView {
    /// As of `now`.
    fn new(report: &NumberReport, carriers: &Carriers, now: Timestamp) -> Self {
        let NumberReport { number, client } = report;
        Self {
            phone: number.phone.to_string(),
            operator: carriers.lookup(&number.phone).map(str::to_owned),
            validated: client.validated_at.is_some(),
            validated_at: client.validated_at,
            otp_count: number.otp_count,
            ambiguous_count: number.ambiguous_count,
            last_sent_at: number.last_sent_at,
            checks_failed: client.failed_checks.count(now, hulak_common::limits::FAILED_CHECKS_WINDOW),
            blocked_until: number.blocked(now).max(client.blocked(now)),
        }
    }
}

pub(super) fn parse(phone: &str) -> Result<PhoneNumber, Problem> {
    PhoneNumber::parse(phone)
        .map_err(|error| Problem::fields(Kind::InvalidPhone, vec![FieldError::new("phone", error)]))
}

/// The number's counts over all clients, and what the caller's client knows of it. A number never seen has zeros.
///
/// # Errors
/// 422 `invalid-phone`.
pub(super) async fn read(
    State(app): State<SharedApp>,
    Client(owner, _): Client,
    Path(phone): Path<String>,
) -> Result<Response, Problem> {
    let phone = parse(&phone)?;
    let report = app.unbatched(owner.client, app.store.number(owner.client, phone)).await?;
    let view = PhoneView::new(&report, &app.carriers, app.clock.now());
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(view)).into_response())
}

pub(super) fn operation() -> Op {
    op(HttpMethod::Get, "/v1/phones/{phone}", "getNumber")
        .says(
            "Read a number",
            "Its counts over all clients, and what this client knows of it. A number never seen has zeros.",
        )
        .json::<PhoneView>(
            StatusCode::OK,
            "The number.",
            &[&NO_STORE],
            vec![
                ("verified", "A verified number", examples::number()),
                ("unseen", "A number never seen", examples::unseen()),
            ],
        )
}
