//! Who is calling. Handlers take one of these extractors, so none can forget to ask.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use hulak_common::api_key::{ApiKey, CLIENT_PREFIX, OPERATOR_PREFIX};
use hulak_store::KeyOwner;
use uuid::Uuid;

use crate::problem::{Kind, Problem};
use crate::state::SharedApp;
use crate::token::{PAGE_PREFIX, PREFIX as TOKEN_PREFIX, PageScope, TokenScope};

/// A caller with an API key of a client application: whose it is, and its hash.
#[derive(Debug, Clone)]
pub struct Client(pub Arc<KeyOwner>, pub [u8; 32]);

/// A caller with an API key, or with the client token of one verification.
#[derive(Debug, Clone)]
pub enum Caller {
    /// An API key.
    Client(Client),
    /// A client token.
    Token(TokenScope),
}

impl Caller {
    /// The client application this caller acts in, when it may act on `verification` at all. To a token, every other
    /// verification does not exist.
    pub fn client_for(&self, verification: Uuid) -> Result<Uuid, Problem> {
        match self {
            Self::Client(client) => Ok(client.0.client),
            Self::Token(scope) if scope.verification == verification => Ok(scope.client),
            Self::Token(_) => Err(Problem::not_found()),
        }
    }

    /// Whether this is a phone or a browser, which sees less.
    #[must_use]
    pub const fn is_token(&self) -> bool {
        matches!(self, Self::Token(_))
    }
}

/// Whoever may ask for something once.
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
pub struct PageCaller(pub(crate) PageScope);

impl FromRequestParts<SharedApp> for PageCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, Problem> {
        app.require_hosted()?;
        let credential = bearer(parts)?;
        if [TOKEN_PREFIX, CLIENT_PREFIX, OPERATOR_PREFIX].iter().any(|prefix| credential.starts_with(prefix))
        {
            return Err(Problem::new(Kind::Forbidden, "this call needs the token of a hosted page (pt_…)"));
        }
        let scope = app.page_tokens.read(credential);
        scope.map(Self).ok_or_else(|| Problem::unauthorized("this page token is not valid"))
    }
}

impl FromRequestParts<SharedApp> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, Problem> {
        match Caller::from_request_parts(parts, app).await? {
            Caller::Client(client) => Ok(client),
            Caller::Token(_) => {
                Err(Problem::new(Kind::Forbidden, "this call needs an API key (hk_…), not a client token"))
            }
        }
    }
}

impl FromRequestParts<SharedApp> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, Problem> {
        let credential = bearer(parts)?;
        if credential.starts_with(TOKEN_PREFIX) {
            let scope = app.client_tokens.read(credential);
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
        let owner = app.key_owner(&key).await?.ok_or_else(unknown)?;
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
