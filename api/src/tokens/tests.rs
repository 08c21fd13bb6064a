//! Tokens of all kinds: each is read under its own secret and for its own purpose only.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hulak_common::code::{Keyring, Secret};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use crate::tokens::client::{ClientTokens, PREFIX, TokenScope};
use crate::tokens::keyed::{BODY, TAG};
use crate::tokens::page::{CODE_PREFIX, PAGE_PREFIX, PageScope, PageTokens};

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
