//! Addresses and what every answer has in common: request ids, problems, one log line.

use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use hulak_common::clock::Stopwatch;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;

use crate::problem::{Kind, Problem};
use crate::routes::{again, checks, create, list, phones, read, wellknown};
use crate::state::SharedApp;

/// How long a handler may take: the store and its queue are bounded well below it.
const HANDLER: Duration = Duration::from_secs(20);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest request id of a caller's that is taken over.
const MAX_REQUEST_ID: usize = 128;

/// The public addresses.
pub fn router(app: SharedApp) -> Router {
    Router::new()
        .route("/v1/verifications", get(list::list).post(create::create))
        .route("/v1/verifications/{id}", get(read::read).delete(again::cancel))
        .route("/v1/verifications/{id}/check", post(checks::check))
        .route("/v1/verifications/{id}/resend", post(again::resend))
        .route("/v1/phones/{phone}", get(phones::read))
        .route("/v1/phones/{phone}/block", put(phones::block).delete(phones::unblock))
        .route("/.well-known/jwks.json", get(wellknown::jwks))
        .route("/problems/{slug}", get(wellknown::problem))
        .fallback(|| async { Problem::new(Kind::NotFound, "there is nothing at this address") })
        .method_not_allowed_fallback(|| async {
            Problem::new(Kind::MethodNotAllowed, "this address does not take that method")
        })
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            tracing::error!("a handler panicked");
            Problem::new(Kind::Internal, "the request could not be handled").into_response()
        }))
        .layer(middleware::from_fn_with_state(app.clone(), dress))
        .with_state(app)
}

/// Gives every answer its request id, renders problems, and writes one log line.
async fn dress(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    let id = request_id(&request)
        .or_else(|| HeaderValue::from_str(&app.rng.uuid().to_string()).ok())
        .unwrap_or(HeaderValue::from_static("none"));
    let (watch, method) = (Stopwatch::start(), request.method().clone());
    // The pattern, not the address: an address may hold a number.
    let route =
        request.extensions().get::<MatchedPath>().map_or("-".to_owned(), |path| path.as_str().to_owned());
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default());
    async {
        let mut response = match tokio::time::timeout(HANDLER, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Problem::unavailable().into_response(),
        };
        let problem = response.extensions_mut().remove::<Problem>().or_else(|| undressed(&response));
        let slug = problem.as_ref().map_or("", |problem| problem.kind().slug());
        tracing::info!(%method, route, status = response.status().as_u16(), problem = slug,
            ms = u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX), "answered");
        let mut response = problem.map_or(response, |problem| problem.render(&app.public_url));
        response.headers_mut().insert(REQUEST_ID, id.clone());
        response
    }
    .instrument(span)
    .await
}

/// The caller's own id, when it is sane: printable, short, and nothing that could break a log line.
fn request_id(request: &Request) -> Option<HeaderValue> {
    let value = request.headers().get(REQUEST_ID)?;
    let sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    (!value.is_empty() && value.len() <= MAX_REQUEST_ID && value.as_bytes().iter().all(sane))
        .then(|| value.clone())
}

/// The framework's own refusals (a path that is no UTF-8, say) become problems like all others.
fn undressed(response: &Response) -> Option<Problem> {
    let is_problem =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|media| media == "application/problem+json");
    if is_problem {
        return None;
    }
    match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => {
            Some(Problem::new(Kind::MethodNotAllowed, "this address does not take that method"))
        }
        status if status.is_client_error() => {
            Some(Problem::new(Kind::BadRequest, "the request cannot be read"))
        }
        status if status.is_server_error() => {
            Some(Problem::new(Kind::Internal, "the request could not be handled"))
        }
        _ => None,
    }
}
