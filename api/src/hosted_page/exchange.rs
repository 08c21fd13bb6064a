//! `POST /v1/pages/exchange`: a client application gets the approval of a page.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use hulak_common::time::Timestamp;
use hulak_store::{AccountConflict, Exchange, Exchanged, PageApproval};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::openapi::path::HttpMethod;
use uuid::Uuid;

use crate::app::SharedApp;
use crate::hosted_page::describe::op;
use crate::http::auth::Client;
use crate::http::body::OnceBody;
use crate::http::idempotency::{self, Kept};
use crate::http::problem::{Kind, Problem};
use crate::openapi::examples;
use crate::openapi::headers::NO_STORE;
use crate::openapi::operation::Op;
use crate::verifications::check::{Approved, approved};
use crate::verifications::lookup::{ACCOUNT_GONE, with_account};
use crate::verifications::problems::account_conflict;

/// The body of the request. Its `Debug` shows nothing.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(description = "What the browser brought back.")]
pub(super) struct ExchangeRequest {
    /// The `page_code` of the address that the browser came back to.
    #[schema(max_length = 128, examples("pc_AR3B4rkB…"))]
    page_code: String,
}

impl std::fmt::Debug for ExchangeRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ExchangeRequest")
    }
}

/// Exchanges a page code for the approval, once. Number and account are verified by this call, not by the person's code: the
/// application first compares the `state` that the browser brought.
///
/// # Errors
/// 404 when hosted pages are off; 422 `invalid-page-code`; 409 `phone-taken`, `already-approved`; 410 `approval-expired`.
pub(super) async fn exchange(
    State(app): State<SharedApp>,
    client: Client,
    OnceBody(request, key): OnceBody<ExchangeRequest>,
) -> Result<Response, Problem> {
    app.credentials.require_hosted_pages()?;
    let refused = || Problem::new(Kind::InvalidPageCode, "it is unknown, too old, or was exchanged before");
    let scope = app.credentials.page_tokens().read_code(&request.page_code).ok_or_else(refused)?;
    if scope.client != client.0.client {
        return Err(refused());
    }
    let (remember, _in_flight) = app.once.enter(key, &client, keep_exchange)?;
    let item = Exchange { client: scope.client, verification: scope.verification, remember };
    let now = app.clock.now();
    let exchanged = app.unbatched(scope.client, app.store.exchange(&item, now)).await?;
    let (approval, at, again) = match exchanged {
        Exchanged::Done(approval) => (approval, Some(now), false),
        Exchanged::Answered(text) => {
            let Kept { body: KeptExchange { client, verification, account, at }, .. } = Kept::read(&text)?;
            (PageApproval { client, verification, account }, at, true)
        }
        Exchanged::PhoneTaken => return Err(account_conflict(AccountConflict::PhoneTaken)),
        Exchanged::AccountGone => return Err(Problem::new(Kind::AlreadyApproved, ACCOUNT_GONE)),
        Exchanged::Refused => return Err(refused()),
        Exchanged::KeyReused => return Err(idempotency::reused()),
    };
    let PageApproval { client, verification, account } = approval;
    let (row, account) = with_account(&app, client, verification, account).await?;
    let at = at.or(row.ended_at).unwrap_or(now);
    let mut response = approved(&app, &row, false, account.as_ref(), at)?;
    if again {
        response.headers_mut().insert(idempotency::REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// A first answer. The token is signed again each time, with the times of the first one.
#[derive(Debug, Serialize, Deserialize)]
struct KeptExchange {
    client: Uuid,
    verification: Uuid,
    account: Option<Uuid>,
    /// Absent when the release before this one kept it.
    at: Option<Timestamp>,
}

fn keep_exchange(exchanged: &Exchanged, now: Timestamp) -> Option<String> {
    let Exchanged::Done(PageApproval { client, verification, account }) = *exchanged else { return None };
    Kept::write(StatusCode::OK, String::new(), KeptExchange { client, verification, account, at: Some(now) })
}

pub(super) fn operation() -> Op {
    op(HttpMethod::Post, "/v1/pages/exchange", "exchangePageCode")
        .says(
            "Exchange a page code",
            "What a browser brought back for the approval, once and within 10 minutes. Compare its `state` first: this call is what \
             verifies the number and the account. With the same `Idempotency-Key` the approval is given again, while its token \
             is good.",
        )
        .key()
        .once()
        .body::<ExchangeRequest>(
            true,
            "What the browser brought.",
            vec![("code", "A page code", json!({"page_code": examples::PAGE_CODE}))],
        )
        .json::<Approved>(
            StatusCode::OK,
            "The approval, as a check answers it.",
            &[&NO_STORE],
            vec![("approved", "The approval", examples::approval())],
        )
        .problems(&[Kind::InvalidPageCode, Kind::AlreadyApproved, Kind::PhoneTaken, Kind::ApprovalExpired])
}
