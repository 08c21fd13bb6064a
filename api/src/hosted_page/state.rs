//! `GET /v1/page`: the state of a page.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use hulak_common::time::Timestamp;
use hulak_common::verification::{Locale, Status};
use serde::Serialize;
use utoipa::openapi::path::HttpMethod;

use crate::app::SharedApp;
use crate::hosted_page::describe::op;
use crate::hosted_page::page::{BegunView, begun, expired, find, unkept};
use crate::http::auth::PageCaller;
use crate::http::problem::{Kind, Problem};
use crate::openapi::headers::NO_STORE;
use crate::openapi::operation::Op;
use crate::openapi::{examples, schemas};

/// What a page knows of itself.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PageState)]
pub(super) struct StateView {
    /// The name of the application.
    app_name: String,
    /// What the proof is for.
    #[schema(value_type = schemas::PurposeName)]
    purpose: &'static str,
    /// The language that the application asked for.
    #[schema(value_type = Option<schemas::LocaleName>, required)]
    locale: Option<&'static str>,
    /// Whether it is a demonstration, which leads nowhere.
    demonstration: bool,
    /// Where the messages of a demonstration are read.
    #[schema(value_type = Option<schemas::WebAddress>, required)]
    inbox: Option<String>,
    /// How often it may still ask for a code.
    #[schema(minimum = 0, maximum = 3)]
    creates_left: i32,
    /// Until when it is good.
    #[schema(value_type = schemas::Moment)]
    expires_at: Timestamp,
    /// The verification that it began, while it is pending.
    #[schema(required)]
    begun: Option<BegunView>,
}

/// The state of the page: a page that is loaded again goes on where it was.
///
/// # Errors
/// 401; 410 `page-expired`, unless one of its codes is still good.
pub(super) async fn read(
    State(app): State<SharedApp>,
    PageCaller(scope): PageCaller,
) -> Result<Response, Problem> {
    let page = find(&app, scope).await?;
    let now = app.clock.now();
    let row = match page.verification {
        Some(id) => app.verification(scope.client, id, 0).await.ok(),
        None => None,
    };
    let live = row.filter(|row| row.status_at(now) == Status::Pending);
    if page.has_expired(now) && live.is_none() {
        return Err(expired());
    }
    let demonstration = page.redirect_uri.is_none();
    let view = StateView {
        inbox: app.hosted.inbox().filter(|_| demonstration).map(str::to_owned),
        app_name: page.app_name.unwrap_or_else(|| app.templates.app_name().to_owned()),
        purpose: page.purpose.as_str(),
        locale: page.locale.map(Locale::as_str),
        demonstration,
        creates_left: page.creates_left,
        expires_at: page.expires_at,
        begun: live.map(|row| begun(&app, &row, now)),
    };
    Ok(unkept(StatusCode::OK, Json(view)))
}

pub(super) fn operation() -> Op {
    op(HttpMethod::Get, "/v1/page", "readPage")
        .says("Where a page stands", "What the page shows. A page that is loaded again goes on where it was.")
        .page_token()
        .json::<StateView>(
            StatusCode::OK,
            "The page.",
            &[&NO_STORE],
            vec![("fresh", "A fresh page", examples::page_state())],
        )
        .problems(&[Kind::PageExpired])
}
