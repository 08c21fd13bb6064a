//! `/v1/accounts`: who may sign in.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hulak_common::account::{Account, Email, GroupName, MAX_GROUPS, Permission, PersonName, Username};
use hulak_common::phone::PhoneNumber;
use hulak_common::time::Timestamp;
use hulak_store::{AccountChanged, AccountList, AccountPatch, NewAccount};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::list::{Paging, page};
use crate::auth::{Caller, Client};
use crate::body::{Body, OnceBody};
use crate::idempotency::{self, Kept};
use crate::openapi::schemas;
use crate::problem::{FieldError, Kind, Problem};
use crate::state::{App, SharedApp};
use crate::validation::{Fields, serve};

/// The body of a new account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewAccount)]
pub struct NewAccountRequest {
    /// Unique within the client, without regard to case.
    #[schema(value_type = schemas::Username)]
    username: String,
    /// May be empty.
    #[schema(value_type = Option<schemas::Name>)]
    first_name: Option<String>,
    /// May be empty.
    #[schema(value_type = Option<schemas::Name>)]
    last_name: Option<String>,
    /// Not verified.
    #[schema(value_type = Option<schemas::EmailAddress>)]
    email: Option<String>,
    /// Not verified.
    #[schema(value_type = Option<schemas::TypedPhone>)]
    phone: Option<String>,
    /// Names of groups that there are.
    #[schema(value_type = Option<Vec<schemas::GroupName>>, max_items = 50)]
    groups: Option<Vec<String>>,
}

/// The body of a change: what is absent stays; null takes an e-mail address or a number away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccountPatch)]
pub struct AccountPatchRequest {
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

/// An account, as callers see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
pub struct AccountView<'a> {
    /// A version 7 UUID.
    id: Uuid,
    /// As it was written, normalised.
    #[schema(min_length = 1, max_length = 150)]
    username: &'a str,
    /// May be empty.
    #[schema(value_type = schemas::Name)]
    first_name: &'a str,
    /// May be empty.
    #[schema(value_type = schemas::Name)]
    last_name: &'a str,
    /// Not verified by us.
    #[schema(value_type = Option<schemas::EmailAddress>, required)]
    email: Option<&'a str>,
    /// Verified when `phone_verified`.
    #[schema(value_type = Option<schemas::ShownPhone>, required)]
    phone: Option<String>,
    /// Whether an approval proved the number to be this account's.
    phone_verified: bool,
    /// The names of its groups, sorted.
    #[schema(value_type = Vec<schemas::GroupName>)]
    groups: Vec<&'a str>,
    /// What its groups allow, sorted.
    #[schema(value_type = Vec<schemas::Permission>)]
    permissions: Vec<&'a str>,
    /// Whether it may sign in.
    is_active: bool,
    /// When it was made.
    #[schema(value_type = schemas::Moment)]
    created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = schemas::Moment)]
    updated_at: Timestamp,
    /// When it last signed in.
    #[schema(value_type = Option<schemas::Moment>, required)]
    last_login_at: Option<Timestamp>,
}

impl<'a> AccountView<'a> {
    /// As it stands.
    #[must_use]
    pub fn new(account: &'a Account) -> Self {
        Self {
            id: account.id,
            username: account.username.as_str(),
            first_name: account.first_name.as_str(),
            last_name: account.last_name.as_str(),
            email: account.email.as_ref().map(Email::as_str),
            phone: account.phone.map(|phone| phone.to_string()),
            phone_verified: account.phone_verified,
            groups: account.groups.iter().map(GroupName::as_str).collect(),
            permissions: account.permissions.iter().map(Permission::as_str).collect(),
            is_active: account.is_active,
            created_at: account.created_at,
            updated_at: account.updated_at,
            last_login_at: account.last_login_at,
        }
    }
}

/// Makes an account. Its number is not verified: only an approval does that.
///
/// # Errors
/// 409 `username-taken`; 422 `invalid-request`, `invalid-phone`, `unsupported-phone`.
pub async fn create(
    State(app): State<SharedApp>,
    client: Client,
    OnceBody(request, key): OnceBody<NewAccountRequest>,
) -> Result<Response, Problem> {
    let new = parse(&app, client.0.client, &request)?;
    let (remember, _place) = app.once.enter(key, &Caller::Client(client), keep)?;
    let (client, new) = (new.client, NewAccount { remember, ..new });
    match app.unbatched(client, app.store.create_account(&new, app.clock.now())).await? {
        AccountChanged::Done(account) => Ok(located(created(&account), account.id)),
        AccountChanged::Answered(text) => {
            let kept = Kept::<idempotency::Object>::read(&text)?;
            let id = kept.body.get("id").and_then(|id| id.as_str()?.parse().ok()).unwrap_or_default();
            Ok(located(kept.answer(), id))
        }
        other => Err(refusal(other)),
    }
}

fn keep(changed: &AccountChanged, _now: Timestamp) -> Option<String> {
    let AccountChanged::Done(account) = changed else { return None };
    Kept::write(StatusCode::CREATED, String::new(), idempotency::object(&AccountView::new(account)))
}

fn created(account: &Account) -> Response {
    (StatusCode::CREATED, NO_STORE, Json(AccountView::new(account))).into_response()
}

fn located(mut response: Response, id: Uuid) -> Response {
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/accounts/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

const NO_STORE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

fn refusal(changed: AccountChanged) -> Problem {
    match changed {
        AccountChanged::UsernameTaken => {
            Problem::new(Kind::UsernameTaken, "another account has this username, in this or another case")
        }
        AccountChanged::UnknownGroups(names) => {
            let errors =
                names.iter().map(|name| FieldError::new("groups", format!("there is no group `{name}`")));
            Problem::fields(Kind::InvalidRequest, errors.collect())
        }
        AccountChanged::KeyReused => idempotency::reused(),
        AccountChanged::NotFound | AccountChanged::Done(_) | AccountChanged::Answered(_) => {
            Problem::not_found()
        }
    }
}

fn parse(app: &App, client: Uuid, request: &NewAccountRequest) -> Result<NewAccount, Problem> {
    let mut fields = Fields::default();
    let username = fields.take("username", request.username.parse::<Username>());
    let first_name = fields.optional("first_name", request.first_name.as_deref(), str::parse::<PersonName>);
    let last_name = fields.optional("last_name", request.last_name.as_deref(), str::parse::<PersonName>);
    let email = fields.optional("email", request.email.as_deref(), str::parse::<Email>);
    let phone = request.phone.as_deref().and_then(|text| fields.phone(text));
    let groups = group_names(&mut fields, request.groups.as_deref().unwrap_or_default());
    fields.finish()?;
    phone.map_or(Ok(()), |phone| serve(app, &phone))?;
    // Without one there was an error, which `finish` has told.
    let username = username.ok_or_else(|| Problem::fields(Kind::InvalidRequest, Vec::new()))?;
    Ok(NewAccount {
        id: app.rng.uuid_v7(app.clock.now()),
        client,
        username,
        first_name: first_name.unwrap_or_default(),
        last_name: last_name.unwrap_or_default(),
        email,
        phone,
        groups,
        remember: None,
    })
}

fn group_names(fields: &mut Fields, names: &[String]) -> Vec<GroupName> {
    if names.len() > MAX_GROUPS {
        fields.wrong("groups", format!("must be at most {MAX_GROUPS}"));
        return Vec::new();
    }
    let parse = |name: &String| fields.take("groups", name.parse::<GroupName>());
    let mut names: Vec<_> = names.iter().filter_map(parse).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Changes an account.
///
/// # Errors
/// 404; 409 `username-taken`; 422 `invalid-request`, `invalid-phone`, `unsupported-phone`.
pub async fn change(
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
    phone.flatten().map_or(Ok(()), |phone: PhoneNumber| serve(app, &phone))?;
    let is_active = request.is_active;
    Ok(AccountPatch { client, id, username, first_name, last_name, email, phone, groups, is_active })
}

fn shown(account: &Account) -> Response {
    (NO_STORE, Json(AccountView::new(account))).into_response()
}

/// An account.
///
/// # Errors
/// 404.
pub async fn read(
    State(app): State<SharedApp>,
    Client(owner, _): Client,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = id.parse().map_err(|_| Problem::not_found())?;
    app.require_store()?;
    let found = app.account(owner.client, id).await.map_err(|error| app.refuse(&error))?;
    found.as_ref().map(shown).ok_or_else(Problem::not_found)
}

/// Deletes an account. What was verified for it stays verified for the number.
///
/// # Errors
/// 404.
pub async fn delete(
    State(app): State<SharedApp>,
    Client(owner, _): Client,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = id.parse().map_err(|_| Problem::not_found())?;
    let deleted = app.unbatched(owner.client, app.store.delete_account(owner.client, id)).await?;
    if deleted { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found()) }
}

/// Accounts, newest first, all or with one username or number.
///
/// # Errors
/// 422 `invalid-request`, `invalid-phone`.
pub async fn list(
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
