//! `GET /inbox/events`: new messages and changes, as server-sent events (WHATWG HTML, section 9.2).
//!
//! A call of the gateway only wakes the listeners. Each listener then reads the ledger at its own pace, so a slow listener
//! delays neither the gateway nor other listeners.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use hulak_common::sms;
use hulak_runtime::shutdown::Shutdown;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::faults::Faults;
use crate::ledger::{Message, Stats};
use crate::simulator::Sandbox;

/// Messages sent at a time; of more than that, the newest.
const AT_ONCE: usize = 200;
/// Between two reads of the ledger: under load one read has many messages.
const PAUSE: Duration = Duration::from_millis(50);
/// Between two keep-alive comments: proxies commonly close connections that are idle for 30 s or more.
const COMMENT: Duration = Duration::from_secs(15);

/// The id after which a listener continues, unless `Last-Event-ID` has one.
#[derive(Debug, Deserialize)]
pub(crate) struct Since {
    since: Option<u64>,
}

/// `message` for each message after the id that the listener gives, or from now on; `change` with the counters and the faults,
/// at once and whenever they change or messages are deleted.
pub(crate) async fn events(
    State(sandbox): State<Sandbox>,
    Query(Since { since }): Query<Since>,
    headers: HeaderMap,
) -> Response {
    let Ok(slot) = Arc::clone(&sandbox.0.listeners).try_acquire_owned() else {
        let body = json!({"type": "about:blank", "title": "Too many listeners", "status": 503});
        let headers = [(header::CONTENT_TYPE, "application/problem+json"), (header::RETRY_AFTER, "5")];
        return (StatusCode::SERVICE_UNAVAILABLE, headers, Json(body)).into_response();
    };
    // Subscribed before the first read, so that no later change is missed.
    let touched = sandbox.0.touched.subscribe();
    let asked = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok()).or(since);
    let newest = sandbox.ledger().newest_id();
    // An id from before a restart means nothing: all messages are new.
    let after = asked.map_or(newest, |asked| if asked > newest { 0 } else { asked });
    let shutdown = sandbox.0.shutdown.get().cloned().unwrap_or_default();
    let listener =
        Listener { sandbox, touched, after, seen: None, due: VecDeque::new(), shutdown, _slot: slot };
    let events = stream::unfold(listener, Listener::step);
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(COMMENT)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Without this header nginx buffers the events.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// A message with its cost.
#[derive(Serialize)]
struct MessageEvent<'a> {
    #[serde(flatten)]
    message: &'a Message,
    encoding: String,
    units: usize,
    parts: usize,
}

/// The data of a `change` event.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Changes {
    stats: Stats,
    faults: Faults,
    /// How often messages were deleted on demand.
    cleared: u64,
}

struct Listener {
    sandbox: Sandbox,
    touched: watch::Receiver<u64>,
    after: u64,
    seen: Option<Changes>,
    due: VecDeque<Event>,
    shutdown: Shutdown,
    _slot: OwnedSemaphorePermit,
}

impl Listener {
    async fn step(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.due.pop_front() {
                return Some((Ok(event), self));
            }
            self.read();
            if !self.due.is_empty() {
                continue;
            }
            tokio::select! {
                changed = self.touched.changed() => changed.ok()?,
                () = self.shutdown.begun() => return None,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn read(&mut self) {
        let (messages, changes) = {
            let faults = self.sandbox.faults();
            let ledger = self.sandbox.ledger();
            let changes = Changes { stats: ledger.stats(), faults, cleared: ledger.cleared() };
            (ledger.newest_after(self.after, AT_ONCE), changes)
        };
        for message in messages {
            self.after = message.id;
            let sms::Segments { encoding, units, parts } = sms::measure(&message.text);
            let data = MessageEvent { message: &message, encoding: encoding.to_string(), units, parts };
            let event = Event::default().event("message").id(message.id.to_string());
            // Text and numbers always serialize.
            self.due.extend(event.json_data(data).ok());
        }
        if self.seen.as_ref() != Some(&changes) {
            self.due.extend(Event::default().event("change").json_data(&changes).ok());
            self.seen = Some(changes);
        }
    }
}
