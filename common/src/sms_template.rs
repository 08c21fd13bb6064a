//! The texts of messages.
//!
//! A text begins with the code, where a phone's preview and its autofill look for it. It ends with the line for a
//! machine, if the request asked for one. Between them come the application's name and a warning against sharing, if there
//! is room.

use std::str::FromStr;

use secrecy::SecretString;

use crate::code::{Code, CodeLength};
use crate::sms::{Segments, measure};
use crate::verification::{Locale, Verification};

/// The longest application name, in characters: most leave an English message in one part.
pub const MAX_APP_NAME: usize = 30;
/// The longest name of a client application.
const MAX_CLIENT_NAME: usize = 64;

/// Reads the name of an application in messages.
///
/// # Errors
/// When it is empty, longer than [`MAX_APP_NAME`], or has characters that break a line or change the direction of writing:
/// machines read the line below it, and people the code before it.
pub fn app_name(text: &str) -> Result<String, String> {
    name(text, MAX_APP_NAME)
}

/// Reads the name of a client application, as operators know it.
///
/// # Errors
/// As [`app_name`], for more characters.
pub fn client_name(text: &str) -> Result<String, String> {
    name(text, MAX_CLIENT_NAME)
}

fn name(text: &str, max: usize) -> Result<String, String> {
    let text = text.trim();
    let unfit = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.is_empty() || text.chars().count() > max || text.chars().any(unfit) {
        return Err(format!("must have 1 to {max} characters, and no control characters"));
    }
    Ok(text.to_owned())
}

/// The name in messages when neither the client nor the operator sets one.
pub const DEFAULT_APP_NAME: &str = "Hulak";

/// Android's SMS Retriever reads no message that is longer, in bytes of UTF-8.
pub const MAX_RETRIEVER_BYTES: usize = 140;

/// A placeholder for a code: all codes of one length take the same room.
const ZEROS: &str = "0000000000";

/// The most parts a setting may allow; a code is not worth more.
const MOST_PARTS: usize = 10;

/// How many parts a message may take. Reads `2`, for every language, or `en=1,ne=2`; a language that is not named keeps
/// its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxParts {
    /// In English: 160 characters are one part.
    pub en: usize,
    /// In Nepali: 70 characters are one part, 134 are two.
    pub ne: usize,
}

impl MaxParts {
    /// The parts that a message in this language may take.
    #[must_use]
    pub const fn of(self, locale: Locale) -> usize {
        match locale {
            Locale::En => self.en,
            Locale::Ne => self.ne,
        }
    }
}

impl Default for MaxParts {
    fn default() -> Self {
        Self { en: 1, ne: 2 }
    }
}

impl FromStr for MaxParts {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains('=') {
            let parts = some_parts(text)?;
            return Ok(Self { en: parts, ne: parts });
        }
        let mut read = Self::default();
        let mut named = Vec::new();
        for pair in text.split(',') {
            let (locale, parts) = pair.split_once('=').ok_or_else(bad_parts)?;
            let locale: Locale = locale.trim().parse().map_err(|_| bad_parts())?;
            if named.contains(&locale) {
                return Err(format!("names {locale} twice"));
            }
            named.push(locale);
            match locale {
                Locale::En => read.en = some_parts(parts)?,
                Locale::Ne => read.ne = some_parts(parts)?,
            }
        }
        Ok(read)
    }
}

fn some_parts(text: &str) -> Result<usize, String> {
    text.trim().parse().ok().filter(|parts| (1..=MOST_PARTS).contains(parts)).ok_or_else(bad_parts)
}

fn bad_parts() -> String {
    format!("must be a number of parts from 1 to {MOST_PARTS}, or one for each language like en=1,ne=2")
}

/// The line of a message that a machine reads.
///
/// There is only one. Browsers take an origin-bound code from the last line and from no other, and a message for the SMS
/// Retriever ends with the hash, too; so the API refuses a request for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastLine<'a> {
    /// The hash by which Android's SMS Retriever recognises the app that may read the message.
    AppHash(&'a str),
    /// The host of the only site whose pages may be offered the code (origin-bound one-time codes).
    Origin(&'a str),
}

impl<'a> LastLine<'a> {
    /// The line of the request. If it names both, which the API refuses, the app's line stays, because its message has a size limit.
    #[must_use]
    pub fn of(app_hash: Option<&'a str>, origin: Option<&'a str>) -> Option<Self> {
        app_hash.map(Self::AppHash).or(origin.map(Self::Origin))
    }
}

/// A message that would take more parts than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {locale} message is {} ({} characters, {})", parts(.segments.parts), .segments.units, .segments.encoding)]
pub struct TooLong {
    /// Its language.
    pub locale: Locale,
    /// The parts it would take.
    pub segments: Segments,
    /// The parts it may take.
    pub allowed: usize,
}

fn parts(count: usize) -> String {
    if count == 1 { "1 part".to_owned() } else { format!("{count} parts") }
}

/// How much text surrounds a code, from the most to the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wording {
    /// The name, and a warning against sharing.
    Whole,
    /// A sentence with the name.
    Named,
    /// The name alone.
    Brief,
    /// No name: a message without room for it has a last line, which names the application, or a very long name.
    Bare,
}

impl Wording {
    const ALL: [Self; 4] = [Self::Whole, Self::Named, Self::Brief, Self::Bare];

    fn sentence(self, locale: Locale, app: &str, code: &str) -> String {
        match (locale, self) {
            (Locale::En, Self::Whole) => format!("{code} is your {app} code. Do not share it with anyone."),
            (Locale::En, Self::Named) => format!("{code} is your {app} code."),
            (Locale::En, Self::Brief) => format!("{code} {app} code"),
            (Locale::En, Self::Bare) => format!("{code} is your code."),
            (Locale::Ne, Self::Whole) => format!("{code} तपाईंको {app} कोड हो। कसैलाई नदिनुहोस्।"),
            (Locale::Ne, Self::Named) => format!("{code} तपाईंको {app} कोड हो।"),
            (Locale::Ne, Self::Brief) => format!("{code} {app} कोड"),
            (Locale::Ne, Self::Bare) => format!("{code} तपाईंको कोड हो।"),
        }
    }
}

/// A message without its wording.
#[derive(Clone, Copy)]
struct Draft<'a> {
    locale: Locale,
    app: &'a str,
    last: Option<LastLine<'a>>,
}

impl Draft<'_> {
    fn text(self, wording: Wording, code: &str) -> String {
        let sentence = wording.sentence(self.locale, self.app, code);
        match self.last {
            None => sentence,
            Some(LastLine::AppHash(hash)) => format!("{sentence}\n{hash}"),
            Some(LastLine::Origin(host)) => format!("{sentence}\n@{host} #{code}"),
        }
    }

    /// Whether the text fits with codes that are as long as this one.
    fn check(self, wording: Wording, code: &str, allowed: usize) -> Result<(), TooLong> {
        let text = self.text(wording, code);
        let segments = measure(&text);
        let short = text.len() <= MAX_RETRIEVER_BYTES || !matches!(self.last, Some(LastLine::AppHash(_)));
        if short && segments.parts <= allowed {
            Ok(())
        } else {
            Err(TooLong { locale: self.locale, segments, allowed })
        }
    }
}

/// Writes the messages of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Templates {
    app_name: String,
    max_parts: MaxParts,
}

impl Templates {
    /// The name for clients that have none of their own.
    #[must_use]
    pub fn app_name(&self) -> &str {
        &self.app_name
    }

    /// Templates with this name, which [`app_name`] has read.
    ///
    /// # Errors
    /// See [`Templates::check_name`].
    pub fn new(app_name: String, max_parts: MaxParts) -> Result<Self, TooLong> {
        let templates = Self { app_name, max_parts };
        templates.check_name(&templates.app_name).map(|()| templates)
    }

    /// Whether messages have room for this name, of the installation or of a client.
    ///
    /// # Errors
    /// When a sentence with it and the longest code takes more parts than it may.
    pub fn check_name(&self, app: &str) -> Result<(), TooLong> {
        Locale::ALL.iter().try_for_each(|&locale| {
            let draft = Draft { locale, app, last: None };
            draft.check(Wording::Named, ZEROS, self.max_parts.of(locale))
        })
    }

    /// Whether a message with this last line fits, however long its code. The name does not matter: without room for
    /// both, the message leaves the name out.
    ///
    /// # Errors
    /// When even the shortest text takes more parts than it may. A hash never does that.
    pub fn check_line(&self, locale: Locale, last: LastLine<'_>) -> Result<(), TooLong> {
        let draft = Draft { locale, app: &self.app_name, last: Some(last) };
        draft.check(Wording::Bare, ZEROS, self.max_parts.of(locale))
    }

    /// The message of a verification.
    #[must_use]
    pub fn write(&self, verification: &Verification, code: &Code) -> SecretString {
        let last = LastLine::of(verification.app_hash.as_deref(), verification.origin.as_deref());
        let app = verification.app_name.as_deref().unwrap_or(&self.app_name);
        self.compose(Draft { locale: verification.locale, app, last }, verification.code_length, code)
    }

    /// An accepted message is always sent: if a setting allows fewer parts since then, in the shortest wording.
    fn compose(&self, draft: Draft<'_>, length: CodeLength, code: &Code) -> SecretString {
        let zeros = ZEROS.get(..usize::from(length.digits())).unwrap_or(ZEROS);
        let allowed = self.max_parts.of(draft.locale);
        let wording = Wording::ALL.into_iter().find(|wording| draft.check(*wording, zeros, allowed).is_ok());
        draft.text(wording.unwrap_or(Wording::Bare), code.expose()).into()
    }
}

impl Default for Templates {
    fn default() -> Self {
        Self { app_name: DEFAULT_APP_NAME.to_owned(), max_parts: MaxParts::default() }
    }
}

#[cfg(test)]
mod tests;
