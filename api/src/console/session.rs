//! Signing in with a form, which begins a session, and signing out.

use std::time::Duration;

use axum::extract::{FromRequest as _, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hulak_common::audit::Act;
use hulak_common::staff::{NewSession, Operator};
use sha2::{Digest as _, Sha256};

use super::auth::{COOKIE, SECURE_COOKIE, SignedIn, by_key, person, session_hash};
use super::form::{Form, see_other};
use super::sign_in_page::sign_in_page;
use super::state::Shared;
use crate::http::problem::{Kind, Problem};

/// How long a session lasts: one shift.
const SESSION: Duration = Duration::from_secs(12 * 3_600);

/// Signs in with the key of a form, and gives the browser a session.
pub(super) async fn sign_in(State(console): State<Shared>, request: Request) -> Result<Response, Problem> {
    let from = person(&console, request.extensions(), request.headers());
    let headers = request.headers().clone();
    let form = Form::from_request(request, &()).await?;
    let operator = match by_key(&console, form.get("key"), from).await {
        Ok(operator) => operator,
        Err(problem) if matches!(problem.kind(), Kind::Unauthorized | Kind::Forbidden) => {
            // The audit log keeps nothing of a wrong key, not even its beginning: it may be a password.
            let unknown = Operator { key: [0; 32], prefix: String::new(), name: String::new() };
            console.record(&unknown, Act::SignInRefused, format!("from {from}")).await?;
            return Ok(sign_in_page(StatusCode::UNAUTHORIZED, Some("This is not an operator's key.")));
        }
        Err(problem) => return Err(problem),
    };
    console.record(&operator, Act::SignIn, format!("from {from}")).await?;
    let token = URL_SAFE_NO_PAD.encode(console.rng.bytes::<32>());
    let session = NewSession {
        hash: Sha256::digest(token.as_bytes()).into(),
        key: operator.key,
        expires_at: console.clock.now() + SESSION,
    };
    console.store.open_session(&session).await.map_err(|error| console.refuse(&error))?;
    Ok(home_with(&cookie(&headers, &token, SESSION.as_secs())))
}

/// Ends the session, in the store and in the browser.
pub(super) async fn sign_out(
    State(console): State<Shared>,
    headers: HeaderMap,
    SignedIn(operator): SignedIn,
) -> Result<Response, Problem> {
    console.record(&operator, Act::SignOut, "").await?;
    if let Some(hash) = session_hash(&headers) {
        console.store.close_session(&hash).await.map_err(|error| console.refuse(&error))?;
    }
    Ok(home_with(&cookie(&headers, "", 0)))
}

fn cookie(headers: &HeaderMap, token: &str, max_age: u64) -> String {
    // The browser's `Origin` has the scheme that the browser used, whichever proxies are in between.
    let https = headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let (name, secure) = if https { (SECURE_COOKIE, "; Secure") } else { (COOKIE, "") };
    format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age}{secure}")
}

fn home_with(cookie: &str) -> Response {
    let mut response = see_other("/console");
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_bound_to_https_where_there_is_https() {
        let cookie =
            |origin: &str| cookie(&[(header::ORIGIN, origin.parse().unwrap())].into_iter().collect(), "x", 9);
        assert_eq!(
            cookie("https://ops.example"),
            "__Host-hulak_session=x; Path=/; HttpOnly; SameSite=Strict; Max-Age=9; Secure"
        );
        assert_eq!(
            cookie("http://localhost:9090"),
            "hulak_session=x; Path=/; HttpOnly; SameSite=Strict; Max-Age=9"
        );
    }
}
