//! The approval token: the only proof that a number was verified. A JWT (RFC 7519) signed with Ed25519 (RFC 8037).

use std::time::Duration;

use hulak_common::account::{Account, GroupName, Permission};
use hulak_common::code::{KeyPurpose, Keyring, Keys};
use hulak_common::test_numbers::TestNumbers;
use hulak_common::time::Timestamp;
use hulak_common::verification::Verification;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::ExposeSecret as _;
use serde::Serialize;

/// How long the token is good.
const LIFE: Duration = Duration::from_secs(600);

/// The DER head of a PKCS #8 Ed25519 private key (RFC 8410); the 32-byte seed follows.
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Signs approval tokens, and publishes the keys to check them with.
pub(crate) struct Approvals {
    issuer: String,
    test_numbers: TestNumbers,
    header: Header,
    key: EncodingKey,
    keys: JwkSet,
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
    ) -> Result<Self, jsonwebtoken::errors::Error> {
        let keys = keyring.all().map(public_key).collect::<Result<_, _>>()?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(keyring.current().id().to_string());
        Ok(Self { issuer, test_numbers, header, key: signing_key(keyring.current()), keys: JwkSet { keys } })
    }

    /// The proof that this verification was approved, for an account when it is for one.
    ///
    /// # Errors
    /// When the signing library fails.
    pub(crate) fn sign(
        &self,
        verification: &Verification,
        account: Option<&Account>,
        now: Timestamp,
    ) -> Result<String, jsonwebtoken::errors::Error> {
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
        jsonwebtoken::encode(&self.header, &claims, &self.key)
    }

    /// The public keys, as a JWK set (RFC 7517).
    #[must_use]
    pub(crate) fn public_keys(&self) -> &JwkSet {
        &self.keys
    }
}

fn signing_key(keys: &Keys) -> EncodingKey {
    let mut der = PKCS8_HEAD.to_vec();
    der.extend_from_slice(keys.derive(KeyPurpose::ApprovalSigning).expose_secret());
    EncodingKey::from_ed_der(&der)
}

fn public_key(keys: &Keys) -> Result<Jwk, jsonwebtoken::errors::Error> {
    let mut jwk = Jwk::from_encoding_key(&signing_key(keys), Algorithm::EdDSA)?;
    jwk.common.key_id = Some(keys.id().to_string());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok(jwk)
}
