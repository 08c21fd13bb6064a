//! What the calls of a hosted page have in common.

use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use hulak_common::hosted_page::HostedPage;
use hulak_common::time::Timestamp;
use hulak_common::verification::Verification;
use hulak_runtime::host_guard;
use secrecy::ExposeSecret as _;
use serde::Serialize;

use crate::app::App;
use crate::http::problem::{Kind, Problem};
use crate::openapi::elements::text;
use crate::openapi::schemas;
use crate::tokens::client::TokenScope;
use crate::tokens::page::PageScope;
use crate::verifications::view::VerificationView;

schemas::markers! {
    /// A client token.
    ClientTokenText => text().pattern(Some("^vt_[A-Za-z0-9_-]+$"));
}

/// A verification that a page has begun.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PageVerification)]
pub(super) struct BegunView {
    /// It, as its client token sees it.
    verification: VerificationView,
    /// For following it, and for sending its code again.
    #[schema(value_type = ClientTokenText)]
    client_token: String,
    /// The digits of its code.
    #[schema(minimum = 4, maximum = 10)]
    code_length: u8,
}

pub(super) fn begun(app: &App, row: &Verification, now: Timestamp) -> BegunView {
    let scope = TokenScope { client: row.key.client, verification: row.id };
    BegunView {
        verification: VerificationView::new(row, &app.carriers, true, now),
        client_token: app.credentials.client_tokens().mint(scope).expose_secret().to_owned(),
        code_length: row.code_length.digits(),
    }
}

pub(super) async fn find(app: &App, scope: PageScope) -> Result<HostedPage, Problem> {
    let page = app.unbatched(scope.client, app.store.page(scope.client, scope.page)).await?;
    // A page is remembered for a day beyond its end; after that it has expired all the same.
    page.ok_or_else(expired)
}

pub(super) fn expired() -> Problem {
    Problem::new(Kind::PageExpired, "a page is good for 15 minutes")
}

pub(super) fn unkept(status: StatusCode, body: impl IntoResponse) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], body).into_response()
}

/// Refuses a page under a host name that is not ours (DNS rebinding).
pub(super) fn require_host(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let named = host_guard::requested(uri, headers);
    if named.is_some_and(|name| host_guard::is_trusted(&name, app.public_host.as_deref())) {
        return Ok(());
    }
    Err(Problem::new(Kind::Misdirected, "this page answers to its own name only"))
}
