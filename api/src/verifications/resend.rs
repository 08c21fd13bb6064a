//! `POST /v1/verifications/{id}/resend`: another message.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use hulak_common::limits::Policy;
use hulak_common::time::Timestamp;
use hulak_store::{Resend, Resent};
use serde::Deserialize;
use serde_json::json;
use utoipa::openapi::path::HttpMethod;

use crate::app::SharedApp;
use crate::http::auth::Caller;
use crate::http::body::OnceBody;
use crate::http::client_ip::EndUser;
use crate::http::idempotency::{self, Kept};
use crate::http::problem::{Kind, Problem};
use crate::openapi::examples;
use crate::openapi::headers::{ETAG, NO_STORE};
use crate::openapi::operation::Op;
use crate::verifications::describe::on_one;
use crate::verifications::lookup::find;
use crate::verifications::problems::{ENDED, has_ended};
use crate::verifications::view::{VerificationView, answer, etag};

/// The body of the request, which may as well be empty.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(description = "Nothing yet.")]
pub(super) struct ResendRequest {}

/// Sends the code again. 202: a message is on its way, or the last one still is.
///
/// # Errors
/// 403 `phone-blocked`; 404; 409, 410 and 429 as for a check once it has ended; 429 `resend-cooldown`, `rate-limited`.
pub(super) async fn resend(
    State(app): State<SharedApp>,
    caller: Caller,
    EndUser(peer): EndUser,
    Path(id): Path<String>,
    OnceBody(ResendRequest {}, key): OnceBody<ResendRequest, true>,
) -> Result<Response, Problem> {
    let row = find(&app, &caller, &id, 0).await?;
    let (remember, _in_flight) = app.once.enter(key, &caller, keep(&app, caller.is_token()))?;
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
        Resent::Blocked { until } => Err(Problem::blocked(until)),
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

pub(super) fn operation() -> Op {
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
