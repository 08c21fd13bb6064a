//! Everything beside the gateway's own paths: the inbox, the faults and the counters.

use std::collections::HashMap;

use axum::extract::{Path, Query, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use hulak_runtime::html;
use serde::Serialize;
use serde_json::{Value, json};

use crate::faults::{Change, Faults, InvalidFault};
use crate::fields::read_body;
use crate::ledger::{Message, last_ten_digits};
use crate::page::Inbox;
use crate::simulator::Sandbox;
use crate::{host_guard, live, page};

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

pub(crate) fn routes(sandbox: Sandbox) -> Router {
    Router::new()
        .route("/", get(|| async { Redirect::to("/inbox") }))
        .route("/readyz", get(|| async { "ready\n" }))
        .route("/inbox", get(inbox_page))
        .route("/inbox/events", get(live::events))
        .route("/assets/{file}", get(asset))
        .route("/inbox.json", get(inbox).delete(clear_inbox))
        .route("/faults", get(faults).put(put_faults))
        .route("/stats.json", get(|State(sandbox): State<Sandbox>| async move { Json(sandbox.stats()) }))
        .route("/log.json", get(log))
        .layer(middleware::from_fn_with_state(sandbox.clone(), host_guard::guard))
        .layer(middleware::from_fn(protect))
        .with_state(sandbox)
}

/// The headers every page carries.
async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    html::protect(response.headers_mut());
    response
}

async fn asset(Path(name): Path<String>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let asset = html::find(&name, &page::FILES);
    asset.map_or_else(
        || StatusCode::NOT_FOUND.into_response(),
        |asset| asset.answer(query.as_deref(), &headers).into_response(),
    )
}

/// A query's parameters by name; unknown ones are ignored.
type Parameters = Query<HashMap<String, String>>;

/// A problem with a request, as in RFC 9457.
struct Problem {
    status: StatusCode,
    title: &'static str,
    invalid: Option<InvalidFault>,
}

impl Problem {
    fn field(field: &str, detail: &str) -> Self {
        InvalidFault { field: field.to_owned(), detail: detail.to_owned() }.into()
    }
}

impl From<InvalidFault> for Problem {
    fn from(invalid: InvalidFault) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, title: "Invalid field", invalid: Some(invalid) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({"type": "about:blank", "title": self.title, "status": self.status.as_u16()});
        if let Some(invalid) = self.invalid {
            body["detail"] = invalid.to_string().into();
            body["errors"] = json!([{"field": invalid.field, "detail": invalid.detail}]);
        }
        let media_type = [(header::CONTENT_TYPE, "application/problem+json")];
        (self.status, media_type, body.to_string()).into_response()
    }
}

/// The number of the query, if any. An invalid one is refused: if it were ignored, a `DELETE` would delete every message.
fn receiver(parameters: &Parameters) -> Result<Option<String>, Problem> {
    match parameters.get("to").map(|to| to.trim()) {
        None | Some("") => Ok(None),
        Some(to) => {
            let number = last_ten_digits(to);
            number
                .map(Some)
                .ok_or_else(|| Problem::field("to", "must be a phone number of at least 10 digits"))
        }
    }
}

fn whole_number<T: std::str::FromStr>(parameters: &Parameters, name: &str, default: T) -> Result<T, Problem> {
    let Some(value) = parameters.get(name) else { return Ok(default) };
    value.parse().map_err(|_| Problem::field(name, "must be a whole number, 0 or more"))
}

/// `q` searches numbers and texts; a whole number, in `to` or `q`, finds only its own messages.
async fn inbox_page(
    State(sandbox): State<Sandbox>,
    parameters: Parameters,
    uri: Uri,
    headers: HeaderMap,
) -> Html<String> {
    let asked = parameters.get("to").or_else(|| parameters.get("q")).map_or("", |asked| asked.trim());
    let number = last_ten_digits(asked).filter(|_| !asked.chars().any(char::is_alphabetic));
    let (faults, stats) = (sandbox.faults(), sandbox.stats());
    let (messages, more) = sandbox.ledger().search(number.as_deref().unwrap_or(asked), DEFAULT_LIMIT);
    let named = uri.authority().map(|authority| authority.as_str());
    let host = named.or_else(|| headers.get(header::HOST)?.to_str().ok()).unwrap_or("localhost");
    let sign_up = sandbox.0.sign_up.as_deref();
    let (messages, faults) = (&messages[..], &faults);
    Html(Inbox { messages, more, asked, stats, faults, host, sign_up }.render())
}

async fn inbox(State(sandbox): State<Sandbox>, parameters: Parameters) -> Result<Response, Problem> {
    let number = receiver(&parameters)?;
    let limit = whole_number(&parameters, "limit", DEFAULT_LIMIT)?.min(MAX_LIMIT);
    let messages = sandbox.ledger().newest(number.as_deref(), limit);
    Ok(json_list(messages.iter().map(AsRef::as_ref)))
}

async fn clear_inbox(State(sandbox): State<Sandbox>, parameters: Parameters) -> Result<StatusCode, Problem> {
    let number = receiver(&parameters)?;
    sandbox.forget(number.as_deref());
    Ok(StatusCode::NO_CONTENT)
}

async fn log(State(sandbox): State<Sandbox>, parameters: Parameters) -> Result<Response, Problem> {
    let since = whole_number(&parameters, "since", 0)?;
    let messages = sandbox.ledger().after(since);
    Ok(json_list(messages.iter().map(AsRef::as_ref)))
}

fn json_list<'a>(items: impl Iterator<Item = &'a Message>) -> Response {
    Json(items.collect::<Vec<_>>()).into_response()
}

/// The faults with the account's credits.
#[derive(Serialize)]
struct FaultsBody {
    #[serde(flatten)]
    faults: Faults,
    credits: u64,
}

async fn faults(State(sandbox): State<Sandbox>) -> Json<FaultsBody> {
    Json(FaultsBody { faults: sandbox.faults(), credits: sandbox.stats().credits })
}

async fn put_faults(State(sandbox): State<Sandbox>, request: Request) -> Response {
    let body = match read_body(request.into_body()).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    match sandbox.change_faults(&body) {
        Ok(()) => faults(State(sandbox)).await.into_response(),
        Err(problem) => problem.into_response(),
    }
}

impl Sandbox {
    fn change_faults(&self, body: &[u8]) -> Result<(), Problem> {
        let malformed = Problem { status: StatusCode::BAD_REQUEST, title: "Malformed JSON", invalid: None };
        let value: Value = serde_json::from_slice(body).map_err(|_| malformed)?;
        let fields = value.as_object().ok_or_else(|| Problem::field("(body)", "must be an object"))?;
        // Read and written under one lock, so that two partial changes at once do not undo each other.
        let mut present = self.lock_faults();
        let change = Change::read(present.clone(), fields)?;
        *present = change.faults;
        drop(present);
        self.touch();
        if let Some(credits) = change.credits {
            self.set_credits(credits);
        }
        Ok(())
    }
}
