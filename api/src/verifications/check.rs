//! `POST /v1/verifications/{id}/check`: the only way to an approval.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hulak_common::account::Account;
use hulak_common::code::Code;
use hulak_common::time::Timestamp;
use hulak_common::verification::Verification;
use hulak_store::{Check, Checked, Ended};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::create::account_conflict;
use crate::auth::Caller;
use crate::body::OnceBody;
use crate::idempotency::{self, Kept};
use crate::openapi::schemas;
use crate::problem::{FieldError, Kind, Problem};
use crate::resource::VerificationView;
use crate::state::{App, SharedApp};

/// The body of the request. Its `Debug` shows nothing.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(description = "What the person typed.")]
pub struct CheckRequest {
    /// The digits of the code, ASCII only, and as many as the message had (`HULAK_CODE_LENGTH`).
    #[schema(min_length = 4, max_length = 10, pattern = "^[0-9]+$", examples("123456"))]
    code: String,
}

impl std::fmt::Debug for CheckRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CheckRequest")
    }
}

/// The answer to the right code.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Approval)]
pub(crate) struct Approved {
    /// Always `approved`.
    #[schema(pattern = "^approved$")]
    status: &'static str,
    /// The proof, for 10 minutes: EdDSA; `iss`, `aud` (the client), `sub` (the number), `jti` (the verification), `purpose`.
    #[schema(value_type = schemas::Jwt)]
    token: String,
    /// The verification, approved.
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
    OnceBody(request, key): OnceBody<CheckRequest>,
) -> Result<Response, Problem> {
    let code = Code::typed(request.code);
    let id = id.parse().map_err(|_| Problem::not_found())?;
    let client = caller.client_for(id)?;
    if caller.is_token() {
        super::read::find(&app, &caller, &id.to_string(), 0).await?;
    }
    let (remember, _place) = app.once.enter(key, &caller, keep(&app, caller.is_token()))?;
    match app.check(Check { client, id, code, remember }).await? {
        Checked::Approved(row) => approved(&app, &row, caller.is_token(), None),
        Checked::ApprovedFor(row, account) => approved(&app, &row, caller.is_token(), Some(&account)),
        Checked::Answered(text) => again(&app, client, id, &text).await,
        other => Err(refusal(&app, id, &other)),
    }
}

/// What is answered to a check that did not end in an approval.
pub(super) fn refusal(app: &App, id: Uuid, checked: &Checked) -> Problem {
    let ended = |ended| has_ended(ended, app.clock.now());
    match checked {
        Checked::Account(conflict) => account_conflict(*conflict),
        Checked::Incorrect(row) => incorrect(row.checks_remaining),
        Checked::Malformed(length) => {
            let detail = format!("must be {} ASCII digits", length.digits());
            Problem::fields(Kind::MalformedCode, vec![FieldError::new("code", detail)])
        }
        Checked::Expired => ended(Ended::Expired),
        Checked::AlreadyApproved => ended(Ended::Approved),
        Checked::Canceled => ended(Ended::Canceled),
        Checked::TooMany(limit) => ended(Ended::Failed(*limit)),
        Checked::NotFound => Problem::not_found(),
        Checked::UnknownKey => {
            tracing::error!(%id, "its code was made with a secret that is not known here: set HULAK_SECRET_PREVIOUS");
            Problem::unavailable()
        }
        Checked::KeyReused => idempotency::reused(),
        // Their callers have answered these.
        Checked::Approved(_) | Checked::ApprovedFor(..) | Checked::Answered(_) => {
            Problem::new(Kind::Internal, "the request could not be handled")
        }
    }
}

/// What is answered to a wrong code.
pub(crate) fn incorrect(left: i32) -> Problem {
    Problem::new(Kind::IncorrectCode, format!("this is not the code; {left} more tries"))
        .with("checks_remaining", left)
}

/// What is answered about a verification that has ended.
pub(super) fn has_ended(ended: Ended, now: Timestamp) -> Problem {
    match ended {
        Ended::Expired => Problem::new(Kind::VerificationExpired, "its code is no longer good"),
        Ended::Approved => Problem::new(Kind::AlreadyApproved, "its code was used already"),
        Ended::Canceled => Problem::new(Kind::VerificationCanceled, "it was taken back"),
        Ended::Failed(limit) => Problem::limited(Kind::TooManyChecks, &limit, now),
    }
}

/// The first answer to a check: what spent nothing is not kept.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum First {
    Approved { view: idempotency::Object, account: Option<Uuid> },
    Incorrect(i32),
}

pub(super) fn keep(
    app: &SharedApp,
    masked: bool,
) -> impl Fn(&Checked, Timestamp) -> Option<String> + Send + Sync + 'static {
    let app = Arc::clone(app);
    move |checked, now| {
        let (row, account) = match checked {
            Checked::Approved(row) => (row, None),
            Checked::ApprovedFor(row, account) => (row, Some(account.id)),
            Checked::Incorrect(row) => {
                return Kept::write(StatusCode::OK, String::new(), First::Incorrect(row.checks_remaining));
            }
            _ => return None,
        };
        let view = idempotency::object(&VerificationView::new(row, &app.carriers, masked, now));
        let first = First::Approved { view, account };
        Kept::write(StatusCode::OK, String::new(), first)
    }
}

/// Gives the first answer again. An approval token that was lost on the way back is not lost: it is signed again.
async fn again(app: &App, client: Uuid, id: Uuid, text: &str) -> Result<Response, Problem> {
    let Kept { status, etag, body } = Kept::read(text)?;
    let (view, account) = match body {
        First::Incorrect(left) => return Err(incorrect(left).replayed()),
        First::Approved { view, account } => (view, account),
    };
    let (row, account) = holding(app, client, id, account).await?;
    let mut body = idempotency::Object::new();
    body.insert("status".to_owned(), "approved".into());
    body.insert("token".to_owned(), sign(app, &row, account.as_ref(), app.clock.now())?.into());
    body.insert("verification".to_owned(), view.into());
    Ok(Kept { status, etag, body }.answer())
}

/// An approved verification, and the account that the approval was for.
pub(super) async fn holding(
    app: &App,
    client: Uuid,
    id: Uuid,
    account: Option<Uuid>,
) -> Result<(Arc<Verification>, Option<Account>), Problem> {
    let row = app.verification(client, id, 0).await?;
    let account = match account {
        Some(id) => Some(holder(app, client, id).await?),
        None => None,
    };
    Ok((row, account))
}

/// The account that an approval was for, as it is now: whoever was shut out since gets no new token.
async fn holder(app: &App, client: Uuid, id: Uuid) -> Result<Account, Problem> {
    let found = app.account(client, id).await.map_err(|error| app.refuse(&error))?;
    let gone = || Problem::new(Kind::AlreadyApproved, "its account is not active any more");
    found.filter(|account| account.is_active).ok_or_else(gone)
}

fn sign(app: &App, row: &Verification, account: Option<&Account>, now: Timestamp) -> Result<String, Problem> {
    app.approvals.sign(row, account, now).map_err(|error| {
        tracing::error!(%error, "an approval token could not be signed");
        Problem::new(Kind::Internal, "the approval is recorded, but its token could not be made")
    })
}

pub(super) fn approved(
    app: &App,
    row: &Verification,
    masked: bool,
    account: Option<&Account>,
) -> Result<Response, Problem> {
    let now = app.clock.now();
    let token = sign(app, row, account, now)?;
    let verification = VerificationView::new(row, &app.carriers, masked, now);
    let body = Json(Approved { status: "approved", token, verification });
    Ok((StatusCode::OK, [(header::CACHE_CONTROL, "no-store")], body).into_response())
}
