//! What every answer has in common: request ids, traces, problems, one log line.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use hulak_common::clock::Stopwatch;
use hulak_common::phone::PhoneNumber;
use hulak_common::rng::Rng;
use hulak_common::trace_context::{SEED, TRACEPARENT, TraceContext};
use hulak_runtime::metrics;
use hulak_runtime::trace::{self, Value};
use tower::Service as _;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;

use crate::http::cors::{AllowedOrigins, cors};
use crate::http::problem::{Kind, Problem};

/// How long a handler may take: the longest wait that a caller may ask for, and the store, whose queue is bounded well
/// below the rest.
const HANDLER: Duration = Duration::from_secs(50);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest request id of a caller's that is taken over.
const MAX_REQUEST_ID: usize = 128;

/// Adds it to all answers, those of addresses that do not exist included. `public_url` is where problems are explained.
pub(crate) fn wrap<S: Clone + Send + Sync + 'static>(
    routes: Router<S>,
    public_url: &str,
    rng: &Rng,
    origins: &AllowedOrigins,
) -> Router<S> {
    routes
        .fallback(|| async { Problem::new(Kind::NotFound, "there is nothing at this address") })
        .method_not_allowed_fallback(|| async {
            Problem::new(Kind::MethodNotAllowed, "this address does not take that method")
        })
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            tracing::error!("a handler panicked");
            Problem::new(Kind::Internal, "the request could not be handled").into_response()
        }))
        .layer(middleware::from_fn_with_state(Arc::from(public_url), finish))
        // Around all that answers, panics and problems included: a browser reads only what it is allowed to.
        .layer(middleware::from_fn_with_state(Arc::new(origins.layer()), cors))
        .layer(middleware::from_fn_with_state(rng.clone(), identify))
}

/// The trace that a request belongs to, and whether its caller began it.
#[derive(Debug, Clone, Copy)]
struct Traced {
    context: TraceContext,
    caller: Option<TraceContext>,
}

/// Gives every answer its request id, and everything that happens on the way to it a trace.
///
/// Like [`finish`] it is no `async fn`, whose state would hold the request for as long as its caller waits.
fn identify(
    State(rng): State<Rng>,
    mut request: Request,
    mut next: Next,
) -> impl Future<Output = Response> + Send {
    let id = request_id(&request)
        .or_else(|| HeaderValue::from_str(&rng.uuid().to_string()).ok())
        .unwrap_or(HeaderValue::from_static("none"));
    let traced = traced(&request, &rng.bytes());
    request.extensions_mut().insert(traced);
    let span = tracing::info_span!(
        "request",
        request_id = %masked_id(id.to_str().unwrap_or_default()),
        trace_id = %traced.context.trace_id(),
        span_id = %traced.context.span_id(),
    );
    trace::within(traced.context, next.call(request).instrument(span)).map(move |Ok(mut response)| {
        response.headers_mut().insert(REQUEST_ID, id);
        response
    })
}

/// Goes on with the caller's trace, or begins one. A caller may keep its trace from being collected; no caller makes us collect
/// more than our share, which is drawn here for each request, as the ids are the caller's choice.
fn traced(request: &Request, seed: &[u8; SEED]) -> Traced {
    let header = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
    let caller = header.and_then(TraceContext::parse);
    let own = trace::root(seed);
    let [.., a, b, c, d, e, f, g, h] = *seed;
    let context = caller.map_or(own, |caller| {
        caller.child([a, b, c, d, e, f, g, h]).sampled(caller.is_sampled() && own.is_sampled())
    });
    Traced { context, caller }
}

/// Renders problems, and writes one log line for every answer.
fn finish(
    State(public_url): State<Arc<str>>,
    request: Request,
    mut next: Next,
) -> impl Future<Output = Response> + Send {
    let (watch, method) = (Stopwatch::start(), request.method().clone());
    // The pattern, not the address: an address may hold a number.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let wait = request.uri().query().is_some_and(|query| query.contains("wait="));
    let traced = request.extensions().get::<Traced>().copied();
    tokio::time::timeout(HANDLER, next.call(request)).map(move |answer| {
        let mut response =
            answer.map_or_else(|_| Problem::unavailable().into_response(), |Ok(response)| response);
        let problem = response.extensions_mut().remove::<Problem>().or_else(|| problem_of(&response));
        let slug = problem.as_ref().map_or("", |problem| problem.kind().slug());
        let (route, took) = (route.as_ref().map(MatchedPath::as_str), watch.elapsed());
        metrics::http().answered(&method, route, wait, response.status(), took);
        if let Some(traced) = traced {
            let status = response.status();
            trace::record(traced.context, || span(traced, &method, route, status, slug, took));
        }
        tracing::info!(%method, route = route.unwrap_or("-"), status = response.status().as_u16(), problem = slug,
            ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX), "answered");
        problem.map_or(response, |problem| problem.render(&public_url))
    })
}

/// What is collected of a request: its pattern, never its address, and nothing of what it holds.
fn span(
    traced: Traced,
    method: &Method,
    route: Option<&str>,
    status: StatusCode,
    problem: &'static str,
    took: Duration,
) -> trace::Span {
    let (method, route) = (metrics::method_name(method), route.unwrap_or("-"));
    let span = trace::Span::new(format!("{method} {route}"), trace::Kind::Server, traced.context, took)
        .with("http.request.method", Value::Text(method))
        .with("http.route", Value::Name(route.to_owned()))
        .with("http.response.status_code", Value::Number(status.as_u16().into()));
    let span = trace::Span { failed: status.is_server_error(), ..span };
    let span = if problem.is_empty() { span } else { span.with("error.type", Value::Text(problem)) };
    match traced.caller {
        Some(caller) => span.part_of(caller, true),
        None => span,
    }
}

/// The most groups of digits that one spelling of a number has: `+00-977-0-981-234-5678`.
const MAX_GROUPS: usize = 7;

/// A request's id as logs show it. It is the caller's, who may think that a number makes a good one; what the parser of numbers
/// reads as a number is masked, however it is spelled.
fn masked_id(id: &str) -> Cow<'_, str> {
    let groups = groups_of_digits(id);
    let mut shown = Cow::Borrowed(id);
    let mut next = groups.len();
    // From the end, so that what is masked moves none of what is still to be looked at.
    while let Some(last) = next.checked_sub(1) {
        let first =
            (next.saturating_sub(MAX_GROUPS)..next).find(|first| is_number(id, &groups[*first..next]));
        if let Some(first) = first {
            shown.to_mut().replace_range(groups[first].start..groups[last].end, "•••");
        }
        next = first.unwrap_or(last);
    }
    shown
}

fn groups_of_digits(id: &str) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for (at, _) in id.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_digit()) {
        match groups.last_mut().filter(|group| group.end == at) {
            Some(group) => group.end += 1,
            None => groups.push(at..at + 1),
        }
    }
    groups
}

/// Whether these groups and what is between them spell a number. Letters between them never do.
fn is_number(id: &str, groups: &[Range<usize>]) -> bool {
    let digits: usize = groups.iter().map(Range::len).sum();
    let (Some(first), Some(last)) = (groups.first(), groups.last()) else { return false };
    (10..=16).contains(&digits) && PhoneNumber::parse(&id[first.start..last.end]).is_ok()
}

/// The caller's own id, when it is sane: printable, short, and nothing that could break a log line.
fn request_id(request: &Request) -> Option<HeaderValue> {
    let value = request.headers().get(REQUEST_ID)?;
    let sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    (!value.is_empty() && value.len() <= MAX_REQUEST_ID && value.as_bytes().iter().all(sane))
        .then(|| value.clone())
}

/// The framework's own refusals (a path that is no UTF-8, say) become problems like all others.
fn problem_of(response: &Response) -> Option<Problem> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt as _;
    #[test]
    fn an_id_that_is_a_number_is_not_logged() {
        for (id, shown) in [
            ("9812345678", "•••"),
            ("order-9812345678", "order-•••"),
            ("9779812345678/2", "•••/2"),
            ("a:9812345678:9841234567", "a:•••:•••"),
            ("0199b3a1-0000-7000-8000-981234567812", "0199b3a1-0000-7000-8000-981234567812"),
            ("1790000000123-7", "1790000000123-7"),
            ("009779812345678", "•••"),
            ("x-09812345678", "x-•••"),
            ("977-981-2345678", "•••"),
            ("+977.98.1234.5678/1", "+•••/1"),
            ("2026-12-01-981-234-5678", "2026-12-01-•••"),
            ("0-977-981-2345678:a", "•••:a"),
            ("a9812345678b", "a•••b"),
            ("981a2345678", "981a2345678"),
            ("98:1234:5678", "98:1234:5678"),
            ("", ""),
        ] {
            assert_eq!(masked_id(id), shown);
        }
    }

    #[tokio::test]
    async fn a_page_can_read_that_a_handler_panicked() {
        async fn broken() -> &'static str {
            panic!("on purpose")
        }
        let origins = AllowedOrigins::new("https://app.example".parse().unwrap());
        let routes = Router::new().route("/broken", get(broken));
        let router = wrap(routes, "http://hulak.example", &Rng::seeded(1), &origins);
        let request = Request::get("/broken").header(header::ORIGIN, "https://app.example");
        let answer = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in [
            ("access-control-allow-origin", "https://app.example"),
            ("content-type", "application/problem+json"),
            ("vary", "origin"),
        ] {
            assert_eq!(answer.headers().get(name).unwrap(), value, "{name}");
        }
        assert!(answer.headers().contains_key("x-request-id"));
    }
}
