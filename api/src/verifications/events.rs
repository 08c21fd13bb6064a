//! `GET /v1/verifications/{id}/events`: a verification as a stream of server-sent events (WHATWG HTML, section 9.2).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use hulak_common::verification::{Status, Verification};
use serde_json::json;
use utoipa::openapi::path::{HttpMethod, ParameterIn};
use utoipa::openapi::{ContentBuilder, ObjectBuilder};

use crate::app::SharedApp;
use crate::http::auth::Caller;
use crate::http::problem::{Kind, Problem};
use crate::openapi::elements::reference;
use crate::openapi::elements::text;
use crate::openapi::examples;
use crate::openapi::headers::{NO_STORE, parameter};
use crate::openapi::operation::Op;
use crate::verifications::describe::on_one;
use crate::verifications::follow::Follower;
use crate::verifications::lookup::find;
use crate::verifications::view::VerificationView;

/// Between two comments: proxies commonly close what is silent for 30 s or more.
const COMMENT: Duration = Duration::from_secs(15);
/// Before another look while the database is away.
const AWAY: Duration = Duration::from_secs(2);

/// The verification at once, then at every change, each with its version as `id`. The stream ends after a final state.
/// A reader that comes back with `Last-Event-ID` of a final state gets 204, which tells browsers not to come again.
///
/// # Errors
/// 404 when the caller has no such verification; 401 for a client token past its time.
pub(super) async fn events(
    State(app): State<SharedApp>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let follower = Follower::new(&app, &caller, &id)?;
    let row = find(&app, &caller, &id, seen(&headers).unwrap_or_default()).await?;
    // What is past its time but not written down as such has the version of the pending row: its reader has not seen the end.
    if row.status != Status::Pending && seen(&headers) == Some(row.version) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let reader = Reader { app, masked: caller.is_token(), follower, next: Next::Show(row) };
    let events = stream::unfold(reader, |reader| Box::pin(reader.step()));
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(COMMENT)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would collect events before it passes them on.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn seen(headers: &HeaderMap) -> Option<i64> {
    headers.get("last-event-id")?.to_str().ok()?.parse().ok()
}

fn is_final(app: &SharedApp, row: &Verification) -> bool {
    row.status_at(app.clock.now()) != Status::Pending
}

/// A reader of the stream.
struct Reader {
    app: SharedApp,
    masked: bool,
    follower: Follower,
    next: Next,
}

/// What comes next in a stream.
enum Next {
    /// This state, unseen so far.
    Show(Arc<Verification>),
    /// What follows this state.
    After(Arc<Verification>),
    /// Nothing.
    End,
}

impl Reader {
    async fn step(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let row = match std::mem::replace(&mut self.next, Next::End) {
            Next::Show(row) => row,
            Next::After(row) => self.follow(&row).await?,
            Next::End => return None,
        };
        let view = VerificationView::new(&row, &self.app.carriers, self.masked, self.app.clock.now());
        let event = Event::default().id(row.version.to_string()).json_data(view).ok()?;
        if !is_final(&self.app, &row) {
            self.next = Next::After(row);
        }
        Some((Ok(event), self))
    }

    /// Waits out an absent database: a reader that was sent away would only come back.
    async fn follow(&mut self, row: &Verification) -> Option<Arc<Verification>> {
        let app = Arc::clone(&self.app);
        loop {
            match self.follower.next(row).await {
                Ok(next) => return next,
                Err(problem) if problem.kind() == Kind::Unavailable => tokio::select! {
                    () = tokio::time::sleep(AWAY) => {}
                    () = app.shutdown.begun() => return None,
                },
                Err(_) => return None,
            }
        }
    }
}

pub(super) fn operation() -> Op {
    // OpenAPI 3.1 has no words for a stream; tools read the schema as that of one event.
    let data = text()
        .content_media_type("application/json")
        .content_schema(Some(reference("Verification")))
        .description(Some("The verification, as JSON."));
    let event = ObjectBuilder::new()
        .description(Some("One event."))
        .property("id", text().pattern(Some("^[0-9]+$")).description(Some("The version.")))
        .property("data", data)
        .required("id")
        .required("data");
    let event_example = json!({"id": "3", "data": examples::sent().to_string()});
    let stream = ContentBuilder::new().schema(Some(event)).example(Some(event_example)).build();
    on_one(HttpMethod::Get, "/v1/verifications/{id}/events", "followVerification")
        .says(
            "Follow a verification",
            "A stream of server-sent events: the verification at once, then at every change, each as JSON with its \
             version as `id`; a comment every 15 s. It ends after a final state.",
        )
        .parameter(parameter(
            ParameterIn::Header,
            "Last-Event-ID",
            "The last version that you have seen, as browsers send it.",
            text(),
            "3",
        ))
        .content_of(StatusCode::OK, "The stream.", &[&NO_STORE], "text/event-stream", stream)
        .empty(StatusCode::NO_CONTENT, "You have seen its final state: do not come again.", &[])
}
