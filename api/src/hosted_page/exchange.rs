//! `POST /v1/pages/exchange`: a client application gets the approval of a page.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use hulak_common::time::Timestamp;
use hulak_store::{Exchange, Exchanged, PageApproval};
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
use crate::verifications::lookup::with_account;

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

/// Exchanges a page code for the approval, once.
///
/// # Errors
/// 404 when hosted pages are off; 422 `invalid-page-code`.
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
    let exchanged = app.unbatched(scope.client, app.store.exchange(&item, app.clock.now())).await?;
    let (approval, again) = match exchanged {
        Exchanged::Done(approval) => (approval, false),
        Exchanged::Answered(text) => {
            let Kept { body: KeptExchange { client, verification, account }, .. } = Kept::read(&text)?;
            (PageApproval { client, verification, account }, true)
        }
        Exchanged::Refused => return Err(refused()),
        Exchanged::KeyReused => return Err(idempotency::reused()),
    };
    let PageApproval { client, verification, account } = approval;
    let (row, account) = with_account(&app, client, verification, account).await?;
    let mut response = approved(&app, &row, false, account.as_ref())?;
    if again {
        response.headers_mut().insert(idempotency::REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// A first answer. The token is signed again each time.
#[derive(Debug, Serialize, Deserialize)]
struct KeptExchange {
    client: Uuid,
    verification: Uuid,
    account: Option<Uuid>,
}

fn keep_exchange(exchanged: &Exchanged, _now: Timestamp) -> Option<String> {
    let Exchanged::Done(PageApproval { client, verification, account }) = *exchanged else { return None };
    Kept::write(StatusCode::OK, String::new(), KeptExchange { client, verification, account })
}

pub(super) fn operation() -> Op {
    op(HttpMethod::Post, "/v1/pages/exchange", "exchangePageCode")
        .says(
            "Exchange a page code",
            "What a browser brought back for the approval, once and within 10 minutes. With the same `Idempotency-Key` the \
             approval is given again.",
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
        .problems(&[Kind::InvalidPageCode, Kind::AlreadyApproved])
}
