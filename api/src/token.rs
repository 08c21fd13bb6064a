//! Client tokens: what a phone or a browser holds to follow one verification. Stateless, keyed, bound to it.
//!
//! `vt_` and, in URL-safe base64, a version byte, the key's id, the client's and the verification's ids, and the first
//! 16 bytes of an HMAC-SHA256 over all of them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac as _;
use hulak_common::code::{KeyPurpose, Keyring, Keys, hmac_sha256};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use uuid::Uuid;

/// How every client token begins.
pub const PREFIX: &str = "vt_";

const VERSION: u8 = 1;
const KEY_ID: usize = 4;
const BODY: usize = 1 + KEY_ID + 16 + 16;
const TAG: usize = 16;

/// Mints and reads client tokens.
#[derive(Debug)]
pub struct ClientTokens {
    keys: Vec<([u8; KEY_ID], SecretBox<[u8; 32]>)>,
}

/// What a client token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TokenScope {
    /// The client application.
    pub client: Uuid,
    /// The one verification.
    pub verification: Uuid,
}

impl ClientTokens {
    /// New tokens use the present secret; those of the previous one are still good.
    #[must_use]
    pub fn new(keyring: &Keyring) -> Self {
        let derive = |keys: &Keys| (keys.id().to_bytes(), keys.derive(KeyPurpose::ClientTokens));
        Self { keys: keyring.all().map(derive).collect() }
    }

    /// The token for a verification.
    #[must_use]
    pub fn mint(&self, scope: TokenScope) -> SecretString {
        let Some((id, key)) = self.keys.first() else {
            unreachable!("a keyring always has a present key");
        };
        let mut bytes = Vec::with_capacity(BODY + TAG);
        bytes.push(VERSION);
        bytes.extend_from_slice(id);
        bytes.extend_from_slice(scope.client.as_bytes());
        bytes.extend_from_slice(scope.verification.as_bytes());
        let mut mac = hmac_sha256(key.expose_secret());
        mac.update(&bytes);
        bytes.extend_from_slice(&mac.finalize().into_bytes()[..TAG]);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)).into()
    }

    /// What this token is good for; `None` when it is not one of ours. The tag is compared in constant time.
    #[must_use]
    pub fn read(&self, token: &str) -> Option<TokenScope> {
        let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
        let (body, tag) = bytes.split_at_checked(BODY)?;
        if body[0] != VERSION || tag.len() != TAG {
            return None;
        }
        let (_, key) = self.keys.iter().find(|(id, _)| body[1..=KEY_ID] == *id)?;
        let mut mac = hmac_sha256(key.expose_secret());
        mac.update(body);
        mac.verify_truncated_left(tag).ok()?;
        let id = |at: usize| Uuid::from_slice(&body[at..at + 16]).ok();
        Some(TokenScope { client: id(1 + KEY_ID)?, verification: id(1 + KEY_ID + 16)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hulak_common::code::Secret;

    fn tokens(current: u8, previous: Option<u8>) -> ClientTokens {
        let secret = |fill| Secret::from_bytes(vec![fill; 32]).unwrap();
        ClientTokens::new(&Keyring::new(secret(current), previous.map(secret)))
    }

    #[test]
    fn a_token_is_read_by_who_knows_its_secret_only() {
        let scope = TokenScope { client: Uuid::from_u128(1), verification: Uuid::from_u128(2) };
        let token = tokens(1, None).mint(scope);
        assert_eq!(tokens(1, None).read(token.expose_secret()), Some(scope));
        assert_eq!(tokens(2, Some(1)).read(token.expose_secret()), Some(scope));
        assert_eq!(tokens(2, None).read(token.expose_secret()), None);
    }

    proptest::proptest! {
        /// `make fuzz` tries a million.
        #[test]
        fn nothing_but_a_token_is_read(text in "(vt_)?[A-Za-z0-9_=+/-]{0,120}|.{0,80}") {
            proptest::prop_assert_eq!(tokens(1, Some(2)).read(&text), None);
        }

        #[test]
        fn a_token_with_other_bytes_is_not_read(
            client: u128, verification: u128, spoilt in proptest::collection::vec((0_usize..BODY + TAG, 1_u8..), 1..4)
        ) {
            let ours = tokens(1, None);
            let scope = TokenScope { client: Uuid::from_u128(client), verification: Uuid::from_u128(verification) };
            let token = ours.mint(scope).expose_secret().to_owned();
            proptest::prop_assert_eq!(ours.read(&token), Some(scope));
            let good = URL_SAFE_NO_PAD.decode(&token[PREFIX.len()..]).unwrap();
            let mut bad = good.clone();
            for (at, by) in spoilt {
                bad[at] ^= by;
            }
            if bad != good {
                proptest::prop_assert_eq!(ours.read(&format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bad))), None);
            }
        }
    }

    #[test]
    fn one_changed_character_spoils_it() {
        let scope = TokenScope { client: Uuid::from_u128(1), verification: Uuid::from_u128(2) };
        let ours = tokens(1, None);
        let token = ours.mint(scope).expose_secret().to_owned();
        for at in 0..token.len() {
            let mut spoiled = token.clone().into_bytes();
            spoiled[at] = if spoiled[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(ours.read(std::str::from_utf8(&spoiled).unwrap()), None, "at {at}");
        }
        for token in ["", "vt_", "vt_!!", &token[..token.len() - 4], &format!("{token}AAAA")] {
            assert_eq!(ours.read(token), None, "{token}");
        }
    }
}
