//! A gateway's code, and what is known of one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest code, in bytes.
const MAX: usize = 32;

/// A gateway's own code for a refusal: 1 to 32 ASCII letters, digits, `-`, `_` and `.`, so that it fits
/// everywhere unescaped.
///
/// Written as JSON text. Read from a number, too: the release before this one wrote numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "TextOrNumber")]
pub struct GatewayCode([u8; MAX]);

impl GatewayCode {
    /// The code with this text; `None` when the text cannot be one.
    #[must_use]
    pub const fn new(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.is_empty() || text.len() > MAX {
            return None;
        }
        let mut code = [0; MAX];
        let mut at = 0;
        while at < text.len() {
            if !matches!(text[at], b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.') {
                return None;
            }
            code[at] = text[at];
            at += 1;
        }
        Some(Self(code))
    }

    /// The code's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(MAX);
        std::str::from_utf8(&self.0[..end]).unwrap_or_default()
    }

    /// The code as a number, if it is one.
    #[must_use]
    pub fn to_number(self) -> Option<i32> {
        self.as_str().parse().ok()
    }
}

/// A text that cannot be a gateway's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX} ASCII letters, digits, dashes, underscores and dots")]
pub struct InvalidGatewayCode;

impl FromStr for GatewayCode {
    type Err = InvalidGatewayCode;
    fn from_str(text: &str) -> Result<Self, InvalidGatewayCode> {
        Self::new(text).ok_or(InvalidGatewayCode)
    }
}

impl From<i32> for GatewayCode {
    fn from(number: i32) -> Self {
        let mut code = [0; MAX];
        let text = number.to_string();
        code[..text.len()].copy_from_slice(text.as_bytes());
        Self(code)
    }
}

impl fmt::Display for GatewayCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for GatewayCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for GatewayCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TextOrNumber {
    Text(String),
    Number(i32),
}

impl TryFrom<TextOrNumber> for GatewayCode {
    type Error = InvalidGatewayCode;
    fn try_from(code: TextOrNumber) -> Result<Self, InvalidGatewayCode> {
        match code {
            TextOrNumber::Text(text) => text.parse(),
            TextOrNumber::Number(number) => Ok(number.into()),
        }
    }
}

/// What a code refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The receiver: no message can be sent to that number.
    Receiver,
    /// The message itself.
    Message,
    /// Everything of the account.
    Account,
    /// Everything of the account, because no credits are left.
    Credits,
}

/// A code that a gateway's documentation names.
#[derive(Debug, Clone, Copy)]
pub struct KnownCode {
    /// Its text.
    pub code: &'static str,
    /// What it refuses.
    pub refused: Refused,
    /// What it means, as the end of a sentence.
    pub meaning: &'static str,
}

impl KnownCode {
    /// The one of a gateway's known codes that `code` is.
    #[must_use]
    pub fn find(known: &'static [Self], code: GatewayCode) -> Option<&'static Self> {
        known.iter().find(|known| known.code == code.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_a_short_visible_text() {
        for text in ["1012", "-5", "REJECTED_NOT_ENOUGH_CREDITS", "x".repeat(MAX).as_str()] {
            assert_eq!(text.parse::<GatewayCode>().unwrap().to_string(), text);
        }
        for text in ["", "no credits", "a/b", "<b>", "कोड", "x".repeat(MAX + 1).as_str()] {
            assert_eq!(text.parse::<GatewayCode>(), Err(InvalidGatewayCode), "{text}");
        }
        assert_eq!(Some(GatewayCode::from(i32::MIN)), GatewayCode::new("-2147483648"));
        assert_eq!(GatewayCode::from(1012).to_number(), Some(1012));
    }

    #[test]
    fn json_is_text_and_was_a_number() {
        let code = GatewayCode::from(1012);
        assert_eq!(serde_json::to_string(&code).unwrap(), "\"1012\"");
        for written in ["\"1012\"", "1012"] {
            assert_eq!(serde_json::from_str::<GatewayCode>(written).unwrap(), code);
        }
        assert!(serde_json::from_str::<GatewayCode>("\"\"").is_err());
    }
}
