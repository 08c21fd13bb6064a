//! `GET /v1/verifications/{id}`: where a verification stands.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hulak_common::time::Timestamp;
use hulak_common::verification::{Status, Verification};

use crate::auth::Caller;
use crate::problem::Problem;
use crate::resource::VerificationView;
use crate::state::{App, SharedApp};

/// How long after its end a client token still reads a verification.
const TOKEN_GRACE: Duration = Duration::from_secs(600);

/// The verification, or 304 when the caller has this version already.
///
/// # Errors
/// 404 when the caller has no such verification; 401 for a client token past its time.
pub async fn read(
    State(app): State<SharedApp>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = find(&app, &caller, &id).await?;
    let now = app.clock.now();
    let tag = etag(&row, now);
    let fresh = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|candidate| candidate.trim().trim_start_matches("W/") == tag || candidate.trim() == "*");
    let mut response = if fresh {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Json(VerificationView::new(&row, &app.operators, caller.is_token(), now)).into_response()
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if row.status_at(now) == Status::Pending {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(next_poll(&row, now)));
    }
    Ok(response)
}

/// The caller's verification with this id.
pub(super) async fn find(app: &App, caller: &Caller, id: &str) -> Result<Verification, Problem> {
    let id = id.parse().map_err(|_| Problem::not_found())?;
    let row = app.verification(caller.client_for(id)?, id).await?;
    let end = row.ended_at.unwrap_or(row.expires_at);
    if caller.is_token() && app.clock.now() > end + TOKEN_GRACE {
        return Err(Problem::unauthorized("this client token has ended with its verification"));
    }
    Ok(row)
}

/// The version, marked while the row still says pending but its time is over: that is another answer than before.
pub(super) fn etag(row: &Verification, now: Timestamp) -> String {
    let overdue = if row.status_at(now) == row.status { "" } else { "x" };
    format!("\"{}{overdue}\"", row.version)
}

/// Seconds until the next look makes sense: often while the message goes out, seldom while a person types.
fn next_poll(row: &Verification, now: Timestamp) -> u64 {
    match (now - row.updated_at).as_secs() {
        0..5 => 1,
        5..30 => 2,
        30..120 => 5,
        _ => 10,
    }
}
