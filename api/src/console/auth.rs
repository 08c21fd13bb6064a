//! Who is asking: an operator's key, sent with a call, or the cookie of a session.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, header};
use hulak_common::api_key::ApiKey;
use hulak_common::staff::Operator;
use hulak_runtime::serve::PeerAddr;
use sha2::{Digest as _, Sha256};

use super::state::{Console, Shared};
use crate::http::problem::{Kind, Problem};

/// The session cookie over plain HTTP.
pub(super) const COOKIE: &str = "hulak_session";
/// The session cookie over HTTPS: browsers bind a name with this prefix to this very host.
pub(super) const SECURE_COOKIE: &str = "__Host-hulak_session";

/// An operator who is signed in, or whose key came with the call.
#[derive(Debug, Clone)]
pub(super) struct SignedIn(pub(super) Operator);

impl FromRequestParts<Shared> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, console: &Shared) -> Result<Self, Problem> {
        if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
            let key = value.to_str().ok().and_then(|value| value.split_once(' '));
            let key =
                key.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, key)| key.trim());
            let key = key.ok_or_else(|| Problem::unauthorized("send `Authorization: Bearer ho_…`"))?;
            return by_key(console, key, person(console, &parts.extensions, &parts.headers)).await.map(Self);
        }
        by_session(console, &parts.headers)
            .await?
            .map(Self)
            .ok_or_else(|| Problem::unauthorized("sign in, or send `Authorization: Bearer ho_…`"))
    }
}

/// The person's address: that of the connection, or what a trusted proxy says.
pub(super) fn person(console: &Console, extensions: &Extensions, headers: &HeaderMap) -> IpAddr {
    let peer = extensions.get::<PeerAddr>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0.ip());
    console.proxies.caller(peer, headers)
}

/// The operator of the browser's session, if it has one.
pub(super) async fn by_session(console: &Console, headers: &HeaderMap) -> Result<Option<Operator>, Problem> {
    let Some(hash) = session_hash(headers) else { return Ok(None) };
    // Each request asks the store, so that revoking a key ends its sessions at once.
    console.store.session(&hash, console.clock.now()).await.map_err(|error| console.refuse(&error))
}

/// The hash of the session token in the browser's cookie.
pub(super) fn session_hash(headers: &HeaderMap) -> Option<[u8; 32]> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let cookies: Vec<_> = pairs.collect();
    // A plain cookie may be set by a page of a neighbouring domain; the other one by this very host only, so it comes first.
    let named = |wanted| cookies.iter().find(|(name, _)| *name == wanted);
    let (_, value) = named(SECURE_COOKIE).or_else(|| named(COOKIE))?;
    Some(Sha256::digest(value.as_bytes()).into())
}

/// The operator with this key. The right key is always let in, whatever else came from this address.
///
/// # Errors
/// 401 for an unknown key, 403 for a client's key, 429 after too many wrong keys.
pub(super) async fn by_key(console: &Console, text: &str, from: IpAddr) -> Result<Operator, Problem> {
    let wrong = |detail| {
        console.wrong_keys.count(from, console.clock.now())?;
        Err(Problem::unauthorized(detail))
    };
    let Ok(key) = ApiKey::parse(text) else { return wrong("operators' keys begin with ho_") };
    let found = console.store.find_key(&key.hash()).await.map_err(|error| console.refuse(&error))?;
    match found {
        None => wrong("this key is not known"),
        // A known key is not a guess, so it does not count as a wrong key.
        Some(owner) if !owner.operator => {
            Err(Problem::new(Kind::Forbidden, "this needs an operator's key (ho_…), not a client's"))
        }
        Some(owner) => {
            let stored = key.to_store(&owner.client_name);
            Ok(Operator { key: stored.hash, prefix: stored.prefix, name: owner.client_name })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_that_is_bound_to_this_host_comes_first() {
        let hash = |lines: &[&str]| {
            let headers = lines.iter().map(|line| (header::COOKIE, line.parse().unwrap())).collect();
            session_hash(&headers)
        };
        let of = |text: &str| Some(Sha256::digest(text.as_bytes()).into());
        assert_eq!(hash(&["hulak_session=planted; __Host-hulak_session=mine"]), of("mine"));
        assert_eq!(hash(&["hulak_session=planted", "a=b; __Host-hulak_session=mine"]), of("mine"));
        assert_eq!(hash(&["a=b; hulak_session=plain"]), of("plain"));
        assert_eq!(hash(&["a=b", "not_hulak_session=x"]), None);
    }
}
