//! Who is calling. Handlers take one of these extractors, so none can forget to ask.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header;
use axum::http::request::Parts;
use hulak_common::api_key::{ApiKey, CLIENT_PREFIX, OPERATOR_PREFIX};
use hulak_common::code::Keyring;
use hulak_store::{KeyOwner, Monitor, Store};
use moka::sync::Cache;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::http::availability;
use crate::http::problem::{Kind, Problem};
use crate::tokens::client::{ClientTokens, PREFIX as TOKEN_PREFIX, TokenScope};
use crate::tokens::page::{PAGE_PREFIX, PageScope, PageTokens};

/// How many keys are remembered.
const KEYS: u64 = 10_000;
/// Keys that are looked up at a time. Those that are not known are looked up each time, so strangers could take all connections to
/// the database.
const LOOKUPS: usize = 4;
/// How long a key may wait for that.
const PATIENCE: Duration = Duration::from_secs(1);

/// Knows the credentials that callers present. Extractors ask the application's state for this part of it.
#[derive(Debug, Clone)]
pub(crate) struct Credentials(Arc<Known>);

#[derive(Debug)]
struct Known {
    client_tokens: ClientTokens,
    page_tokens: PageTokens,
    hosted_pages: bool,
    keys: Cache<[u8; 32], Arc<KeyOwner>>,
    lookups: Semaphore,
    store: Arc<Store>,
    monitor: Monitor,
}

impl Credentials {
    /// Remembers the owner of a key for as long as `key_memory`. `hosted_pages`: whether there are any.
    pub(crate) fn new(
        keyring: &Keyring,
        store: Arc<Store>,
        monitor: Monitor,
        key_memory: Duration,
        hosted_pages: bool,
    ) -> Self {
        Self(Arc::new(Known {
            client_tokens: ClientTokens::new(keyring),
            page_tokens: PageTokens::new(keyring),
            hosted_pages,
            keys: Cache::builder().max_capacity(KEYS).time_to_live(key_memory).build(),
            lookups: Semaphore::new(LOOKUPS),
            store,
            monitor,
        }))
    }

    /// Mints and reads client tokens.
    pub(crate) fn client_tokens(&self) -> &ClientTokens {
        &self.0.client_tokens
    }

    /// Mints and reads the tokens of hosted pages.
    pub(crate) fn page_tokens(&self) -> &PageTokens {
        &self.0.page_tokens
    }

    /// Refuses what belongs to hosted pages where there are none.
    pub(crate) fn require_hosted_pages(&self) -> Result<(), Problem> {
        if !self.0.hosted_pages {
            return Err(Problem::new(Kind::NotFound, "hosted pages are off here (HULAK_HOSTED_PAGE)"));
        }
        Ok(())
    }

    /// The owner of a key; `None` when the key is unknown.
    async fn key_owner(&self, key: &ApiKey) -> Result<Option<Arc<KeyOwner>>, Problem> {
        let Known { keys, lookups, store, monitor, .. } = &*self.0;
        let hash = key.hash();
        if let Some(owner) = keys.get(&hash) {
            return Ok(Some(owner));
        }
        availability::require_store(monitor)?;
        let waited = tokio::time::timeout(PATIENCE, lookups.acquire()).await;
        let _place = waited.map_err(|_| {
            Problem::new(Kind::Overloaded, "too many unknown keys are being looked up").retry_after(PATIENCE)
        })?;
        if let Some(owner) = keys.get(&hash) {
            return Ok(Some(owner));
        }
        let found = store.find_key(&hash).await.map_err(|error| availability::problem(monitor, &error))?;
        let Some(owner) = found.map(Arc::new) else { return Ok(None) };
        keys.insert(hash, Arc::clone(&owner));
        Ok(Some(owner))
    }
}

/// A caller with an API key of a client application: whose it is, and its hash.
#[derive(Debug, Clone)]
pub(crate) struct Client(pub Arc<KeyOwner>, pub [u8; 32]);

/// A caller with an API key, or with the client token of one verification.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// An API key.
    Client(Client),
    /// A client token.
    Token(TokenScope),
}

impl Caller {
    /// The client application this caller acts in, when it may act on `verification` at all. To a token, every other
    /// verification does not exist.
    pub(crate) fn client_for(&self, verification: Uuid) -> Result<Uuid, Problem> {
        match self {
            Self::Client(client) => Ok(client.0.client),
            Self::Token(scope) if scope.verification == verification => Ok(scope.client),
            Self::Token(_) => Err(Problem::not_found()),
        }
    }

    /// Whether this is a phone or a browser, which sees less.
    #[must_use]
    pub(crate) const fn is_token(&self) -> bool {
        matches!(self, Self::Token(_))
    }
}

/// A caller whose requests may carry an `Idempotency-Key`.
pub(crate) trait Credential {
    /// The client application, and what tells this credential from its others. A token is minted again at every answer,
    /// so it is its verification, or its page, that tells it.
    fn credential(&self) -> (Uuid, Vec<u8>);
}

impl Credential for Client {
    fn credential(&self) -> (Uuid, Vec<u8>) {
        (self.0.client, self.1.to_vec())
    }
}

impl Credential for Caller {
    fn credential(&self) -> (Uuid, Vec<u8>) {
        match self {
            Self::Client(client) => client.credential(),
            Self::Token(scope) => (scope.client, scope.verification.as_bytes().to_vec()),
        }
    }
}

impl Credential for PageScope {
    fn credential(&self) -> (Uuid, Vec<u8>) {
        (self.client, self.page.as_bytes().to_vec())
    }
}

/// A browser with a hosted page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageCaller(pub(crate) PageScope);

impl<S: Send + Sync> FromRequestParts<S> for PageCaller
where
    Credentials: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let credentials = Credentials::from_ref(state);
        credentials.require_hosted_pages()?;
        let credential = bearer(parts)?;
        if [TOKEN_PREFIX, CLIENT_PREFIX, OPERATOR_PREFIX].iter().any(|prefix| credential.starts_with(prefix))
        {
            return Err(Problem::new(Kind::Forbidden, "this call needs the token of a hosted page (pt_…)"));
        }
        let scope = credentials.page_tokens().read(credential);
        scope.map(Self).ok_or_else(|| Problem::unauthorized("this page token is not valid"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Client
where
    Credentials: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Caller::from_request_parts(parts, state).await? {
            Caller::Client(client) => Ok(client),
            Caller::Token(_) => {
                Err(Problem::new(Kind::Forbidden, "this call needs an API key (hk_…), not a client token"))
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller
where
    Credentials: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let credentials = Credentials::from_ref(state);
        let credential = bearer(parts)?;
        if credential.starts_with(TOKEN_PREFIX) {
            let scope = credentials.client_tokens().read(credential);
            return scope
                .map(Self::Token)
                .ok_or_else(|| Problem::unauthorized("this client token is not valid"));
        }
        if credential.starts_with(PAGE_PREFIX) {
            return Err(Problem::new(
                Kind::Forbidden,
                "the token of a hosted page works on its own calls only",
            ));
        }
        if !credential.starts_with(CLIENT_PREFIX) && !credential.starts_with(OPERATOR_PREFIX) {
            return Err(Problem::unauthorized("API keys begin with hk_, client tokens with vt_"));
        }
        let unknown = || Problem::unauthorized("this API key is not known");
        let key = ApiKey::parse(credential).map_err(|_| unknown())?;
        let owner = credentials.key_owner(&key).await?.ok_or_else(unknown)?;
        if owner.operator {
            return Err(Problem::new(Kind::Forbidden, "operator keys work on the admin address only"));
        }
        Ok(Self::Client(Client(owner, key.hash())))
    }
}

fn bearer(parts: &Parts) -> Result<&str, Problem> {
    let missing = || Problem::unauthorized("send `Authorization: Bearer hk_…`");
    let value = parts.headers.get(header::AUTHORIZATION).ok_or_else(missing)?;
    let (scheme, credential) =
        value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(credential.trim()) } else { Err(missing()) }
}
