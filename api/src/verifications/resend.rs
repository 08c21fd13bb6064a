//! `POST /v1/verifications/{id}/resend` and `DELETE /v1/verifications/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hulak_common::limits::Policy;
use hulak_common::time::Timestamp;
use hulak_common::verification::Verification;
use hulak_store::{Cancel, Canceled, Ended, Resend, Resent};
use serde::Deserialize;

use super::checks::has_ended;
use super::read::{etag, find};
use crate::auth::Caller;
use crate::body::OnceBody;
use crate::client_ip::EndUser;
use crate::idempotency::{self, Kept};
use crate::problem::{Kind, Problem};
use crate::resource::VerificationView;
use crate::state::{App, SharedApp};

/// The body of the request, which may as well be empty.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(description = "Nothing yet.")]
pub struct ResendRequest {}

/// Sends the code again. 202: a message is on its way, or the last one still is.
///
/// # Errors
/// 403 `phone-blocked`; 404; 409, 410 and 429 as for a check once it has ended; 429 `resend-cooldown`, `rate-limited`.
pub async fn resend(
    State(app): State<SharedApp>,
    caller: Caller,
    EndUser(peer): EndUser,
    Path(id): Path<String>,
    OnceBody(ResendRequest {}, key): OnceBody<ResendRequest, true>,
) -> Result<Response, Problem> {
    let row = find(&app, &caller, &id, 0).await?;
    let (remember, _place) = app.once.enter(key, &caller, keep(&app, caller.is_token()))?;
    // With an API key the peer is the application's own server, which says nothing about the person.
    let address = peer.filter(|_| caller.is_token());
    let resent = app.resend(Resend { client: row.key.client, id: row.id, address, remember }).await?;
    if let Some(message) = resent.to_publish() {
        app.publisher.publish(message);
    }
    let now = app.clock.now();
    match resent {
        Resent::Again { verification, .. } => {
            Ok(answer(&app, StatusCode::ACCEPTED, &verification, caller.is_token()))
        }
        Resent::Ended(ended) => Err(has_ended(ended, now)),
        Resent::Blocked { until } => Err(super::create::blocked(until)),
        Resent::Limited(limit) => {
            let early = limit.policy == Policy::NumberCooldown;
            let kind = if early { Kind::ResendCooldown } else { Kind::RateLimited };
            Err(Problem::limited(kind, &limit, now))
        }
        Resent::NotFound => Err(Problem::not_found()),
        Resent::Answered(text) => Ok(Kept::<idempotency::Object>::read(&text)?.answer()),
        Resent::KeyReused => Err(idempotency::reused()),
    }
}

/// Takes it back: a message that was not sent will not be, and no code is right any more. Doing it again changes nothing.
///
/// # Errors
/// 404; 409 `already-approved`; 410 `verification-expired`, also when it has failed.
pub async fn cancel(
    State(app): State<SharedApp>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let row = find(&app, &caller, &id, 0).await?;
    match app.cancel(Cancel { client: row.key.client, id: row.id }).await? {
        Canceled::Done(row) => Ok(answer(&app, StatusCode::OK, &row, caller.is_token())),
        // Nothing is limited about taking back: it is merely over.
        Canceled::Ended(Ended::Failed(_)) => Err(has_ended(Ended::Expired, app.clock.now())),
        Canceled::Ended(ended) => Err(has_ended(ended, app.clock.now())),
        Canceled::NotFound => Err(Problem::not_found()),
    }
}

fn answer(app: &App, status: StatusCode, row: &Verification, masked: bool) -> Response {
    let now = app.clock.now();
    let headers = [(header::ETAG, etag(row, now)), (header::CACHE_CONTROL, "no-store".to_owned())];
    (status, headers, Json(VerificationView::new(row, &app.carriers, masked, now))).into_response()
}

fn keep(
    app: &SharedApp,
    masked: bool,
) -> impl Fn(&Resent, Timestamp) -> Option<String> + Send + Sync + 'static {
    let app = Arc::clone(app);
    move |resent, now| {
        let Resent::Again { verification: row, .. } = resent else { return None };
        let view = VerificationView::new(row, &app.carriers, masked, now);
        Kept::write(StatusCode::ACCEPTED, etag(row, now), idempotency::object(&view))
    }
}
