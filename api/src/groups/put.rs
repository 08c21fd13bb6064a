//! `POST /v1/groups`: a new group, or what a group allows from now on.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hulak_common::account::{GroupName, MAX_CLIENT_GROUPS, MAX_PERMISSIONS, Permission};
use hulak_common::time::Timestamp;
use hulak_store::{GroupPut, PutGroup};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::path::HttpMethod;

use crate::app::SharedApp;
use crate::groups::describe::{GROUPS, op};
use crate::groups::read::{GroupView, NO_STORE as UNKEPT};
use crate::http::auth::{Caller, Client};
use crate::http::body::OnceBody;
use crate::http::idempotency::{self, Kept};
use crate::http::problem::{FieldError, Kind, Problem};
use crate::http::validation::Fields;
use crate::openapi::headers::NO_STORE;
use crate::openapi::operation::Op;
use crate::openapi::{examples, schemas};

/// The body of a group.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewGroup)]
pub(super) struct GroupRequest {
    /// Unique within the client.
    #[schema(value_type = schemas::GroupName)]
    name: String,
    /// All that it allows; none when absent.
    #[schema(value_type = Option<Vec<schemas::Permission>>, max_items = 200)]
    permissions: Option<Vec<String>>,
}

/// Names a group (201), or gives the one of this name these permissions in place of its own (200).
///
/// # Errors
/// 422 `invalid-request`.
pub(super) async fn put(
    State(app): State<SharedApp>,
    client: Client,
    OnceBody(request, key): OnceBody<GroupRequest>,
) -> Result<Response, Problem> {
    let (name, permissions) = parse(&request)?;
    let owner = client.0.client;
    let (remember, _in_flight) = app.once.enter(key, &Caller::Client(client), keep)?;
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
    Ok((status, UNKEPT, Json(GroupView::new(group))).into_response())
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

pub(super) fn operation() -> Op {
    let staff = json!({"name": "staff", "permissions": ["orders.view", "orders.refund"]});
    op(HttpMethod::Post, GROUPS, "putGroup")
        .says(
            "Make a group, or replace what it allows",
            "Permissions are words of your application's own. A group of this name gets these in place of its own.",
        )
        .once()
        .body::<GroupRequest>(true, "Its name, and what it allows.", vec![("staff", "A group", staff)])
        .json::<GroupView<'_>>(
            StatusCode::CREATED,
            "The new group.",
            &[&NO_STORE],
            vec![("group", "A group", examples::group())],
        )
        .json::<GroupView<'_>>(
            StatusCode::OK,
            "The group of this name, which allows this from now on.",
            &[&NO_STORE],
            vec![("group", "A group", examples::group())],
        )
}
