//! Tokens that are kept nowhere: keyed, and bound to one thing of one client application.
//!
//! A prefix and, in URL-safe base64, a version byte, the key's id, the client's and the thing's ids, and the first 16
//! bytes of an HMAC-SHA256 over all of them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac as _;
use hulak_common::code::{KeyPurpose, Keyring, Keys, hmac_sha256};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use uuid::Uuid;

const VERSION: u8 = 1;
const KEY_ID: usize = 4;
pub(super) const BODY: usize = 1 + KEY_ID + 16 + 16;
pub(super) const TAG: usize = 16;

/// Mints and reads the tokens of one kind, each of a client and a thing of its.
#[derive(Debug)]
pub(super) struct Tokens {
    prefix: &'static str,
    keys: Vec<([u8; KEY_ID], SecretBox<[u8; 32]>)>,
}

impl Tokens {
    /// New tokens use the present secret; those of the previous one are still good.
    pub(super) fn new(keyring: &Keyring, prefix: &'static str, purpose: KeyPurpose) -> Self {
        let derive = |keys: &Keys| (keys.id().to_bytes(), keys.derive(purpose));
        Self { prefix, keys: keyring.all().map(derive).collect() }
    }

    pub(super) fn mint(&self, client: Uuid, thing: Uuid) -> SecretString {
        let Some((id, key)) = self.keys.first() else {
            unreachable!("a keyring always has a present key");
        };
        let mut bytes = Vec::with_capacity(BODY + TAG);
        bytes.push(VERSION);
        bytes.extend_from_slice(id);
        bytes.extend_from_slice(client.as_bytes());
        bytes.extend_from_slice(thing.as_bytes());
        let mut mac = hmac_sha256(key.expose_secret());
        mac.update(&bytes);
        bytes.extend_from_slice(&mac.finalize().into_bytes()[..TAG]);
        format!("{}{}", self.prefix, URL_SAFE_NO_PAD.encode(bytes)).into()
    }

    /// The client and the thing; `None` when it is not one of ours. The tag is compared in constant time.
    pub(super) fn read(&self, token: &str) -> Option<(Uuid, Uuid)> {
        let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(self.prefix)?).ok()?;
        let (body, tag) = bytes.split_at_checked(BODY)?;
        if body[0] != VERSION || tag.len() != TAG {
            return None;
        }
        let (_, key) = self.keys.iter().find(|(id, _)| body[1..=KEY_ID] == *id)?;
        let mut mac = hmac_sha256(key.expose_secret());
        mac.update(body);
        mac.verify_truncated_left(tag).ok()?;
        let id = |at: usize| Uuid::from_slice(&body[at..at + 16]).ok();
        Some((id(1 + KEY_ID)?, id(1 + KEY_ID + 16)?))
    }
}
