//! One-time codes: derived from a secret and a verification's salt, never stored.
//!
//! `code = HMAC-SHA256(key, salt ‖ id ‖ epoch)`, the first 8 bytes as a big-endian number modulo 10^digits, zero
//! padded. The key comes from `HULAK_SECRET` by HKDF-SHA256 (RFC 5869); each row carries the key's id, so that secrets
//! can be rotated while codes are alive.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretBox, SecretSlice, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

/// How many digits a code has: 4 to 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeLength(u8);

/// A code length outside 4 to 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a code has 4 to 10 digits")]
pub struct CodeLengthError;

impl CodeLength {
    /// A length within the bounds.
    ///
    /// # Errors
    /// Outside 4 to 10.
    pub const fn new(digits: u8) -> Result<Self, CodeLengthError> {
        if digits >= 4 && digits <= 10 { Ok(Self(digits)) } else { Err(CodeLengthError) }
    }

    /// The number of digits.
    #[must_use]
    pub const fn digits(self) -> u8 {
        self.0
    }
}

impl Default for CodeLength {
    fn default() -> Self {
        Self(6)
    }
}

impl std::str::FromStr for CodeLength {
    type Err = CodeLengthError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map_err(|_| CodeLengthError).and_then(Self::new)
    }
}

/// A one-time code. It has no `Display`, its `Debug` shows nothing, and comparing takes the same time for every value.
#[derive(Clone)]
pub struct Code(SecretString);

impl Code {
    /// What a person typed, unchanged; [`Code::fits`] tells whether it has the right form.
    #[must_use]
    pub fn typed(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// Whether it is ASCII digits of this length.
    #[must_use]
    pub fn fits(&self, length: CodeLength) -> bool {
        let text = self.0.expose_secret();
        text.len() == usize::from(length.digits()) && text.bytes().all(|byte| byte.is_ascii_digit())
    }

    /// The digits: only for the text of a message.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Compares in constant time.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.expose().as_bytes().ct_eq(other.expose().as_bytes()).into()
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(…)")
    }
}

/// Random bytes of one verification, so that its codes tell nothing about those of another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 20]);

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(…)")
    }
}

/// The id of the secret that a code or token was derived from. It is derived from the secret and does not reveal it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(u32);

impl KeyId {
    /// As the stores keep it.
    #[must_use]
    pub fn to_i64(self) -> i64 {
        i64::from(self.0)
    }

    /// From a store.
    #[must_use]
    pub fn from_i64(value: i64) -> Option<Self> {
        u32::try_from(value).ok().map(Self)
    }

    /// The bytes, for tokens.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// `HULAK_SECRET`: at least 32 bytes, written in base64.
#[derive(Clone)]
pub struct Secret(SecretSlice<u8>);

/// A secret that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It is not base64.
    #[error("must be base64 (make one with: openssl rand -base64 32)")]
    NotBase64,
    /// It is too short.
    #[error("must decode to at least 32 bytes (make one with: openssl rand -base64 32)")]
    TooShort,
}

impl Secret {
    /// Reads standard or URL-safe base64.
    ///
    /// # Errors
    /// When it is not base64, or shorter than 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        let bytes = STANDARD
            .decode(text)
            .or_else(|_| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')))
            .map_err(|_| SecretError::NotBase64)?;
        Self::from_bytes(bytes)
    }

    /// Takes raw bytes.
    ///
    /// # Errors
    /// When there are fewer than 32.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, SecretError> {
        if bytes.len() < 32 { Err(SecretError::TooShort) } else { Ok(Self(bytes.into())) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The purpose of a derived key. Keys of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPurpose {
    /// Deriving one-time codes.
    Codes,
    /// Authenticating client tokens.
    ClientTokens,
    /// Authenticating the tokens of hosted pages.
    PageTokens,
    /// Authenticating the codes that hosted pages hand over at their end.
    PageCodes,
    /// Hashing the bodies of requests with an `Idempotency-Key`.
    RequestBodies,
    /// The seed of the key that signs approval tokens.
    ApprovalSigning,
}

impl KeyPurpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Codes => b"hulak/codes/v1",
            Self::ClientTokens => b"hulak/client-tokens/v1",
            Self::PageTokens => b"hulak/page-tokens/v1",
            Self::PageCodes => b"hulak/page-codes/v1",
            Self::RequestBodies => b"hulak/request-bodies/v1",
            Self::ApprovalSigning => b"hulak/approval-signing/v1",
        }
    }
}

/// The keys derived from one secret.
#[derive(Clone)]
pub struct Keys {
    id: KeyId,
    secret: Secret,
    codes: std::sync::Arc<SecretBox<[u8; 32]>>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.id)
    }
}

impl Keys {
    fn new(secret: Secret) -> Self {
        let id = expand::<4>(&secret, b"hulak/key-id/v1");
        let codes = expand::<32>(&secret, KeyPurpose::Codes.label());
        Self {
            id: KeyId(u32::from_be_bytes(id)),
            secret,
            codes: std::sync::Arc::new(SecretBox::new(Box::new(codes))),
        }
    }

    /// The id of their secret.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// 32 bytes of key for a purpose.
    #[must_use]
    pub fn derive(&self, purpose: KeyPurpose) -> SecretBox<[u8; 32]> {
        SecretBox::new(Box::new(expand::<32>(&self.secret, purpose.label())))
    }

    fn code(&self, salt: &Salt, id: Uuid, epoch: i32, length: CodeLength) -> Code {
        let mut mac = hmac_sha256(self.codes.expose_secret());
        mac.update(&salt.0);
        mac.update(id.as_bytes());
        mac.update(&epoch.to_be_bytes());
        let tag = mac.finalize().into_bytes();
        let mut head = [0_u8; 8];
        head.copy_from_slice(&tag[..8]);
        let digits = usize::from(length.digits());
        let number = u64::from_be_bytes(head) % 10_u64.pow(u32::from(length.digits()));
        Code::typed(format!("{number:0digits$}"))
    }
}

/// HMAC-SHA256 with a 32-byte key.
#[must_use]
#[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104)")]
pub fn hmac_sha256(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length")
}

#[expect(clippy::expect_used, reason = "HKDF-SHA256 gives up to 8160 bytes; we take at most 32")]
fn expand<const N: usize>(secret: &Secret, label: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    Hkdf::<Sha256>::new(Some(b"hulak"), secret.0.expose_secret())
        .expand(label, &mut out)
        .expect("at most 32 bytes are asked for");
    out
}

/// The keys of the current secret, and of the previous one while its codes live.
#[derive(Debug, Clone)]
pub struct Keyring {
    current: Keys,
    previous: Option<Keys>,
}

impl Keyring {
    /// New codes use `current`; `previous` still verifies and sends the codes it began.
    #[must_use]
    pub fn new(current: Secret, previous: Option<Secret>) -> Self {
        Self { current: Keys::new(current), previous: previous.map(Keys::new) }
    }

    /// The keys for new codes and tokens.
    #[must_use]
    pub fn current(&self) -> &Keys {
        &self.current
    }

    /// The keys with this id, if this process has them.
    #[must_use]
    pub fn find(&self, id: KeyId) -> Option<&Keys> {
        self.all().find(|keys| keys.id == id)
    }

    /// The current keys first, then the previous ones.
    pub fn all(&self) -> impl Iterator<Item = &Keys> {
        std::iter::once(&self.current).chain(self.previous.as_ref())
    }

    /// The code of a verification's epoch; `None` when this process does not have its key.
    #[must_use]
    pub fn code(&self, key: KeyId, salt: &Salt, id: Uuid, epoch: i32, length: CodeLength) -> Option<Code> {
        self.find(key).map(|keys| keys.code(salt, id, epoch, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(fill: u8) -> Secret {
        Secret::from_bytes(vec![fill; 32]).unwrap()
    }

    #[test]
    fn a_code_depends_on_every_input_and_on_nothing_else() {
        let ring = Keyring::new(secret(1), None);
        let (key, id) = (ring.current().id(), Uuid::from_u128(7));
        let length = CodeLength::new(10).unwrap();
        let code = |salt: u8, id: Uuid, epoch: i32| {
            ring.code(key, &Salt([salt; 20]), id, epoch, length).unwrap().expose().to_owned()
        };
        let base = code(1, id, 0);
        assert_eq!(base, code(1, id, 0));
        for other in [code(2, id, 0), code(1, Uuid::from_u128(8), 0), code(1, id, 1)] {
            assert_ne!(base, other);
        }
        let other_secret = Keyring::new(secret(2), None);
        let other = other_secret.code(other_secret.current().id(), &Salt([1; 20]), id, 0, length).unwrap();
        assert_ne!(base, other.expose());
    }

    #[test]
    fn every_length_gives_that_many_digits() {
        let ring = Keyring::new(secret(1), None);
        for digits in 4..=10 {
            let length = CodeLength::new(digits).unwrap();
            for n in 0..200 {
                let code =
                    ring.code(ring.current().id(), &Salt([3; 20]), Uuid::from_u128(n), 0, length).unwrap();
                assert!(code.fits(length), "{digits}");
            }
        }
        assert!(CodeLength::new(3).is_err() && CodeLength::new(11).is_err());
    }

    #[test]
    fn a_rotated_secret_still_finds_its_codes_and_a_dropped_one_does_not() {
        let before = Keyring::new(secret(1), None);
        let after = Keyring::new(secret(2), Some(secret(1)));
        let much_later = Keyring::new(secret(3), Some(secret(2)));
        let (key, salt, id) = (before.current().id(), Salt([9; 20]), Uuid::from_u128(1));
        let length = CodeLength::default();
        let old = before.code(key, &salt, id, 0, length).unwrap();
        assert!(after.code(key, &salt, id, 0, length).unwrap().matches(&old));
        assert!(much_later.code(key, &salt, id, 0, length).is_none());
        assert_ne!(after.current().id(), key);
    }

    #[test]
    fn nothing_secret_is_printed() {
        let ring = Keyring::new(secret(1), None);
        assert_eq!(format!("{:?}", Code::typed("123456".into())), "Code(…)");
        assert_eq!(format!("{:?}", secret(1)), "Secret(…)");
        assert!(!format!("{ring:?}").contains("01, 01"));
    }

    #[test]
    fn secrets_are_base64_of_32_bytes_or_more() {
        assert!(Secret::from_base64(&STANDARD.encode([1; 32])).is_ok());
        assert!(Secret::from_base64(&URL_SAFE_NO_PAD.encode([255; 33])).is_ok());
        assert_eq!(Secret::from_base64(&STANDARD.encode([1; 31])).unwrap_err(), SecretError::TooShort);
        assert_eq!(Secret::from_base64("not base64!").unwrap_err(), SecretError::NotBase64);
    }

    #[test]
    fn only_ascii_digits_of_the_length_fit() {
        let length = CodeLength::default();
        assert!(Code::typed("012345".into()).fits(length));
        for wrong in ["", "12345", "1234567", "12345a", "१२३४५६", " 12345", "12345\n"] {
            assert!(!Code::typed(wrong.into()).fits(length), "{wrong:?}");
        }
    }
}
