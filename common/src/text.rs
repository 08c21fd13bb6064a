//! The text of a message.

use crate::code::Code;
use crate::verification::{Locale, Verification};

/// The longest application name that leaves an English message in one part.
pub const MAX_APP_NAME: usize = 30;

/// Writes the message of a verification: the code first, where a phone's preview and its autofill look for it.
#[must_use]
pub fn message(app: &str, verification: &Verification, code: &Code) -> String {
    let code = code.expose();
    match verification.locale {
        Locale::En => format!("{code} is your {app} code. Do not share it with anyone."),
        Locale::Ne => format!("{code} तपाईंको {app} कोड हो। कसैलाई नदिनुहोस्।"),
    }
}
