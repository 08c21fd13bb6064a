//! `DELETE /v1/verifications/{id}`: cancels a verification.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use hulak_store::{Cancel, Canceled, Ended};
use utoipa::openapi::path::HttpMethod;

use crate::app::SharedApp;
use crate::http::auth::Caller;
use crate::http::problem::{Kind, Problem};
use crate::openapi::examples;
use crate::openapi::headers::{ETAG, NO_STORE};
use crate::openapi::operation::Op;
use crate::verifications::describe::{ONE, on_one};
use crate::verifications::lookup::find;
use crate::verifications::problems::has_ended;
use crate::verifications::view::{VerificationView, answer};

/// Cancels it: a message that was not sent will not be, and no code is right any more. Doing it again changes nothing.
///
/// # Errors
/// 404; 409 `already-approved`; 410 `verification-expired`, also when it has failed.
pub(super) async fn cancel(
    State(app): State<SharedApp>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let row = find(&app, &caller, &id, 0).await?;
    match app.cancel(Cancel { client: row.key.client, id: row.id }).await? {
        Canceled::Done(row) => Ok(answer(&app, StatusCode::OK, &row, caller.is_token())),
        // Canceling has no limit, so a verification that failed has simply ended.
        Canceled::Ended(Ended::Failed(_)) => Err(has_ended(Ended::Expired, app.clock.now())),
        Canceled::Ended(ended) => Err(has_ended(ended, app.clock.now())),
        Canceled::NotFound => Err(Problem::not_found()),
    }
}

pub(super) fn operation() -> Op {
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
