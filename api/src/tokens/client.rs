//! Client tokens: what a phone or a browser holds to follow one verification.

use hulak_common::code::{KeyPurpose, Keyring};
use secrecy::SecretString;
use uuid::Uuid;

use crate::tokens::keyed::Tokens;

/// How every client token begins.
pub(crate) const PREFIX: &str = "vt_";

/// Mints and reads client tokens.
#[derive(Debug)]
pub(crate) struct ClientTokens(Tokens);

/// What a client token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct TokenScope {
    /// The client application.
    pub client: Uuid,
    /// The one verification.
    pub verification: Uuid,
}

impl ClientTokens {
    /// New tokens use the present secret; those of the previous one are still good.
    #[must_use]
    pub(crate) fn new(keyring: &Keyring) -> Self {
        Self(Tokens::new(keyring, PREFIX, KeyPurpose::ClientTokens))
    }

    /// The token for a verification.
    #[must_use]
    pub(crate) fn mint(&self, scope: TokenScope) -> SecretString {
        self.0.mint(scope.client, scope.verification)
    }

    /// What this token is good for; `None` when it is not one of ours.
    #[must_use]
    pub(crate) fn read(&self, token: &str) -> Option<TokenScope> {
        self.0.read(token).map(|(client, verification)| TokenScope { client, verification })
    }
}
