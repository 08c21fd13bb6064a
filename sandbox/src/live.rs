//! `GET /inbox/events`: what happens here, as server-sent events (WHATWG HTML, section 9.2).
//!
//! Nobody is sent anything: a call of the gateway only says that something has changed, and only when somebody
//! listens. Each listener then looks for itself, at its own pace, so that a slow one holds up nobody.

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

use crate::Sandbox;
use crate::faults::Faults;
use crate::ledger::{Message, Stats};

/// How many may listen at once.
pub(crate) const LISTENERS: usize = 64;
/// Messages told of at a time; of more than that, the newest.
const AT_ONCE: usize = 200;
/// Between two looks: under load one look tells of many messages.
const PAUSE: Duration = Duration::from_millis(50);
/// Between two comments: proxies commonly close what is silent for 30 s or more.
const COMMENT: Duration = Duration::from_secs(15);

/// Where a listener goes on, when it does not say so by `Last-Event-ID`.
#[derive(Debug, Deserialize)]
pub(crate) struct Since {
    since: Option<u64>,
}

/// `message` for each message taken after the one whose id the listener names, or from now on; `change` with the figures
/// and the faults, at once and whenever they change or messages are forgotten.
pub(crate) async fn events(
    State(sandbox): State<Sandbox>,
    Query(Since { since }): Query<Since>,
    headers: HeaderMap,
) -> Response {
    let Ok(place) = Arc::clone(&sandbox.0.listeners).try_acquire_owned() else {
        let body = json!({"type": "about:blank", "title": "Too many listen already", "status": 503});
        let headers = [(header::CONTENT_TYPE, "application/problem+json"), (header::RETRY_AFTER, "5")];
        return (StatusCode::SERVICE_UNAVAILABLE, headers, Json(body)).into_response();
    };
    // Before the first look: what happens from here on wakes it.
    let touched = sandbox.0.touched.subscribe();
    let asked = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok()).or(since);
    let newest = sandbox.ledger().newest_id();
    // A number from before a restart says nothing: all that is here is new.
    let after = asked.map_or(newest, |asked| if asked > newest { 0 } else { asked });
    let shutdown = sandbox.0.shutdown.get().cloned().unwrap_or_default();
    let listener =
        Listener { sandbox, touched, after, seen: None, due: VecDeque::new(), shutdown, _place: place };
    let events = stream::unfold(listener, Listener::step);
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(COMMENT)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would collect events before it passes them on.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// A message as its listeners see it: with what it costs.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    message: &'a Message,
    encoding: String,
    units: usize,
    parts: usize,
}

/// All that may change besides the messages.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Changes {
    stats: Stats,
    faults: Faults,
    /// How often messages were forgotten on demand.
    cleared: u64,
}

struct Listener {
    sandbox: Sandbox,
    touched: watch::Receiver<u64>,
    after: u64,
    seen: Option<Changes>,
    due: VecDeque<Event>,
    shutdown: Shutdown,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    async fn step(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.due.pop_front() {
                return Some((Ok(event), self));
            }
            self.look();
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

    fn look(&mut self) {
        let (messages, changes) = {
            let faults = self.sandbox.faults();
            let ledger = self.sandbox.ledger();
            let changes = Changes { stats: ledger.stats(), faults, cleared: ledger.cleared() };
            (ledger.newest_after(self.after, AT_ONCE), changes)
        };
        for message in messages {
            self.after = message.id;
            let sms::Segments { encoding, units, parts } = sms::measure(&message.text);
            let told = Told { message: &message, encoding: encoding.to_string(), units, parts };
            let event = Event::default().event("message").id(message.id.to_string());
            // Text and numbers: writing them as JSON does not fail.
            self.due.extend(event.json_data(told).ok());
        }
        if self.seen.as_ref() != Some(&changes) {
            self.due.extend(Event::default().event("change").json_data(&changes).ok());
            self.seen = Some(changes);
        }
    }
}
