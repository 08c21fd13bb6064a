//! The approval token: the only proof that a number was verified. A JWT (RFC 7519) signed with Ed25519 (RFC 8037).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hulak_common::account::{Account, GroupName, Permission};
use hulak_common::code::{KeyPurpose, Keyring, Keys};
use hulak_common::test_numbers::TestNumbers;
use hulak_common::time::Timestamp;
use hulak_common::verification::Verification;
use ring::error::KeyRejected;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use utoipa::ToSchema;

/// How long the token is good.
pub(crate) const LIFE: Duration = Duration::from_secs(600);

/// Signs approval tokens, and publishes the keys to check them with.
pub(crate) struct Approvals {
    issuer: String,
    test_numbers: TestNumbers,
    /// The first part of every token.
    header: String,
    key: Ed25519KeyPair,
    keys: KeySet,
}

/// The keys to check approval tokens with: a JWK set (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeySet {
    /// The present key, and the previous one while its tokens may still be shown.
    #[schema(min_items = 1, max_items = 2)]
    keys: Vec<Key>,
}

/// An Ed25519 public key (RFC 8037).
#[derive(Debug, Serialize, ToSchema)]
struct Key {
    /// Always `OKP`.
    #[schema(pattern = "^OKP$")]
    kty: &'static str,
    /// Always `Ed25519`.
    #[schema(pattern = "^Ed25519$")]
    crv: &'static str,
    /// The key.
    #[schema(pattern = "^[A-Za-z0-9_-]{43}$")]
    x: String,
    /// Which key a token names in its head.
    kid: String,
    /// Always `EdDSA`.
    #[schema(pattern = "^EdDSA$")]
    alg: &'static str,
    /// Always `sig`.
    #[schema(pattern = "^sig$")]
    r#use: &'static str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: String,
    sub: String,
    iat: i64,
    exp: i64,
    jti: String,
    purpose: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    test: bool,
    #[serde(flatten)]
    holder: Option<Holder<'a>>,
}

/// The account that the approval is for.
#[derive(Serialize)]
struct Holder<'a> {
    account_id: String,
    username: &'a str,
    groups: Vec<&'a str>,
    permissions: Vec<&'a str>,
}

impl<'a> Holder<'a> {
    fn new(account: &'a Account) -> Self {
        Self {
            account_id: account.id.to_string(),
            username: account.username.as_str(),
            groups: account.groups.iter().map(GroupName::as_str).collect(),
            permissions: account.permissions.iter().map(Permission::as_str).collect(),
        }
    }
}

impl std::fmt::Debug for Approvals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Approvals({})", self.issuer)
    }
}

impl Approvals {
    /// Signs with a key derived from the present secret; the previous one's is still published.
    ///
    /// # Errors
    /// When the signing library refuses a key, which it never has.
    pub(crate) fn new(
        keyring: &Keyring,
        issuer: String,
        test_numbers: TestNumbers,
    ) -> Result<Self, KeyRejected> {
        let keys = keyring.all().map(public_key).collect::<Result<_, _>>()?;
        let header = format!(r#"{{"typ":"JWT","alg":"EdDSA","kid":"{}"}}"#, keyring.current().id());
        Ok(Self {
            issuer,
            test_numbers,
            header: URL_SAFE_NO_PAD.encode(header),
            key: signing_key(keyring.current())?,
            keys: KeySet { keys },
        })
    }

    /// The proof that this verification was approved, for an account when it is for one. It counts from `now`: the same
    /// approval has the same times each time its token is signed.
    ///
    /// # Errors
    /// When the claims cannot be written as JSON.
    pub(crate) fn sign(
        &self,
        verification: &Verification,
        account: Option<&Account>,
        now: Timestamp,
    ) -> Result<String, serde_json::Error> {
        let claims = Claims {
            iss: &self.issuer,
            aud: verification.key.client.to_string(),
            sub: verification.key.phone.to_string(),
            iat: now.as_millis() / 1_000,
            exp: (now + LIFE).as_millis() / 1_000,
            jti: verification.id.to_string(),
            purpose: verification.key.purpose.as_str(),
            test: self.test_numbers.contains(verification.key.phone),
            holder: account.map(Holder::new),
        };
        let mut token = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims)?));
        let signature = self.key.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// The public keys, for clients.
    #[must_use]
    pub(crate) fn public_keys(&self) -> &KeySet {
        &self.keys
    }
}

fn signing_key(keys: &Keys) -> Result<Ed25519KeyPair, KeyRejected> {
    Ed25519KeyPair::from_seed_unchecked(keys.derive(KeyPurpose::ApprovalSigning).expose_secret())
}

fn public_key(keys: &Keys) -> Result<Key, KeyRejected> {
    Ok(Key {
        kty: "OKP",
        crv: "Ed25519",
        x: URL_SAFE_NO_PAD.encode(signing_key(keys)?.public_key()),
        kid: keys.id().to_string(),
        alg: "EdDSA",
        r#use: "sig",
    })
}
