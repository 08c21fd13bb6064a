//! API keys: their form, and what the store keeps of them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::client::NewKey;
use crate::rng::Rng;

/// How a client application's key begins.
pub const CLIENT_PREFIX: &str = "hk_";
/// How an operator's key begins.
pub const OPERATOR_PREFIX: &str = "ho_";
/// The client that `HULAK_API_KEY` belongs to.
pub const DEFAULT_CLIENT: &str = "default";

/// How many characters have to follow the prefix.
const MIN_SECRET: usize = 24;
const MAX_SECRET: usize = 256;
/// How many characters of a key are stored to tell it apart.
const SHOWN: usize = 8;

/// A well-formed API key. The store knows whether it exists.
#[derive(Debug, Clone)]
pub struct ApiKey(SecretString);

/// A text that is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be `hk_` (or `ho_` for operators) followed by at least 24 characters of A-Z a-z 0-9 _ -")]
pub struct ApiKeyError;

impl ApiKey {
    /// Reads a key.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn parse(text: &str) -> Result<Self, ApiKeyError> {
        let secret = text
            .strip_prefix(CLIENT_PREFIX)
            .or_else(|| text.strip_prefix(OPERATOR_PREFIX))
            .ok_or(ApiKeyError)?;
        let url_safe =
            secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if url_safe && (MIN_SECRET..=MAX_SECRET).contains(&secret.len()) {
            Ok(Self(text.to_owned().into()))
        } else {
            Err(ApiKeyError)
        }
    }

    /// Makes one of 32 random bytes.
    #[must_use]
    pub fn generate(prefix: &str, rng: &Rng) -> Self {
        Self(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(rng.bytes::<32>())).into())
    }

    /// The key itself: to be shown once.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether it is an operator's.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.expose().starts_with(OPERATOR_PREFIX)
    }

    /// Its SHA-256, by which the store finds it. A fast hash will do: a key has too much randomness to be guessed. The time
    /// of looking up a hash does not tell how much of a key was right.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.expose().as_bytes()).into()
    }

    /// The row that the store keeps of it.
    #[must_use]
    pub fn to_store(&self, client_name: &str) -> NewKey {
        NewKey {
            client_name: client_name.to_owned(),
            prefix: self.expose().chars().take(CLIENT_PREFIX.len() + SHOWN).collect(),
            hash: self.hash(),
            operator: self.is_operator(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_one_shape() {
        let key = ApiKey::generate(CLIENT_PREFIX, &Rng::seeded(1));
        assert_eq!(ApiKey::parse(key.expose()).unwrap().hash(), key.hash());
        assert!(!key.is_operator());
        assert!(ApiKey::parse(&format!("ho_{}", "a".repeat(24))).unwrap().is_operator());
        for bad in [
            "",
            "hk_",
            "hk_short",
            "xx_aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "hk_aaaaaaaaaaaaaaaaaaaaaaa+",
            &"a".repeat(40),
        ] {
            assert!(ApiKey::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_its_beginning_and_its_hash_are_kept() {
        let key = ApiKey::generate(CLIENT_PREFIX, &Rng::seeded(1));
        let kept = key.to_store("shop");
        assert!(key.expose().starts_with(&kept.prefix) && kept.prefix.len() == 11);
        assert_eq!(format!("{key:?}").find(&key.expose()[3..]), None);
    }
}
