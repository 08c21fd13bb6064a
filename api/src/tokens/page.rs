//! Tokens that open a hosted page, and the codes that the page gives to the application at its end.

use hulak_common::code::{KeyPurpose, Keyring};
use secrecy::SecretString;
use uuid::Uuid;

use crate::tokens::client::TokenScope;
use crate::tokens::keyed::Tokens;

/// How every page token begins.
pub(crate) const PAGE_PREFIX: &str = "pt_";
/// How every page code begins.
pub(crate) const CODE_PREFIX: &str = "pc_";

/// Mints and reads what hosted pages hold and hand over.
#[derive(Debug)]
pub(crate) struct PageTokens {
    pages: Tokens,
    codes: Tokens,
}

/// A hosted page, as its token names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct PageScope {
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
