//! `GET /v1/accounts`: accounts, newest first.

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use hulak_common::account::Username;
use hulak_common::phone::PhoneNumber;
use hulak_store::AccountList;
use serde_json::json;
use utoipa::openapi::path::{HttpMethod, Parameter, ParameterIn};

use crate::accounts::describe::{ALL, op};
use crate::accounts::view::AccountView;
use crate::app::SharedApp;
use crate::http::auth::Client;
use crate::http::idempotency;
use crate::http::paging::{Paging, page};
use crate::http::problem::{Kind, Problem};
use crate::openapi::elements::reference;
use crate::openapi::headers::{NO_STORE, paging, parameter};
use crate::openapi::operation::Op;
use crate::openapi::{examples, schemas};

schemas::list_page! { AccountPage of AccountView<'static> }

/// Accounts, newest first, all or with one username or number.
///
/// # Errors
/// 422 `invalid-request`, `invalid-phone`.
pub(super) async fn list(
    State(app): State<SharedApp>,
    Client(owner, _): Client,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let (mut username, mut phone) = (None, None);
    let paging = Paging::parse(query.as_deref().unwrap_or_default(), "username, phone", |name, value| {
        match name {
            "username" => username = Some(value.parse::<Username>().map_err(|error| error.to_string())?),
            "phone" => phone = Some(PhoneNumber::parse(value).map_err(|error| error.to_string())?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let (client, before, limit) = (owner.client, paging.before, paging.limit + 1);
    let wanted = AccountList { client, id: None, username, phone, before, limit };
    let found = app.unbatched(client, app.store.accounts(&wanted)).await?;
    let view = |account: &_| idempotency::object(&AccountView::new(account));
    Ok(page(&paging, &found, |account| account.id, view))
}

pub(super) fn operation() -> Op {
    let query = |name, description: &str, schema: &str, example: &str| -> Parameter {
        parameter(ParameterIn::Query, name, description, reference(schema), example)
    };
    let [limit, cursor] = paging();
    let page = json!({"data": [examples::account()], "next_cursor": null});
    op(HttpMethod::Get, ALL, "listAccounts")
        .says(
            "List accounts",
            "The client's accounts, newest first. Each parameter may be given once; others are refused.",
        )
        .parameter(query("username", "With this username only, in any case.", "Username", "sita"))
        .parameter(query("phone", "With this number only, verified or not.", "TypedPhone", examples::TYPED))
        .parameter(limit)
        .parameter(cursor)
        .json::<AccountPage>(StatusCode::OK, "A page.", &[&NO_STORE], vec![("page", "The only page", page)])
        .problems(&[Kind::InvalidRequest, Kind::InvalidPhone])
}
