//! `GET /v1/verifications/{id}`: the state of a verification.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hulak_common::time::Timestamp;
use hulak_common::verification::{Status, Verification};
use utoipa::openapi::path::{HttpMethod, ParameterIn};
use utoipa::openapi::{ObjectBuilder, Type};

use crate::app::SharedApp;
use crate::http::auth::Caller;
use crate::http::problem::{FieldError, Kind, Problem};
use crate::openapi::examples;
use crate::openapi::headers::{self, ETAG, NEXT_POLL, NO_STORE, parameter};
use crate::openapi::operation::Op;
use crate::verifications::describe::{ONE, on_one};
use crate::verifications::follow::Follower;
use crate::verifications::lookup::find;
use crate::verifications::view::{VerificationView, etag};

/// The longest wait, in seconds.
const MAX_WAIT: u64 = 30;

/// The verification, or 304 when the caller has this version already. With `?wait=S` and `If-None-Match` the answer
/// comes as soon as there is another version, or after S seconds.
///
/// # Errors
/// 404 when the caller has no such verification; 401 for a client token past its time; 422 `invalid-request`.
pub(super) async fn read(
    State(app): State<SharedApp>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wait = wait(query.as_deref().unwrap_or_default())?;
    let tags = Tags::new(&headers);
    drop((headers, query));
    // Boxed: otherwise the future of each way would have room for the other one too.
    let row = if wait.is_zero() || tags.none() {
        Box::pin(find(&app, &caller, &id, tags.newest())).await?
    } else {
        Box::pin(changed(&app, &caller, &id, &tags, wait)).await?
    };
    let now = app.clock.now();
    let tag = etag(&row, now);
    let mut response = if tags.hold(&tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Json(VerificationView::new(&row, &app.carriers, caller.is_token(), now)).into_response()
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

/// The verification once it is none of the states that the caller has, or as it is when the wait is over.
async fn changed(
    app: &SharedApp,
    caller: &Caller,
    id: &str,
    tags: &Tags,
    wait: Duration,
) -> Result<Arc<Verification>, Problem> {
    let mut over = pin!(tokio::time::sleep(wait));
    let mut follower = Follower::new(app, caller, id)?;
    let mut row = find(app, caller, id, tags.newest()).await?;
    while tags.hold(&etag(&row, app.clock.now())) {
        let next = tokio::select! { next = follower.next(&row) => next?, () = &mut over => None };
        match next {
            Some(next) => row = next,
            None => break,
        }
    }
    Ok(row)
}

/// The tags of `If-None-Match`. Copies: the headers themselves keep the buffer that the request came in, which a waiter
/// would keep in memory.
struct Tags(Vec<String>);

impl Tags {
    fn new(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        Self(values.flat_map(|value| value.split(',')).map(|tag| ours(tag.trim())).collect())
    }

    fn none(&self) -> bool {
        self.0.is_empty()
    }

    /// The latest version that the caller has seen, as far as its tags are ours.
    fn newest(&self) -> i64 {
        let version = |tag: &String| tag.trim_matches(['"', 'x']).parse().ok();
        self.0.iter().filter_map(version).max().unwrap_or_default()
    }

    fn hold(&self, tag: &str) -> bool {
        self.0.iter().any(|candidate| candidate == tag || candidate == "*")
    }
}

/// A tag as we wrote it: without the mark of weakness, and without what proxies that compress append to it (`"3-gzip"`,
/// `"3--br"`, `"3;gzip"`).
fn ours(tag: &str) -> String {
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let opaque = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    match opaque.and_then(|opaque| opaque.split(['-', ';']).next()) {
        Some(version) => format!("\"{version}\""),
        None => tag.to_owned(),
    }
}

/// `wait`, in seconds; zero when it is not asked for. Other parameters are ignored.
fn wait(query: &str) -> Result<Duration, Problem> {
    let mut given = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "wait");
    let Some((_, text)) = given.next() else { return Ok(Duration::ZERO) };
    let seconds = text.parse().ok().filter(|seconds| *seconds <= MAX_WAIT && given.next().is_none());
    seconds.map(Duration::from_secs).ok_or_else(|| {
        let detail = format!("must be given once, in whole seconds from 0 to {MAX_WAIT}");
        Problem::fields(Kind::InvalidRequest, vec![FieldError::new("wait", detail)])
    })
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

pub(super) fn operation() -> Op {
    let wait = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(0))
        .maximum(Some(MAX_WAIT))
        .default(Some(0.into()));
    on_one(HttpMethod::Get, ONE, "getVerification")
        .says(
            "Read a verification",
            "With `If-None-Match` a version that you have already is answered 304. With `wait` too, the answer comes as \
             soon as there is another version, or after so many seconds.",
        )
        .parameter(parameter(ParameterIn::Query, "wait", "Seconds to wait for another version.", wait, 20))
        .parameter(headers::if_none_match())
        .json::<VerificationView>(
            StatusCode::OK,
            "The verification.",
            &[&ETAG, &NO_STORE, &NEXT_POLL],
            vec![
                ("sent", "Its message has gone out", examples::sent()),
                ("refused", "The gateway refused its message", examples::refused()),
                ("masked", "As a client token sees it", examples::masked()),
            ],
        )
        .empty(StatusCode::NOT_MODIFIED, "You have this version.", &[&ETAG, &NO_STORE, &NEXT_POLL])
        .problems(&[Kind::InvalidRequest])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_with_our_version_in_it_is_our_version() {
        let tags = |line: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static(line));
            Tags::new(&headers)
        };
        for same in [
            "\"3\"",
            "W/\"3\"",
            "\"3-gzip\"",
            "W/\"3-gzip\"",
            "\"3--br\"",
            "\"3;gzip\"",
            "\"2\", \"3-gzip\"",
            "*",
        ] {
            assert!(tags(same).hold("\"3\""), "{same}");
        }
        for other in
            ["\"2-gzip\"", "\"33\"", "\"3x\"", "\"3x-gzip\"", "\"-3\"", "\"gzip-3\"", "\"\"", "3", "\"*\""]
        {
            assert!(!tags(other).hold("\"3\""), "{other}");
        }
        assert!(tags("\"3x-gzip\"").hold("\"3x\""));
        assert_eq!(tags("\"2\", W/\"7-gzip\", \"5x\", \"foreign\"").newest(), 7);
    }
}
