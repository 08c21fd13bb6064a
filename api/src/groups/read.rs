//! `GET /v1/groups`, `GET /v1/groups/{name}` and `DELETE /v1/groups/{name}`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hulak_common::account::{Group, Permission};
use hulak_common::time::Timestamp;
use hulak_store::GroupRef;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::path::HttpMethod;

use crate::app::SharedApp;
use crate::groups::describe::{GROUPS, on_group, op};
use crate::http::auth::Client;
use crate::http::problem::Problem;
use crate::openapi::operation::Op;
use crate::openapi::{examples, headers, schemas};

/// A group, as callers see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Group)]
pub(super) struct GroupView<'a> {
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
    /// As it is now.
    pub(super) fn new(group: &'a Group) -> Self {
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
struct Groups<'a> {
    /// By name.
    data: Vec<GroupView<'a>>,
    /// Always null.
    #[schema(required)]
    next_cursor: Option<String>,
}

pub(super) const NO_STORE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// All groups, by name.
///
/// # Errors
/// None of its own.
pub(super) async fn list(
    State(app): State<SharedApp>,
    Client(owner, _): Client,
) -> Result<Response, Problem> {
    let groups = app.unbatched(owner.client, app.store.groups(owner.client)).await?;
    let data = groups.iter().map(GroupView::new).collect();
    Ok((NO_STORE, Json(Groups { data, next_cursor: None })).into_response())
}

/// A group.
///
/// # Errors
/// 404.
pub(super) async fn read(
    State(app): State<SharedApp>,
    Client(owner, _): Client,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let groups = app.unbatched(owner.client, app.store.groups(owner.client)).await?;
    let found = groups.iter().find(|group| group.name.as_str() == name).ok_or_else(Problem::not_found)?;
    Ok((NO_STORE, Json(GroupView::new(found))).into_response())
}

/// Deletes a group; its accounts lose what it allowed.
///
/// # Errors
/// 404.
pub(super) async fn delete(
    State(app): State<SharedApp>,
    Client(owner, _): Client,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let name = name.parse().map_err(|_| Problem::not_found())?;
    let group = GroupRef { client: owner.client, name };
    let deleted = app.unbatched(owner.client, app.store.delete_group(&group)).await?;
    if deleted { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found()) }
}

pub(super) fn operations() -> [Op; 3] {
    [describe_list(), describe_read(), describe_delete()]
}

fn describe_list() -> Op {
    op(HttpMethod::Get, GROUPS, "listGroups")
        .says("List groups", "All groups of the client, by name, on one page.")
        .json::<Groups<'_>>(
            StatusCode::OK,
            "All of them.",
            &[&headers::NO_STORE],
            vec![("groups", "One group", json!({"data": [examples::group()], "next_cursor": null}))],
        )
}

fn describe_read() -> Op {
    on_group(HttpMethod::Get, "getGroup")
        .says("Read a group", "Its name, and what it allows.")
        .json::<GroupView<'_>>(
            StatusCode::OK,
            "The group.",
            &[&headers::NO_STORE],
            vec![("group", "A group", examples::group())],
        )
}

fn describe_delete() -> Op {
    on_group(HttpMethod::Delete, "deleteGroup")
        .says("Delete a group", "Its accounts lose what it allowed.")
        .empty(StatusCode::NO_CONTENT, "It is gone.", &[])
}
