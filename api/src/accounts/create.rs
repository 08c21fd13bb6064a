//! `POST /v1/accounts`: a new account.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hulak_common::account::{Account, Email, PersonName, Username};
use hulak_common::time::Timestamp;
use hulak_store::{AccountChanged, NewAccount};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::path::HttpMethod;
use uuid::Uuid;

use crate::accounts::describe::{ALL, op};
use crate::accounts::fields::{group_names, refusal};
use crate::accounts::view::{AccountView, NO_STORE as UNKEPT};
use crate::app::{App, SharedApp};
use crate::http::auth::{Caller, Client};
use crate::http::body::OnceBody;
use crate::http::idempotency::{self, Kept};
use crate::http::problem::{Kind, Problem};
use crate::http::validation::Fields;
use crate::openapi::headers::{LOCATION_OF_ACCOUNT, NO_STORE};
use crate::openapi::operation::Op;
use crate::openapi::{examples, schemas};

/// The body of a new account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewAccount)]
pub(super) struct NewAccountRequest {
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

/// Makes an account. Its number is not verified: only an approval does that.
///
/// # Errors
/// 409 `username-taken`; 422 `invalid-request`, `invalid-phone`, `unsupported-phone`.
pub(super) async fn create(
    State(app): State<SharedApp>,
    client: Client,
    OnceBody(request, key): OnceBody<NewAccountRequest>,
) -> Result<Response, Problem> {
    let new = parse(&app, client.0.client, &request)?;
    let (remember, _in_flight) = app.once.enter(key, &Caller::Client(client), keep)?;
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
    (StatusCode::CREATED, UNKEPT, Json(AccountView::new(account))).into_response()
}

fn located(mut response: Response, id: Uuid) -> Response {
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/accounts/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
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
    phone.map_or(Ok(()), |phone| app.require_served(&phone))?;
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

pub(super) fn operation() -> Op {
    let full = json!({
        "username": "sita", "first_name": "Sita", "last_name": "Devi", "email": "sita@example.com",
        "phone": examples::TYPED, "groups": ["staff"]
    });
    op(HttpMethod::Post, ALL, "createAccount")
        .says(
            "Make an account",
            "Usernames are unique within the client, without regard to case. The number is not verified: only an approved \
             verification with this `account_id` does that.",
        )
        .once()
        .body::<NewAccountRequest>(
            true,
            "Who it is.",
            vec![
                ("minimal", "A username alone", json!({"username": "sita"})),
                ("full", "Everything there is", full),
            ],
        )
        .json::<AccountView<'_>>(
            StatusCode::CREATED,
            "The account.",
            &[&LOCATION_OF_ACCOUNT, &NO_STORE],
            vec![("account", "An account", examples::account())],
        )
        .problems(&[Kind::UsernameTaken, Kind::InvalidPhone, Kind::UnsupportedPhone])
}
