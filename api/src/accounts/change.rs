//! `PATCH /v1/accounts/{id}`: a change of an account.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use hulak_common::account::{Email, PersonName, Username};
use hulak_common::phone::PhoneNumber;
use hulak_store::{AccountChanged, AccountPatch};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::path::HttpMethod;
use uuid::Uuid;

use crate::accounts::describe::on_one;
use crate::accounts::fields::{group_names, refusal};
use crate::accounts::view::{AccountView, shown};
use crate::app::{App, SharedApp};
use crate::http::auth::Client;
use crate::http::body::Body;
use crate::http::problem::{Kind, Problem};
use crate::http::validation::Fields;
use crate::openapi::headers::NO_STORE;
use crate::openapi::operation::Op;
use crate::openapi::{examples, schemas};

/// The body of a change: what is absent stays; null takes an e-mail address or a number away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccountPatch)]
pub(super) struct AccountPatchRequest {
    /// Unique within the client, without regard to case.
    #[schema(value_type = Option<schemas::Username>)]
    username: Option<String>,
    /// May be empty.
    #[schema(value_type = Option<schemas::Name>)]
    first_name: Option<String>,
    /// May be empty.
    #[schema(value_type = Option<schemas::Name>)]
    last_name: Option<String>,
    /// Not verified; null takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<schemas::EmailAddress>)]
    email: Option<Option<String>>,
    /// Not verified, when it is another one; null takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<schemas::TypedPhone>)]
    phone: Option<Option<String>>,
    /// All of its groups from now on.
    #[schema(value_type = Option<Vec<schemas::GroupName>>, max_items = 50)]
    groups: Option<Vec<String>>,
    /// Whether it may sign in.
    is_active: Option<bool>,
}

/// Tells null from absent.
fn given<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(input).map(Some)
}

/// Changes an account.
///
/// # Errors
/// 404; 409 `username-taken`; 422 `invalid-request`, `invalid-phone`, `unsupported-phone`.
pub(super) async fn change(
    State(app): State<SharedApp>,
    Client(owner, _): Client,
    Path(id): Path<String>,
    Body(request): Body<AccountPatchRequest>,
) -> Result<Response, Problem> {
    let id = id.parse().map_err(|_| Problem::not_found())?;
    let patch = patch(&app, owner.client, id, request)?;
    match app.unbatched(owner.client, app.store.change_account(&patch, app.clock.now())).await? {
        AccountChanged::Done(account) => Ok(shown(&account)),
        other => Err(refusal(other)),
    }
}

fn patch(app: &App, client: Uuid, id: Uuid, request: AccountPatchRequest) -> Result<AccountPatch, Problem> {
    let mut fields = Fields::default();
    let username = fields.optional("username", request.username.as_deref(), str::parse::<Username>);
    let first_name = fields.optional("first_name", request.first_name.as_deref(), str::parse::<PersonName>);
    let last_name = fields.optional("last_name", request.last_name.as_deref(), str::parse::<PersonName>);
    let email = request.email.map(|email| fields.optional("email", email.as_deref(), str::parse::<Email>));
    let phone = request.phone.map(|phone| phone.and_then(|text| fields.phone(&text)));
    let groups = request.groups.map(|names| group_names(&mut fields, &names));
    fields.finish()?;
    phone.flatten().map_or(Ok(()), |phone: PhoneNumber| app.require_served(&phone))?;
    let is_active = request.is_active;
    Ok(AccountPatch { client, id, username, first_name, last_name, email, phone, groups, is_active })
}

pub(super) fn operation() -> Op {
    on_one(HttpMethod::Patch, "changeAccount")
        .says(
            "Change an account",
            "What is absent stays; null takes an e-mail address or a number away. Another number is not verified.",
        )
        .body::<AccountPatchRequest>(
            true,
            "What is to be otherwise.",
            vec![
                ("inactive", "Nobody signs in with it any more", json!({"is_active": false})),
                ("number", "Another number", json!({"phone": "9841234567"})),
            ],
        )
        .json::<AccountView<'_>>(
            StatusCode::OK,
            "The account, changed.",
            &[&NO_STORE],
            vec![("account", "An account", examples::account())],
        )
        .problems(&[Kind::UsernameTaken, Kind::InvalidPhone, Kind::UnsupportedPhone])
}
