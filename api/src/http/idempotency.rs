//! `Idempotency-Key`: the same request twice has one effect and one answer
//! (draft-ietf-httpapi-idempotency-key-header).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hmac::Mac as _;
use hulak_common::code::{KeyPurpose, Keyring, hmac_sha256};
use hulak_common::idempotency::Remember;
use hulak_common::time::Timestamp;
use secrecy::{ExposeSecret as _, SecretBox};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::http::auth::Credential;
use crate::http::problem::{FieldError, Kind, Problem};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer was given before.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The longest key.
pub(crate) const MAX_KEY: usize = 255;

/// What a request with an `Idempotency-Key` brought, before its caller is known.
#[derive(Debug)]
pub(crate) struct OnceKey {
    key: String,
    path: String,
    body: Vec<u8>,
}

impl OnceKey {
    /// The key of a request, if it has one.
    ///
    /// # Errors
    /// 422 when it cannot be used.
    pub(crate) fn read(headers: &HeaderMap, path: &str) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let sane = |text: &&str| {
            (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        match (value.to_str().ok().filter(sane), values.next()) {
            (Some(key), None) => {
                Ok(Some(Self { key: key.to_owned(), path: path.to_owned(), body: Vec::new() }))
            }
            _ => {
                let detail = format!("must be 1 to {MAX_KEY} visible ASCII characters, once");
                Err(Problem::fields(Kind::InvalidRequest, vec![FieldError::new("Idempotency-Key", detail)]))
            }
        }
    }

    /// With the request's body, as it came.
    pub(crate) fn with_body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }
}

/// Turns keys into what the store keeps, and knows which requests this process is working on.
#[derive(Debug)]
pub(crate) struct OnceKeys {
    keys: Vec<SecretBox<[u8; 32]>>,
    in_flight: Arc<Mutex<HashSet<[u8; 32]>>>,
}

/// One request being worked on; another with its key is refused meanwhile. The set is as bounded as the connections are.
#[derive(Debug)]
pub(crate) struct InFlight {
    scope: [u8; 32],
    all: Arc<Mutex<HashSet<[u8; 32]>>>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.scope);
    }
}

impl OnceKeys {
    /// Bodies are hashed with the present secret, and compared under the previous one too.
    #[must_use]
    pub(crate) fn new(keyring: &Keyring) -> Self {
        let keys = keyring.all().map(|keys| keys.derive(KeyPurpose::RequestBodies)).collect();
        Self { keys, in_flight: Arc::default() }
    }

    /// What the store has to know of a request, and its place among those being worked on.
    ///
    /// # Errors
    /// 409 `request-in-progress`.
    pub(crate) fn enter<T>(
        &self,
        key: Option<OnceKey>,
        caller: &impl Credential,
        write: impl Fn(&T, Timestamp) -> Option<String> + Send + Sync + 'static,
    ) -> Result<(Option<Remember<T>>, Option<InFlight>), Problem> {
        let Some(key) = key else { return Ok((None, None)) };
        let scope = scope(&key, caller);
        if !self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).insert(scope) {
            return Err(Problem::new(
                Kind::RequestInProgress,
                "the first request with this Idempotency-Key is being worked on",
            ));
        }
        let place = InFlight { scope, all: Arc::clone(&self.in_flight) };
        let hash = |secret: &SecretBox<[u8; 32]>| {
            let mut mac = hmac_sha256(secret.expose_secret());
            mac.update(&key.body);
            mac.finalize().into_bytes().into()
        };
        let bodies = self.keys.iter().map(hash).collect();
        Ok((Some(Remember { scope, bodies, write: Arc::new(write) }), Some(place)))
    }
}

/// Client, credential, path and key; each with its length, so that no two combinations look alike.
fn scope(key: &OnceKey, caller: &impl Credential) -> [u8; 32] {
    let (client, credential) = caller.credential();
    let mut hash = Sha256::new();
    for part in [client.as_bytes().as_slice(), &credential, key.path.as_bytes(), key.key.as_bytes()] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// An answer as it is kept: everything but the tokens, which are minted again.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept<T> {
    pub(crate) status: u16,
    pub(crate) etag: String,
    pub(crate) body: T,
}

/// A JSON object of an answer.
pub(crate) type Object = serde_json::Map<String, serde_json::Value>;

impl<T: Serialize + DeserializeOwned> Kept<T> {
    /// As the store keeps it.
    pub(crate) fn write(status: StatusCode, etag: String, body: T) -> Option<String> {
        serde_json::to_string(&Self { status: status.as_u16(), etag, body }).ok()
    }

    /// Reads what the store kept.
    ///
    /// # Errors
    /// 500 when it cannot be read, which is logged.
    pub(crate) fn read(text: &str) -> Result<Self, Problem> {
        serde_json::from_str(text).map_err(|error| {
            tracing::error!(%error, "a kept answer cannot be read");
            Problem::new(Kind::Internal, "the first answer to this request cannot be given again")
        })
    }
}

impl Kept<Object> {
    /// Gives it again.
    pub(crate) fn answer(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut response = (status, Json(self.body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
        if let (false, Ok(etag)) = (self.etag.is_empty(), HeaderValue::from_str(&self.etag)) {
            headers.insert(header::ETAG, etag);
        }
        response
    }
}

/// What a view says, for keeping.
pub(crate) fn object(view: &impl Serialize) -> Object {
    match serde_json::to_value(view) {
        Ok(serde_json::Value::Object(object)) => object,
        _ => Object::new(),
    }
}

/// A problem that is the kept answer to an earlier request.
pub(crate) fn replayed(problem: Problem) -> Problem {
    problem.header(REPLAYED, "true")
}

/// Another request came with the key of this one.
pub(crate) fn reused() -> Problem {
    Problem::new(Kind::IdempotencyKeyReused, "this Idempotency-Key came with another body before")
}
