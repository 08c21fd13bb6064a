//! `/v1/groups`: what accounts are allowed.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hulak_common::account::{Group, GroupName, MAX_CLIENT_GROUPS, MAX_PERMISSIONS, Permission};
use hulak_common::time::Timestamp;
use hulak_store::{GroupPut, GroupRef, PutGroup};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::{Caller, Client};
use crate::body::OnceBody;
use crate::idempotency::{self, Kept};
use crate::openapi::schemas;
use crate::problem::{FieldError, Kind, Problem};
use crate::state::SharedApp;
use crate::validation::Fields;

/// The body of a group.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewGroup)]
pub struct GroupRequest {
    /// Unique within the client.
    #[schema(value_type = schemas::GroupName)]
    name: String,
    /// All that it allows; none when absent.
    #[schema(value_type = Option<Vec<schemas::Permission>>, max_items = 200)]
    permissions: Option<Vec<String>>,
}

/// A group, as callers see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Group)]
pub struct GroupView<'a> {
    /// Unique within the client.
    #[schema(value_type = schemas::GroupName)]
    name: &'a str,
    /// Sorted.
    #[schema(value_type = Vec<schemas::Permission>)]
    permissions: Vec<&'a str>,
    /// When it was made.
    #[schema(value_type = schemas::Moment)]
    created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = schemas::Moment)]
    updated_at: Timestamp,
}

impl<'a> GroupView<'a> {
    /// As it stands.
    #[must_use]
    pub fn new(group: &'a Group) -> Self {
        Self {
            name: group.name.as_str(),
            permissions: group.permissions.iter().map(Permission::as_str).collect(),
            created_at: group.created_at,
            updated_at: group.updated_at,
        }
    }
}

/// All groups of a client. There are few enough for one page; the shape is that of the other lists.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Groups<'a> {
    /// By name.
    data: Vec<GroupView<'a>>,
    /// Always null.
    #[schema(required)]
    next_cursor: Option<String>,
}

const NO_STORE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// Names a group (201), or gives the one of this name these permissions in place of its own (200).
///
/// # Errors
/// 422 `invalid-request`.
pub async fn put(
    State(app): State<SharedApp>,
    client: Client,
    OnceBody(request, key): OnceBody<GroupRequest>,
) -> Result<Response, Problem> {
    let (name, permissions) = parse(&request)?;
    let owner = client.0.client;
    let (remember, _place) = app.once.enter(key, &Caller::Client(client), keep)?;
    let now = app.clock.now();
    let put = PutGroup { id: app.rng.uuid_v7(now), client: owner, name, permissions, remember };
    let answer = app.unbatched(owner, app.store.put_group(&put, now)).await?;
    let (status, group) = match &answer {
        GroupPut::Made(group) => (StatusCode::CREATED, group),
        GroupPut::Replaced(group) => (StatusCode::OK, group),
        GroupPut::TooMany => {
            let detail = format!("there are {MAX_CLIENT_GROUPS} groups already, as many as there may be");
            return Err(Problem::fields(Kind::InvalidRequest, vec![FieldError::new("name", detail)]));
        }
        GroupPut::Answered(text) => return Ok(Kept::<idempotency::Object>::read(text)?.answer()),
        GroupPut::KeyReused => return Err(idempotency::reused()),
    };
    Ok((status, NO_STORE, Json(GroupView::new(group))).into_response())
}

fn keep(put: &GroupPut, _now: Timestamp) -> Option<String> {
    let (status, group) = match put {
        GroupPut::Made(group) => (StatusCode::CREATED, group),
        GroupPut::Replaced(group) => (StatusCode::OK, group),
        _ => return None,
    };
    Kept::write(status, String::new(), idempotency::object(&GroupView::new(group)))
}

fn parse(request: &GroupRequest) -> Result<(GroupName, Vec<Permission>), Problem> {
    let mut fields = Fields::default();
    let name = fields.take("name", request.name.parse::<GroupName>());
    let given = request.permissions.as_deref().unwrap_or_default();
    if given.len() > MAX_PERMISSIONS {
        fields.wrong("permissions", format!("must be at most {MAX_PERMISSIONS}"));
    }
    let read = |text: &String| fields.take("permissions", text.parse::<Permission>());
    let mut permissions: Vec<_> = given.iter().take(MAX_PERMISSIONS).filter_map(read).collect();
    permissions.sort_unstable();
    permissions.dedup();
    fields.finish()?;
    // Without one there was an error, which `finish` has told.
    let name = name.ok_or_else(|| Problem::fields(Kind::InvalidRequest, Vec::new()))?;
    Ok((name, permissions))
}

/// All groups, by name.
///
/// # Errors
/// None of its own.
pub async fn list(State(app): State<SharedApp>, Client(owner, _): Client) -> Result<Response, Problem> {
    let groups = app.unbatched(owner.client, app.store.groups(owner.client)).await?;
    let data = groups.iter().map(GroupView::new).collect();
    Ok((NO_STORE, Json(Groups { data, next_cursor: None })).into_response())
}

/// A group.
///
/// # Errors
/// 404.
pub async fn read(
    State(app): State<SharedApp>,
    Client(owner, _): Client,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let groups = app.unbatched(owner.client, app.store.groups(owner.client)).await?;
    let found = groups.iter().find(|group| group.name.as_str() == name).ok_or_else(Problem::not_found)?;
    let mut response = Json(GroupView::new(found)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Deletes a group; its accounts lose what it allowed.
///
/// # Errors
/// 404.
pub async fn delete(
    State(app): State<SharedApp>,
    Client(owner, _): Client,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let name = name.parse().map_err(|_| Problem::not_found())?;
    let group = GroupRef { client: owner.client, name };
    let deleted = app.unbatched(owner.client, app.store.delete_group(&group)).await?;
    if deleted { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found()) }
}
