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
            return by_key(console, key, peer(&parts.extensions)).await.map(Self);
        }
        by_session(console, &parts.headers)
            .await?
            .map(Self)
            .ok_or_else(|| Problem::unauthorized("sign in, or send `Authorization: Bearer ho_…`"))
    }
}

/// The address at the other end of the connection.
pub(super) fn peer(extensions: &Extensions) -> IpAddr {
    extensions.get::<PeerAddr>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0.ip())
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
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| matches!(*name, COOKIE | SECURE_COOKIE))?;
    Some(Sha256::digest(value.as_bytes()).into())
}

/// The operator with this key.
///
/// # Errors
/// 401 for an unknown key, 403 for a client's key, 429 after too many wrong keys.
pub(super) async fn by_key(console: &Console, text: &str, from: IpAddr) -> Result<Operator, Problem> {
    console.wrong_keys.admit(from, console.clock.now())?;
    let wrong = |detail| {
        console.wrong_keys.count(from);
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
