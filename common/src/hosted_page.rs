//! Hosted pages: where a person types a number and its code, for an application that has no form of its own.

use std::time::Duration;

use uuid::Uuid;

use crate::origin::RedirectUri;
use crate::time::Timestamp;
use crate::verification::{Locale, Purpose};

/// How long a page is valid.
pub const LIFE: Duration = Duration::from_secs(15 * 60);
/// How often a page may ask for a code.
pub const CREATES: i32 = 3;
/// How long an approval may be exchanged: as long as an approval token is valid.
pub const CODE_LIFE: Duration = Duration::from_secs(10 * 60);
/// How long a page is kept after its end, so that people are told that it has ended.
pub const REMEMBERED: Duration = Duration::from_secs(24 * 3_600);

/// A hosted page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostedPage {
    /// Its id.
    pub id: Uuid,
    /// The client application that it belongs to.
    pub client: Uuid,
    /// What its verifications are for.
    pub purpose: Purpose,
    /// The account that the number will belong to.
    pub account: Option<Uuid>,
    /// Its language; the browser's when there is none.
    pub locale: Option<Locale>,
    /// The client application's own name.
    pub app_name: Option<String>,
    /// Where the browser is sent at the end; a demonstration has no such address.
    pub redirect_uri: Option<RedirectUri>,
    /// The caller's own value, given back to it.
    pub state: String,
    /// How often it may still ask for a code.
    pub creates_left: i32,
    /// The newest verification that it began.
    pub verification: Option<Uuid>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is valid.
    pub expires_at: Timestamp,
}

impl HostedPage {
    /// Whether its time is over.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }

    /// The session of its verifications, so that a stranger who types the same number into another page does not share
    /// this page's verification.
    #[must_use]
    pub fn session(&self) -> String {
        format!("page:{}", self.id.simple())
    }
}
