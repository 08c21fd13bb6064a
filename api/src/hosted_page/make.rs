//! `POST /v1/pages` and `POST /v1/pages/exchange`: hosted pages, as their client application sees them.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hulak_common::hosted_page::{CREATES, HostedPage, LIFE};
use hulak_common::origin::RedirectUri;
use hulak_common::time::Timestamp;
use hulak_common::verification::{Locale, Purpose};
use hulak_store::{AccountConflict, Exchange, Exchanged, KeyOwner, NewPage, PageApproval, PageMade};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::checks::{approved, holding};
use super::create::account_conflict;
use crate::auth::Client;
use crate::body::OnceBody;
use crate::idempotency::{self, Kept};
use crate::openapi::schemas;
use crate::problem::{Kind, Problem};
use crate::state::{App, SharedApp};
use crate::token::PageScope;
use crate::validation::Fields;

/// The longest `state`, in characters.
pub(crate) const MAX_STATE: usize = 512;

/// The body of the request.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(description = "A page to be made.")]
pub struct PageRequest {
    /// What the proof is for.
    #[schema(value_type = schemas::PurposeName)]
    purpose: String,
    /// Where the browser is sent at the end: one of those that are set for your application.
    #[schema(value_type = schemas::WebAddress)]
    redirect_uri: String,
    /// Your own: it comes back with the browser, so that you know whose session this is.
    #[schema(value_type = schemas::PageStateText)]
    state: String,
    /// The account that the number is to belong to.
    #[schema(format = Uuid)]
    account_id: Option<String>,
    /// The language of the page and its messages; the browser's when absent.
    #[schema(value_type = Option<schemas::LocaleName>)]
    locale: Option<String>,
}

/// A page.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = HostedPage)]
pub(crate) struct PageView {
    /// Send the browser here. What opens the page is behind the `#`, which browsers send to nobody.
    #[schema(value_type = schemas::WebAddress)]
    url: String,
    /// Until when it is good.
    #[schema(value_type = schemas::Moment)]
    expires_at: Timestamp,
}

/// Makes a page.
///
/// # Errors
/// 404 when hosted pages are off; 422 `invalid-request`.
pub async fn create(
    State(app): State<SharedApp>,
    client: Client,
    OnceBody(request, key): OnceBody<PageRequest>,
) -> Result<Response, Problem> {
    app.require_hosted()?;
    let page = parse(&app, &client.0, &request)?;
    let (remember, _place) = app.once.enter(key, &client, keep)?;
    let new = NewPage { page, remember };
    match app.unbatched(new.page.client, app.store.make_page(&new, app.clock.now())).await? {
        PageMade::Done(page) => {
            let scope = PageScope { client: page.client, page: page.id };
            let body = Json(view(&app, scope, page.expires_at));
            Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], body).into_response())
        }
        PageMade::UnknownAccount => Err(account_conflict(AccountConflict::Unknown)),
        PageMade::Answered(text) => {
            let Kept { status, etag, body: First { scope, expires_at } } = Kept::read(&text)?;
            Ok(Kept { status, etag, body: idempotency::object(&view(&app, scope, expires_at)) }.answer())
        }
        PageMade::KeyReused => Err(idempotency::reused()),
    }
}

/// A first answer, from which it is made again: with a token that opens the same page.
#[derive(Debug, Serialize, Deserialize)]
struct First {
    scope: PageScope,
    expires_at: Timestamp,
}

fn keep(made: &PageMade, _now: Timestamp) -> Option<String> {
    let PageMade::Done(page) = made else { return None };
    let scope = PageScope { client: page.client, page: page.id };
    Kept::write(StatusCode::CREATED, String::new(), First { scope, expires_at: page.expires_at })
}

fn view(app: &App, scope: PageScope, expires_at: Timestamp) -> PageView {
    let token = app.page_tokens.mint(scope);
    PageView { url: format!("{}/verify#{}", app.public_url, token.expose_secret()), expires_at }
}

fn parse(app: &App, owner: &KeyOwner, request: &PageRequest) -> Result<HostedPage, Problem> {
    let mut fields = Fields::default();
    let purpose = fields.take("purpose", request.purpose.parse::<Purpose>());
    let redirect_uri = fields.take("redirect_uri", allowed(owner, &request.redirect_uri));
    let state = fields.take("state", state(&request.state));
    let account = fields.optional("account_id", request.account_id.as_deref(), |text| {
        text.parse::<Uuid>().map_err(|_| super::create::NO_ACCOUNT)
    });
    let locale = fields.optional("locale", request.locale.as_deref(), str::parse::<Locale>);
    fields.finish()?;
    let now = app.clock.now();
    Ok(HostedPage {
        id: app.rng.uuid_v7(now),
        client: owner.client,
        // Where there was none, `finish` has told.
        purpose: purpose.unwrap_or(Purpose::Verify),
        account,
        locale,
        app_name: owner.settings.app_name.clone(),
        redirect_uri,
        state: state.unwrap_or_default(),
        creates_left: CREATES,
        verification: None,
        created_at: now,
        expires_at: now + LIFE,
    })
}

/// The address, when it stands on the client's list, letter by letter.
fn allowed(owner: &KeyOwner, text: &str) -> Result<RedirectUri, &'static str> {
    let listed = owner.settings.redirect_uris.iter().flatten().find(|uri| uri.as_str() == text);
    listed.cloned().ok_or("must be one of the addresses that are set for your application, letter by letter")
}

fn state(text: &str) -> Result<String, String> {
    if text.chars().count() > MAX_STATE {
        return Err(format!("must have at most {MAX_STATE} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// The body of the request. Its `Debug` shows nothing.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(description = "What the browser brought back.")]
pub struct ExchangeRequest {
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
pub async fn exchange(
    State(app): State<SharedApp>,
    client: Client,
    OnceBody(request, key): OnceBody<ExchangeRequest>,
) -> Result<Response, Problem> {
    app.require_hosted()?;
    let refused = || Problem::new(Kind::InvalidPageCode, "it is unknown, too old, or was exchanged before");
    let scope = app.page_tokens.read_code(&request.page_code).ok_or_else(refused)?;
    if scope.client != client.0.client {
        return Err(refused());
    }
    let (remember, _place) = app.once.enter(key, &client, keep_exchange)?;
    let item = Exchange { client: scope.client, verification: scope.verification, remember };
    let exchanged = app.unbatched(scope.client, app.store.exchange(&item, app.clock.now())).await?;
    let (approval, again) = match exchanged {
        Exchanged::Done(approval) => (approval, false),
        Exchanged::Answered(text) => {
            let Kept { body: Swapped { client, verification, account }, .. } = Kept::read(&text)?;
            (PageApproval { client, verification, account }, true)
        }
        Exchanged::Refused => return Err(refused()),
        Exchanged::KeyReused => return Err(idempotency::reused()),
    };
    let PageApproval { client, verification, account } = approval;
    let (row, account) = holding(&app, client, verification, account).await?;
    let mut response = approved(&app, &row, false, account.as_ref())?;
    if again {
        response.headers_mut().insert(idempotency::REPLAYED, header::HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// A first answer. The token is signed again each time.
#[derive(Debug, Serialize, Deserialize)]
struct Swapped {
    client: Uuid,
    verification: Uuid,
    account: Option<Uuid>,
}

fn keep_exchange(exchanged: &Exchanged, _now: Timestamp) -> Option<String> {
    let Exchanged::Done(PageApproval { client, verification, account }) = *exchanged else { return None };
    Kept::write(StatusCode::OK, String::new(), Swapped { client, verification, account })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_short_and_plain() {
        assert!(state(&"ñ".repeat(512)).is_ok() && state("").is_ok());
        assert!(state(&"x".repeat(513)).is_err() && state("a\r\nb").is_err());
    }
}
