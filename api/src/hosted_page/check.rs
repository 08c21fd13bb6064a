//! `POST /v1/page/check`: a code that a person typed on a page.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use hulak_common::code::Code;
use hulak_common::hosted_page::HostedPage;
use hulak_store::{Check, Checked, PageApproval, TakesEffect};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;
use utoipa::openapi::path::HttpMethod;
use uuid::Uuid;

use crate::app::{App, SharedApp};
use crate::hosted_page::describe::op;
use crate::hosted_page::page::{find, unkept};
use crate::http::auth::PageCaller;
use crate::http::body::OnceBody;
use crate::http::idempotency::{self, Kept};
use crate::http::problem::{Kind, Problem};
use crate::openapi::headers::NO_STORE;
use crate::openapi::operation::Op;
use crate::openapi::{examples, schemas};
use crate::tokens::client::TokenScope;
use crate::verifications::check::{KeptCheck, keep};
use crate::verifications::problems::{ENDED, check_refused};

/// The body of the request. Its `Debug` shows nothing.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(description = "What the person typed.")]
pub(super) struct PageCheckRequest {
    /// The verification that the page began.
    #[schema(format = Uuid)]
    verification: String,
    /// The digits of the code, ASCII only, and as many as the message had.
    #[schema(min_length = 4, max_length = 10, pattern = "^[0-9]+$", examples("123456"))]
    code: String,
}

impl std::fmt::Debug for PageCheckRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PageCheckRequest")
    }
}

/// The answer to the right code.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PageApproval)]
pub(super) struct FinishedView {
    /// Always `approved`.
    #[schema(pattern = "^approved$")]
    status: &'static str,
    /// Where the browser goes now, with `page_code` and `state`; null at the end of a demonstration.
    #[schema(value_type = Option<schemas::WebAddress>, required)]
    redirect: Option<String>,
}

/// Checks a code. The approval stays here: the browser takes a code back to the application, whose server exchanges it.
///
/// # Errors
/// As the check of a verification.
pub(super) async fn check(
    State(app): State<SharedApp>,
    PageCaller(scope): PageCaller,
    OnceBody(request, key): OnceBody<PageCheckRequest>,
) -> Result<Response, Problem> {
    let id = request.verification.parse().map_err(|_| Problem::not_found())?;
    let code = Code::typed(request.code);
    let page = find(&app, scope).await?;
    let row = app.verification(scope.client, id, 0).await?;
    // To a page, every verification but its own does not exist.
    if row.key.session != page.session() {
        return Err(Problem::not_found());
    }
    let (remember, _in_flight) = app.once.enter(key, &scope, keep(&app, true))?;
    // A demonstration has no application behind it.
    let takes_effect = page.redirect_uri.as_ref().map_or(TakesEffect::AtOnce, |_| TakesEffect::AtExchange);
    match app.check(Check { client: scope.client, id, code, takes_effect, remember }).await? {
        Checked::Approved(_) => finish(&app, &page, id, None).await,
        Checked::ApprovedFor(_, account) => finish(&app, &page, id, Some(account.id)).await,
        Checked::Answered(text) => match Kept::read(&text)?.body {
            KeptCheck::Approved { account, .. } => finish(&app, &page, id, account).await,
            KeptCheck::Incorrect(left) => Err(idempotency::replayed(Problem::incorrect_code(left))),
        },
        other => Err(check_refused(&app, id, &other)),
    }
}

async fn finish(
    app: &App,
    page: &HostedPage,
    verification: Uuid,
    account: Option<Uuid>,
) -> Result<Response, Problem> {
    let client = page.client;
    let mut redirect = None;
    if let Some(uri) = &page.redirect_uri {
        let approval = PageApproval { client, verification, account };
        app.unbatched(client, app.store.offer_approval(approval, app.clock.now())).await?;
        let code = app.credentials.page_tokens().mint_code(TokenScope { client, verification });
        redirect = Some(back(uri.as_str(), code.expose_secret(), &page.state)?);
    }
    Ok(unkept(StatusCode::OK, Json(FinishedView { status: "approved", redirect })))
}

/// The application's address, with what the browser brings along.
fn back(uri: &str, code: &str, state: &str) -> Result<String, Problem> {
    let mut url = Url::parse(uri).map_err(|error| {
        tracing::error!(%error, "a page's redirect_uri cannot be read");
        Problem::new(Kind::Internal, "the approval is recorded, but nobody can be sent back with it")
    })?;
    url.query_pairs_mut().append_pair("page_code", code).append_pair("state", state);
    Ok(url.into())
}

pub(super) fn operation() -> Op {
    let body = json!({"verification": examples::ID, "code": "123456"});
    let done = json!({
        "status": "approved",
        "redirect": format!("https://shop.example/verified?page_code={}&state=5f2c", examples::PAGE_CODE)
    });
    op(HttpMethod::Post, "/v1/page/check", "checkOnPage")
        .says(
            "Check a code on a page",
            "The approval itself stays here: the browser takes a page code to the application, whose server exchanges it.",
        )
        .page_token()
        .once()
        .body::<PageCheckRequest>(true, "What the person typed.", vec![("typed", "A code", body)])
        .json::<FinishedView>(
            StatusCode::OK,
            "The code was right.",
            &[&NO_STORE],
            vec![("approved", "The way back", done)],
        )
        .problems(ENDED)
        .problems(&[
            Kind::IncorrectCode,
            Kind::MalformedCode,
            Kind::AlreadyVerified,
            Kind::PhoneTaken,
            Kind::PageExpired,
            Kind::Overloaded,
        ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_brings_code_and_state_along() {
        assert_eq!(
            back("https://a.example/done?x=1", "pc_1", "a b&c=d").unwrap(),
            "https://a.example/done?x=1&page_code=pc_1&state=a+b%26c%3Dd"
        );
        assert_eq!(
            back("https://a.example", "pc_1", "").unwrap(),
            "https://a.example/?page_code=pc_1&state="
        );
    }
}
