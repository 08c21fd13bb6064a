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
use hulak_store::{Check, Checked, TakesEffect};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::openapi::path::HttpMethod;
use uuid::Uuid;

use crate::app::{App, SharedApp};
use crate::http::auth::Caller;
use crate::http::body::OnceBody;
use crate::http::idempotency::{self, Kept};
use crate::http::problem::{Kind, Problem};
use crate::openapi::headers::NO_STORE;
use crate::openapi::operation::Op;
use crate::openapi::{examples, schemas};
use crate::tokens::approval::LIFE;
use crate::verifications::describe::on_one;
use crate::verifications::lookup;
use crate::verifications::problems::{ENDED, check_refused};
use crate::verifications::view::VerificationView;

/// The body of the request. Its `Debug` shows nothing.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(description = "What the person typed.")]
pub(super) struct CheckRequest {
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
pub(super) async fn check(
    State(app): State<SharedApp>,
    caller: Caller,
    Path(id): Path<String>,
    OnceBody(request, key): OnceBody<CheckRequest>,
) -> Result<Response, Problem> {
    let code = Code::typed(request.code);
    let id = id.parse().map_err(|_| Problem::not_found())?;
    let client = caller.client_for(id)?;
    if caller.is_token() {
        lookup::find(&app, &caller, &id.to_string(), 0).await?;
    }
    let (remember, _in_flight) = app.once.enter(key, &caller, keep(&app, caller.is_token()))?;
    match app.check(Check { client, id, code, takes_effect: TakesEffect::AtOnce, remember }).await? {
        Checked::Approved(row) => approved(&app, &row, caller.is_token(), None, approved_at(&row)),
        Checked::ApprovedFor(row, account) => {
            approved(&app, &row, caller.is_token(), Some(&account), approved_at(&row))
        }
        Checked::Answered(text) => replay(&app, client, id, &text).await,
        other => Err(check_refused(&app, id, &other)),
    }
}

/// The first answer to a check: what spent nothing is not kept.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum KeptCheck {
    Approved { view: idempotency::Object, account: Option<Uuid> },
    Incorrect(i32),
}

pub(crate) fn keep(
    app: &SharedApp,
    masked: bool,
) -> impl Fn(&Checked, Timestamp) -> Option<String> + Send + Sync + 'static {
    let app = Arc::clone(app);
    move |checked, now| {
        let (row, account) = match checked {
            Checked::Approved(row) => (row, None),
            Checked::ApprovedFor(row, account) => (row, Some(account.id)),
            Checked::Incorrect(row) => {
                return Kept::write(
                    StatusCode::OK,
                    String::new(),
                    KeptCheck::Incorrect(row.checks_remaining),
                );
            }
            _ => return None,
        };
        let view = idempotency::object(&VerificationView::new(row, &app.carriers, masked, now));
        let kept = KeptCheck::Approved { view, account };
        Kept::write(StatusCode::OK, String::new(), kept)
    }
}

/// Gives the first answer again. An approval token that was lost on the way back is not lost: it is signed again, with the times
/// of the first one.
async fn replay(app: &App, client: Uuid, id: Uuid, text: &str) -> Result<Response, Problem> {
    let Kept { status, etag, body } = Kept::read(text)?;
    let (view, account) = match body {
        KeptCheck::Incorrect(left) => return Err(idempotency::replayed(Problem::incorrect_code(left))),
        KeptCheck::Approved { view, account } => (view, account),
    };
    let (row, account) = lookup::with_account(app, client, id, account).await?;
    let mut body = idempotency::Object::new();
    body.insert("status".to_owned(), "approved".into());
    body.insert("token".to_owned(), sign(app, &row, account.as_ref(), approved_at(&row))?.into());
    body.insert("verification".to_owned(), view.into());
    Ok(Kept { status, etag, body }.answer())
}

/// The time that the token of a check counts from, however often the token is given.
fn approved_at(row: &Verification) -> Timestamp {
    // An approved row has its end.
    row.ended_at.unwrap_or(row.updated_at)
}

fn sign(app: &App, row: &Verification, account: Option<&Account>, at: Timestamp) -> Result<String, Problem> {
    if app.clock.now() >= at + LIFE {
        return Err(Problem::new(Kind::ApprovalExpired, "its token was good for 10 minutes"));
    }
    app.approvals.sign(row, account, at).map_err(|error| {
        tracing::error!(%error, "an approval token could not be signed");
        Problem::new(Kind::Internal, "the approval is recorded, but its token could not be made")
    })
}

/// Answers an approval, with its token, which counts from `at`.
///
/// # Errors
/// 410 `approval-expired`: a token that was issued once is not issued again with new times.
pub(crate) fn approved(
    app: &App,
    row: &Verification,
    masked: bool,
    account: Option<&Account>,
    at: Timestamp,
) -> Result<Response, Problem> {
    let token = sign(app, row, account, at)?;
    let verification = VerificationView::new(row, &app.carriers, masked, app.clock.now());
    let body = Json(Approved { status: "approved", token, verification });
    Ok((StatusCode::OK, [(header::CACHE_CONTROL, "no-store")], body).into_response())
}

pub(super) fn operation() -> Op {
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
        .problems(&[Kind::IncorrectCode, Kind::MalformedCode, Kind::PhoneTaken, Kind::ApprovalExpired])
        .problems(ENDED)
}
