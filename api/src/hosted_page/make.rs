//! `POST /v1/pages`: a client application makes a page.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hulak_common::hosted_page::{CREATES, HostedPage, LIFE};
use hulak_common::origin::RedirectUri;
use hulak_common::time::Timestamp;
use hulak_common::verification::{Locale, Purpose};
use hulak_store::{AccountConflict, KeyOwner, NewPage, PageMade};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::openapi::path::HttpMethod;
use uuid::Uuid;

use crate::app::{App, SharedApp};
use crate::hosted_page::describe::op;
use crate::http::auth::Client;
use crate::http::body::OnceBody;
use crate::http::idempotency::{self, Kept};
use crate::http::problem::Problem;
use crate::http::validation::Fields;
use crate::openapi::elements::text;
use crate::openapi::headers::NO_STORE;
use crate::openapi::operation::Op;
use crate::openapi::schemas::PLAIN;
use crate::openapi::{examples, schemas};
use crate::tokens::page::PageScope;
use crate::verifications::problems::{NO_ACCOUNT, account_conflict};

/// The longest `state`, in characters.
const MAX_STATE: usize = 512;

schemas::markers! {
    /// What the application gives a page to carry, without control characters.
    PageStateText => text().max_length(Some(MAX_STATE)).pattern(Some(PLAIN));
}

/// The body of the request.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(description = "A page to be made.")]
pub(super) struct PageRequest {
    /// What the proof is for.
    #[schema(value_type = schemas::PurposeName)]
    purpose: String,
    /// Where the browser is sent at the end: one of those that are set for your application.
    #[schema(value_type = schemas::WebAddress)]
    redirect_uri: String,
    /// Your own: it comes back with the browser, so that you know whose session this is.
    #[schema(value_type = PageStateText)]
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
pub(super) struct PageView {
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
pub(super) async fn create(
    State(app): State<SharedApp>,
    client: Client,
    OnceBody(request, key): OnceBody<PageRequest>,
) -> Result<Response, Problem> {
    app.credentials.require_hosted_pages()?;
    let page = parse(&app, &client.0, &request)?;
    let (remember, _in_flight) = app.once.enter(key, &client, keep)?;
    let new = NewPage { page, remember };
    match app.unbatched(new.page.client, app.store.make_page(&new, app.clock.now())).await? {
        PageMade::Done(page) => {
            let scope = PageScope { client: page.client, page: page.id };
            let body = Json(view(&app, scope, page.expires_at));
            Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], body).into_response())
        }
        PageMade::UnknownAccount => Err(account_conflict(AccountConflict::Unknown)),
        PageMade::Answered(text) => {
            let Kept { status, etag, body: KeptPage { scope, expires_at } } = Kept::read(&text)?;
            Ok(Kept { status, etag, body: idempotency::object(&view(&app, scope, expires_at)) }.answer())
        }
        PageMade::KeyReused => Err(idempotency::reused()),
    }
}

/// A first answer, from which it is made again: with a token that opens the same page.
#[derive(Debug, Serialize, Deserialize)]
struct KeptPage {
    scope: PageScope,
    expires_at: Timestamp,
}

fn keep(made: &PageMade, _now: Timestamp) -> Option<String> {
    let PageMade::Done(page) = made else { return None };
    let scope = PageScope { client: page.client, page: page.id };
    Kept::write(StatusCode::CREATED, String::new(), KeptPage { scope, expires_at: page.expires_at })
}

fn view(app: &App, scope: PageScope, expires_at: Timestamp) -> PageView {
    let token = app.credentials.page_tokens().mint(scope);
    PageView { url: format!("{}/verify#{}", app.public_url, token.expose_secret()), expires_at }
}

fn parse(app: &App, owner: &KeyOwner, request: &PageRequest) -> Result<HostedPage, Problem> {
    let mut fields = Fields::default();
    let purpose = fields.take("purpose", request.purpose.parse::<Purpose>());
    let redirect_uri = fields.take("redirect_uri", allowed(owner, &request.redirect_uri));
    let state = fields.take("state", state(&request.state));
    let account = fields.optional("account_id", request.account_id.as_deref(), |text| {
        text.parse::<Uuid>().map_err(|_| NO_ACCOUNT)
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

/// The address, when it is on the client's list, letter by letter.
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

pub(super) fn operation() -> Op {
    let minimal = json!({
        "purpose": "verify", "redirect_uri": "https://shop.example/verified", "state": "5f2c…of your session"
    });
    op(HttpMethod::Post, "/v1/pages", "makePage")
        .says(
            "Make a page",
            "A page where a person types a number and its code, good for 15 minutes and 3 codes. At its end the browser comes \
             back to `redirect_uri` with `state` and a `page_code`, which your server exchanges. Compare `state` with the \
             session of the browser that brings it.",
        )
        .key()
        .once()
        .body::<PageRequest>(true, "What the page is for.", vec![("minimal", "A page", minimal)])
        .json::<PageView>(
            StatusCode::CREATED,
            "The page. Send the browser to its address.",
            &[&NO_STORE],
            vec![("page", "A page", examples::page())],
        )
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
