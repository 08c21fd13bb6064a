//! `POST /v1/page/demonstration`: a page for a visitor without one, where messages reach a simulator.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use hulak_common::api_key::DEFAULT_CLIENT;
use hulak_common::hosted_page::{CREATES, HostedPage, LIFE};
use hulak_common::time::Timestamp;
use hulak_common::verification::Purpose;
use hulak_store::{NewPage, PageMade};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::openapi::path::HttpMethod;

use crate::app::SharedApp;
use crate::config::HostedPages;
use crate::hosted_page::describe::op;
use crate::hosted_page::page::{require_host, unkept};
use crate::http::body::Body;
use crate::http::problem::{Kind, Problem};
use crate::openapi::headers::NO_STORE;
use crate::openapi::operation::Op;
use crate::openapi::{examples, schemas};
use crate::tokens::page::PageScope;

/// The body of the request.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(description = "Nothing yet.")]
pub(super) struct DemonstrationRequest {}

/// A page for whoever came without one.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PageToken)]
pub(super) struct TokenView {
    /// What opens the page.
    #[schema(pattern = "^pt_[A-Za-z0-9_-]+$")]
    token: String,
    /// Until when it is good.
    #[schema(value_type = schemas::Moment)]
    expires_at: Timestamp,
}

/// Makes a demonstration: a page of the client `default` that leads nowhere.
///
/// # Errors
/// 404 where there are none; 421 for a host that is not ours.
pub(super) async fn demonstrate(
    State(app): State<SharedApp>,
    uri: Uri,
    headers: HeaderMap,
    Body(DemonstrationRequest {}): Body<DemonstrationRequest>,
) -> Result<Response, Problem> {
    if !matches!(app.hosted, HostedPages::Demonstration { .. }) {
        return Err(Problem::new(Kind::NotFound, "there are no demonstrations here"));
    }
    require_host(&app, &uri, &headers)?;
    // Strangers share one place among the clients.
    let clients = app.unbatched(uuid::Uuid::nil(), app.store.clients()).await?;
    let missing = || Problem::new(Kind::NotFound, "there is no client `default`");
    let client = clients.into_iter().find(|client| client.name == DEFAULT_CLIENT).ok_or_else(missing)?;
    let now = app.clock.now();
    let page = HostedPage {
        id: app.rng.uuid_v7(now),
        client: client.id,
        purpose: Purpose::Verify,
        account: None,
        locale: None,
        app_name: client.settings.app_name,
        redirect_uri: None,
        state: String::new(),
        creates_left: CREATES,
        verification: None,
        created_at: now,
        expires_at: now + LIFE,
    };
    let new = NewPage { page, remember: None };
    let made = app.unbatched(client.id, app.store.make_page(&new, now)).await?;
    let PageMade::Done(page) = made else {
        return Err(Problem::new(Kind::Internal, "the page could not be made"));
    };
    let token = app.credentials.page_tokens().mint(PageScope { client: page.client, page: page.id });
    let body = TokenView { token: token.expose_secret().to_owned(), expires_at: page.expires_at };
    Ok(unkept(StatusCode::CREATED, Json(body)))
}

pub(super) fn operation() -> Op {
    let made = json!({"token": examples::PAGE_TOKEN, "expires_at": examples::moment(900)});
    op(HttpMethod::Post, "/v1/page/demonstration", "demonstratePage")
        .says(
            "Make a demonstration",
            "A page that leads nowhere, for whoever opens `/verify` alone. Only where messages reach a simulator.",
        )
        .body::<DemonstrationRequest>(true, "Nothing yet.", vec![("nothing", "Nothing", json!({}))])
        .json::<TokenView>(
            StatusCode::CREATED,
            "What opens the page.",
            &[&NO_STORE],
            vec![("made", "A demonstration", made)],
        )
        .problems(&[Kind::Misdirected, Kind::Unavailable])
}
