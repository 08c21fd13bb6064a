//! Who may come in: a key of an operator, sent with each call or once for a session.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hulak_common::api_key::ApiKey;
use hulak_common::audit::Act;
use hulak_common::staff::{NewSession, Operator};
use hulak_common::time::Timestamp;
use hulak_runtime::serve::PeerAddr;
use sha2::{Digest as _, Sha256};

use super::{Console, Shared, pages};
use crate::problem::{Kind, Problem};

/// How long a sign-in lasts: a shift.
const SESSION: Duration = Duration::from_secs(12 * 3_600);
/// Wrong keys from one address, and from all, in a minute. Keys cannot be guessed; this keeps the record readable and the
/// database from being asked.
const FROM_ONE: u32 = 10;
const FROM_ALL: u32 = 100;
const MINUTE: Duration = Duration::from_secs(60);

/// The cookie's name. Over https browsers hold a name with this prefix to this very host.
const PLAIN: &str = "hulak_session";
const SECURE: &str = "__Host-hulak_session";

/// Wrong keys of the present minute.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<Minute>);

#[derive(Debug, Default)]
struct Minute {
    began: Timestamp,
    all: u32,
    from: HashMap<IpAddr, u32>,
}

impl Failures {
    fn admit(&self, from: IpAddr, now: Timestamp) -> Result<(), Problem> {
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= minute.began + MINUTE || now < minute.began {
            *minute = Minute { began: now, ..Minute::default() };
        }
        if minute.all < FROM_ALL && minute.from.get(&from).copied().unwrap_or(0) < FROM_ONE {
            return Ok(());
        }
        let wait = (minute.began + MINUTE).until(now);
        Err(Problem::new(Kind::RateLimited, "too many wrong keys; wait a minute")
            .with("policy", "address")
            .retry_after(wait))
    }

    fn note(&self, from: IpAddr) {
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        minute.all += 1;
        // Never more addresses than wrong keys are let in.
        *minute.from.entry(from).or_default() += 1;
    }
}

/// An operator who is signed in, or whose key came along.
#[derive(Debug, Clone)]
pub(super) struct Signed(pub(super) Operator);

impl FromRequestParts<Shared> for Signed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, console: &Shared) -> Result<Self, Problem> {
        if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
            let key = value.to_str().ok().and_then(|value| value.split_once(' '));
            let key =
                key.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, key)| key.trim());
            let key = key.ok_or_else(|| Problem::unauthorized("send `Authorization: Bearer ho_…`"))?;
            return by_key(console, key, peer(parts)).await.map(Self);
        }
        by_session(console, &parts.headers)
            .await?
            .map(Self)
            .ok_or_else(|| Problem::unauthorized("sign in, or send `Authorization: Bearer ho_…`"))
    }
}

fn peer(parts: &Parts) -> IpAddr {
    parts.extensions.get::<PeerAddr>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0.ip())
}

/// Whose session this browser has.
pub(super) async fn by_session(console: &Console, headers: &HeaderMap) -> Result<Option<Operator>, Problem> {
    let Some(hash) = cookie(headers) else { return Ok(None) };
    // Asked of the store each time, so that a revoked key ends its sessions at once.
    console.store.session(&hash, console.clock.now()).await.map_err(|error| console.refuse(&error))
}

async fn by_key(console: &Console, text: &str, from: IpAddr) -> Result<Operator, Problem> {
    console.failures.admit(from, console.clock.now())?;
    let refused = |problem: Problem| {
        console.failures.note(from);
        Err(problem)
    };
    let Ok(key) = ApiKey::parse(text) else {
        return refused(Problem::unauthorized("operators' keys begin with ho_"));
    };
    let found = console.store.find_key(&key.hash()).await.map_err(|error| console.refuse(&error))?;
    match found {
        None => refused(Problem::unauthorized("this key is not known")),
        // Nobody guesses with a key that is known.
        Some(owner) if !owner.operator => {
            Err(Problem::new(Kind::Forbidden, "this needs an operator's key (ho_…), not a client's"))
        }
        Some(owner) => {
            let kept = key.to_store(&owner.client_name);
            Ok(Operator { key: kept.hash, prefix: kept.prefix, name: owner.client_name })
        }
    }
}

/// The hash of the session that a browser names.
fn cookie(headers: &HeaderMap) -> Option<[u8; 32]> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| matches!(*name, PLAIN | SECURE))?;
    Some(Sha256::digest(value.as_bytes()).into())
}

/// Signs in with the key of a form, and gives the browser a session.
pub(super) async fn sign_in(State(console): State<Shared>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, super::MAX_BODY)
        .await
        .map_err(|_| Problem::new(Kind::BadRequest, "the form cannot be read"))?;
    let key = Form::read(&body).get("key");
    let operator = match by_key(&console, &key, peer(&parts)).await {
        Ok(operator) => operator,
        Err(problem) if matches!(problem.kind(), Kind::Unauthorized | Kind::Forbidden) => {
            // Of a key that is not one nothing is kept, not even its beginning: it may be a password.
            let nobody = Operator { key: [0; 32], prefix: String::new(), name: String::new() };
            console.record(&nobody, Act::SignInRefused, format!("from {}", peer(&parts))).await?;
            return Ok(pages::sign_in(StatusCode::UNAUTHORIZED, Some("That is not the key of an operator.")));
        }
        Err(problem) => return Err(problem),
    };
    console.record(&operator, Act::SignIn, format!("from {}", peer(&parts))).await?;
    let token = URL_SAFE_NO_PAD.encode(console.rng.bytes::<32>());
    let session = NewSession {
        hash: Sha256::digest(token.as_bytes()).into(),
        key: operator.key,
        expires_at: console.clock.now() + SESSION,
    };
    console.store.open_session(&session).await.map_err(|error| console.refuse(&error))?;
    let max_age = SESSION.as_secs();
    Ok(home_with(cookie_value(&parts.headers, &token, max_age)))
}

/// Ends the session, in the store and in the browser.
pub(super) async fn sign_out(
    State(console): State<Shared>,
    headers: HeaderMap,
    Signed(operator): Signed,
) -> Result<Response, Problem> {
    console.record(&operator, Act::SignOut, "").await?;
    if let Some(hash) = cookie(&headers) {
        console.store.close_session(&hash).await.map_err(|error| console.refuse(&error))?;
    }
    Ok(home_with(cookie_value(&headers, "", 0)))
}

fn cookie_value(headers: &HeaderMap, value: &str, max_age: u64) -> String {
    // The browser says by which scheme it came, whatever stands between.
    let https = headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let (name, secure) = if https { (SECURE, "; Secure") } else { (PLAIN, "") };
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age}{secure}")
}

fn home_with(cookie: String) -> Response {
    let mut response = see_other("/console");
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

/// Goes on to another page.
pub(super) fn see_other(to: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

/// Refuses what another site's page makes a browser send. A cookie that no other site's request carries is the first fence;
/// this is the second.
pub(super) async fn same_origin(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if safe || headers.contains_key(header::AUTHORIZATION) || comes_from_here(headers) {
        return next.run(request).await;
    }
    pages::refusal(&Problem::new(Kind::Forbidden, "this was sent by another site's page"))
}

fn comes_from_here(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(header::HeaderName::from_static("sec-fetch-site")) {
        return matches!(site, "same-origin" | "none");
    }
    // A browser that does not say so names the page's origin with everything that changes something.
    let host = text(header::HOST).unwrap_or_default();
    let from = text(header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    from.is_some_and(|from| !host.is_empty() && from.eq_ignore_ascii_case(host))
}

/// The fields of a form.
#[derive(Debug)]
pub(super) struct Form(HashMap<String, String>);

impl Form {
    pub(super) fn read(body: &Bytes) -> Self {
        Self(url::form_urlencoded::parse(body).into_owned().collect())
    }

    /// A field's text, empty when there is none.
    pub(super) fn get(&self, name: &str) -> String {
        self.0.get(name).map(|text| text.trim().to_owned()).unwrap_or_default()
    }
}

impl<S: Send + Sync> axum::extract::FromRequest<S> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Bytes::from_request(request, state).await;
        body.map(|body| Self::read(&body))
            .map_err(|_| Problem::new(Kind::BadRequest, "the form cannot be read"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

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
            assert_eq!(comes_from_here(&headers(pairs)), ours, "{pairs:?}");
        }
    }

    #[test]
    fn the_cookie_is_bound_to_https_where_there_is_https() {
        let cookie = |origin| cookie_value(&headers(&[("origin", origin)]), "x", 9);
        assert_eq!(
            cookie("https://ops.example"),
            "__Host-hulak_session=x; Path=/; HttpOnly; SameSite=Strict; Max-Age=9; Secure"
        );
        assert_eq!(
            cookie("http://localhost:9090"),
            "hulak_session=x; Path=/; HttpOnly; SameSite=Strict; Max-Age=9"
        );
    }

    #[test]
    fn wrong_keys_are_bounded_for_one_and_for_all() {
        let failures = Failures::default();
        let now = Timestamp::from_millis(1_000_000);
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        for _ in 0..FROM_ONE {
            failures.admit(ip(1), now).unwrap();
            failures.note(ip(1));
        }
        assert_eq!(failures.admit(ip(1), now).unwrap_err().kind(), Kind::RateLimited);
        failures.admit(ip(2), now).unwrap();
        for n in 0..FROM_ALL {
            failures.note(ip(3 + (n % 50) as u8));
        }
        assert!(failures.admit(ip(2), now).is_err());
        failures.admit(ip(1), now + MINUTE).unwrap();
    }
}
