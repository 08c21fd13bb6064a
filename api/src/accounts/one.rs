//! `GET /v1/accounts/{id}` and `DELETE /v1/accounts/{id}`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use utoipa::openapi::path::HttpMethod;

use crate::accounts::describe::on_one;
use crate::accounts::view::{AccountView, shown};
use crate::app::SharedApp;
use crate::http::auth::Client;
use crate::http::problem::Problem;
use crate::openapi::examples;
use crate::openapi::headers::NO_STORE;
use crate::openapi::operation::Op;

/// An account.
///
/// # Errors
/// 404.
pub(super) async fn read(
    State(app): State<SharedApp>,
    Client(owner, _): Client,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = id.parse().map_err(|_| Problem::not_found())?;
    let found = app.account(owner.client, id).await?;
    found.as_ref().map(shown).ok_or_else(Problem::not_found)
}

/// Deletes an account. What was verified for it stays verified for the number.
///
/// # Errors
/// 404.
pub(super) async fn delete(
    State(app): State<SharedApp>,
    Client(owner, _): Client,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = id.parse().map_err(|_| Problem::not_found())?;
    let deleted = app.unbatched(owner.client, app.store.delete_account(owner.client, id)).await?;
    if deleted { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found()) }
}

pub(super) fn describe_read() -> Op {
    on_one(HttpMethod::Get, "getAccount")
        .says("Read an account", "With its groups, and with what all of them together allow.")
        .json::<AccountView<'_>>(
            StatusCode::OK,
            "The account.",
            &[&NO_STORE],
            vec![("account", "An account", examples::account())],
        )
}

pub(super) fn describe_delete() -> Op {
    on_one(HttpMethod::Delete, "deleteAccount")
        .says(
            "Delete an account",
            "Its name and number are free again. Verifications under way for it are not approved any more.",
        )
        .empty(StatusCode::NO_CONTENT, "It is gone.", &[])
}
