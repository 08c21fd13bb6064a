//! `POST /v1/verifications/{id}/check`: the only way to an approval.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hulak_common::code::Code;
use hulak_common::store::{Check, Checked};
use hulak_common::verification::Verification;
use serde::{Deserialize, Serialize};

use crate::auth::Caller;
use crate::body::Body;
use crate::problem::{FieldError, Kind, Problem};
use crate::resource::VerificationView;
use crate::state::{App, SharedApp};

/// The body of the request. Its `Debug` shows nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    code: String,
}

impl std::fmt::Debug for CheckRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CheckRequest")
    }
}

/// The answer to the right code.
#[derive(Debug, Serialize)]
struct Approved {
    status: &'static str,
    token: String,
    verification: VerificationView,
}

/// Checks a code.
///
/// # Errors
/// 404; 422 `incorrect-code`, `malformed-code`; 410 `verification-expired`; 409 `already-approved`,
/// `verification-canceled`; 429 `too-many-checks`.
pub async fn check(
    State(app): State<SharedApp>,
    caller: Caller,
    Path(id): Path<String>,
    Body(request): Body<CheckRequest>,
) -> Result<Response, Problem> {
    let code = Code::typed(request.code);
    let id = id.parse().map_err(|_| Problem::not_found())?;
    let client = caller.client_for(id)?;
    if caller.is_token() {
        super::read::find(&app, &caller, &id.to_string()).await?;
    }
    match app.check(Check { client, id, code }).await? {
        Checked::Approved(row) => approved(&app, &caller, &row),
        Checked::Incorrect(row) => Err(Problem::new(
            Kind::IncorrectCode,
            format!("this is not the code; {} more tries", row.checks_remaining),
        )
        .with("checks_remaining", row.checks_remaining)),
        Checked::Malformed(length) => {
            let detail = format!("must be {} ASCII digits", length.digits());
            Err(Problem::fields(Kind::MalformedCode, vec![FieldError::new("code", detail)]))
        }
        Checked::Expired => Err(Problem::new(Kind::VerificationExpired, "its code is no longer good")),
        Checked::AlreadyApproved => Err(Problem::new(Kind::AlreadyApproved, "its code was used already")),
        Checked::Canceled => Err(Problem::new(Kind::VerificationCanceled, "it was taken back")),
        Checked::TooMany(limit) => Err(Problem::limited(Kind::TooManyChecks, &limit, app.clock.now())),
        Checked::NotFound => Err(Problem::not_found()),
        Checked::UnknownKey => {
            tracing::error!(%id, "its code was made with a secret that is not known here: set HULAK_SECRET_PREVIOUS");
            Err(Problem::unavailable())
        }
    }
}

fn approved(app: &App, caller: &Caller, row: &Verification) -> Result<Response, Problem> {
    let now = app.clock.now();
    let token = app.approvals.sign(row, now).map_err(|error| {
        tracing::error!(%error, "an approval token could not be signed");
        Problem::new(Kind::Internal, "the approval is recorded, but its token could not be made")
    })?;
    let verification = VerificationView::new(row, &app.operators, caller.is_token(), now);
    let body = Json(Approved { status: "approved", token, verification });
    Ok((StatusCode::OK, [(header::CACHE_CONTROL, "no-store")], body).into_response())
}
