//! Tokens that are kept nowhere: keyed, and bound to one thing of one client application.
//!
//! A prefix and, in URL-safe base64, a version byte, the key's id, the client's and the thing's ids, and the first 16
//! bytes of an HMAC-SHA256 over all of them. Client tokens are what a phone or a browser holds to follow one
//! verification; page tokens open a hosted page; page codes are what it hands over at its end.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac as _;
use hulak_common::code::{KeyPurpose, Keyring, Keys, hmac_sha256};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use uuid::Uuid;

/// How every client token begins.
pub const PREFIX: &str = "vt_";
/// How every page token begins.
pub const PAGE_PREFIX: &str = "pt_";
/// How every page code begins.
pub const CODE_PREFIX: &str = "pc_";

const VERSION: u8 = 1;
const KEY_ID: usize = 4;
const BODY: usize = 1 + KEY_ID + 16 + 16;
const TAG: usize = 16;

/// Mints and reads the tokens of one kind, each of a client and a thing of its.
#[derive(Debug)]
struct Tokens {
    prefix: &'static str,
    keys: Vec<([u8; KEY_ID], SecretBox<[u8; 32]>)>,
}

impl Tokens {
    /// New tokens use the present secret; those of the previous one are still good.
    fn new(keyring: &Keyring, prefix: &'static str, purpose: KeyPurpose) -> Self {
        let derive = |keys: &Keys| (keys.id().to_bytes(), keys.derive(purpose));
        Self { prefix, keys: keyring.all().map(derive).collect() }
    }

    fn mint(&self, client: Uuid, thing: Uuid) -> SecretString {
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
    fn read(&self, token: &str) -> Option<(Uuid, Uuid)> {
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

/// Mints and reads client tokens.
#[derive(Debug)]
pub struct ClientTokens(Tokens);

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
        Self(Tokens::new(keyring, PREFIX, KeyPurpose::ClientTokens))
    }

    /// The token for a verification.
    #[must_use]
    pub fn mint(&self, scope: TokenScope) -> SecretString {
        self.0.mint(scope.client, scope.verification)
    }

    /// What this token is good for; `None` when it is not one of ours.
    #[must_use]
    pub fn read(&self, token: &str) -> Option<TokenScope> {
        self.0.read(token).map(|(client, verification)| TokenScope { client, verification })
    }
}

/// Mints and reads what hosted pages hold and hand over.
#[derive(Debug)]
pub(crate) struct PageTokens {
    pages: Tokens,
    codes: Tokens,
}

/// A hosted page, as its token names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PageScope {
    /// The client application.
    pub(crate) client: Uuid,
    /// The page.
    pub(crate) page: Uuid,
}

impl PageTokens {
    pub(crate) fn new(keyring: &Keyring) -> Self {
        Self {
            pages: Tokens::new(keyring, PAGE_PREFIX, KeyPurpose::PageTokens),
            codes: Tokens::new(keyring, CODE_PREFIX, KeyPurpose::PageCodes),
        }
    }

    /// The token that opens a page.
    pub(crate) fn mint(&self, scope: PageScope) -> SecretString {
        self.pages.mint(scope.client, scope.page)
    }

    /// The page that a token opens.
    pub(crate) fn read(&self, token: &str) -> Option<PageScope> {
        self.pages.read(token).map(|(client, page)| PageScope { client, page })
    }

    /// What a page hands over for an approval: always the same, so that an answer that was lost on its way is not lost.
    pub(crate) fn mint_code(&self, scope: TokenScope) -> SecretString {
        self.codes.mint(scope.client, scope.verification)
    }

    /// The approval that a page code stands for.
    pub(crate) fn read_code(&self, code: &str) -> Option<TokenScope> {
        self.codes.read(code).map(|(client, verification)| TokenScope { client, verification })
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
    fn each_kind_is_good_for_its_own_purpose_only() {
        let keyring = Keyring::new(Secret::from_bytes(vec![1; 32]).unwrap(), None);
        let (tokens, pages) = (ClientTokens::new(&keyring), PageTokens::new(&keyring));
        let (client, id) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (scope, page) = (TokenScope { client, verification: id }, PageScope { client, page: id });
        let [token, opens, code] = [tokens.mint(scope), pages.mint(page), pages.mint_code(scope)]
            .map(|token| token.expose_secret().to_owned());
        assert_eq!(pages.read(&opens), Some(page));
        assert_eq!(pages.read_code(&code), Some(scope));
        // Not even under another's prefix.
        for other in [&token, &opens, &code] {
            for prefix in [PREFIX, PAGE_PREFIX, CODE_PREFIX] {
                let turned = format!("{prefix}{}", &other[3..]);
                let read = [
                    tokens.read(&turned).is_some(),
                    pages.read(&turned).is_some(),
                    pages.read_code(&turned).is_some(),
                ];
                assert_eq!(read.contains(&true), turned == *other, "{turned}");
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
