//! Middleware: problems as JSON or as pages, and the check that a request comes from our own pages.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use hulak_runtime::html::protect;
use maud::html;

use super::layout;
use super::sign_in_page::sign_in_page;
use super::state::Shared;
use crate::http::problem::{Kind, Problem};

/// Refuses requests beyond those that the console works on at once, before it reads their bodies.
pub(super) async fn places(State(console): State<Shared>, request: Request, next: Next) -> Response {
    match console.places.try_acquire() {
        Ok(_place) => next.run(request).await,
        Err(_) => problem_page(&Problem::new(
            Kind::Overloaded,
            "the console has too many callers; try again in a moment",
        )),
    }
}

/// Renders problems as the public API does.
pub(super) async fn problems_as_json(
    State(console): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem.render(&console.public_url),
        None => {
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
    }
}

/// Renders problems as pages.
pub(super) async fn problems_as_pages(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = problem_page(&problem);
    }
    protect(response.headers_mut());
    response
}

fn problem_page(problem: &Problem) -> Response {
    if problem.kind() == Kind::Unauthorized {
        return sign_in_page(StatusCode::UNAUTHORIZED, None);
    }
    let json = problem.body("");
    let text = |name: &str| json.get(name).and_then(|value| value.as_str()).unwrap_or_default();
    let (title, detail) = if problem.kind() == Kind::Unavailable {
        (
            "The database or the broker is not available",
            "The console cannot show its data without them. Try again in a moment.",
        )
    } else {
        (text("title"), text("detail"))
    };
    let content = html! {
        h1 { (title) }
        p ."message bad" role="alert" { (detail) }
        p { a .button href="/console" { "Back to the console" } }
    };
    layout::card_page(problem.kind().status(), "Error", content)
}

/// Refuses requests that another site's page made the browser send. The `SameSite=Strict` cookie is the first defence
/// against them; this is the second.
pub(super) async fn same_origin(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if safe || headers.contains_key(header::AUTHORIZATION) || is_same_origin(headers) {
        return next.run(request).await;
    }
    problem_page(&Problem::new(Kind::Forbidden, "this request came from another site's page"))
}

fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(header::HeaderName::from_static("sec-fetch-site")) {
        return matches!(site, "same-origin" | "none");
    }
    // Browsers without Sec-Fetch-Site send the page's origin with every request that changes something.
    let host = text(header::HOST).unwrap_or_default();
    let from = text(header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    from.is_some_and(|from| !host.is_empty() && from.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_may_change_something() {
        for (ours, pairs) in [
            (true, &[("sec-fetch-site", "same-origin")][..]),
            (true, &[("sec-fetch-site", "none")]),
            (true, &[("host", "localhost:9090"), ("origin", "http://localhost:9090")]),
            (false, &[("sec-fetch-site", "cross-site")]),
            (false, &[("sec-fetch-site", "same-site"), ("host", "a"), ("origin", "http://a")]),
            (false, &[("host", "localhost:9090"), ("origin", "http://localhost:9091")]),
            (false, &[("host", "localhost:9090"), ("origin", "null")]),
            (false, &[("host", "localhost:9090")]),
            (false, &[]),
        ] {
            let headers = pairs
                .iter()
                .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()))
                .collect();
            assert_eq!(is_same_origin(&headers), ours, "{pairs:?}");
        }
    }
}
