//! Which well-formed numbers an installation sends to.

use std::fmt;
use std::str::FromStr;

use regex::bytes::{Regex, RegexBuilder};
use thiserror::Error;

use super::number::PhoneNumber;

/// Longest pattern taken.
const MAX_PATTERN: usize = 512;
/// Largest compiled pattern, in bytes: the default needs a few hundred.
const MAX_COMPILED: usize = 256 * 1024;
/// The numbers of the mobile carriers.
const DEFAULT: &str = r"^9[678]\d{8}$";

/// A regular expression over the ten national digits: the numbers that are served.
///
/// As everywhere, it may match anywhere unless it is written with `^` and `$`: `^98` serves what begins with 98.
#[derive(Clone)]
pub struct PhonePattern {
    source: Box<str>,
    regex: Regex,
}

/// Why a text is not a [`PhonePattern`]. One line each: they end the program's start.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// No pattern at all, which would refuse every number.
    #[error("the pattern is empty: leave it out to use the default")]
    Empty,
    /// Longer than the bound.
    #[error("the pattern is longer than {MAX_PATTERN} characters: write a shorter one")]
    TooLong,
    /// Compiles to something that would be slow to match.
    #[error("the pattern is too complex: use smaller repetition counts")]
    TooComplex,
    /// Not a regular expression.
    #[error("not a regular expression: {0}")]
    Syntax(String),
}

impl PhonePattern {
    /// Whether numbers like this one are served.
    #[must_use]
    pub fn accepts(&self, number: &PhoneNumber) -> bool {
        self.regex.is_match(number.national().as_bytes())
    }

    fn compile(pattern: &str) -> Result<Regex, PatternError> {
        // Without Unicode `\d` means 0-9 and stays small; the digits matched are ASCII anyway.
        let built = RegexBuilder::new(pattern).unicode(false).size_limit(MAX_COMPILED).nest_limit(32).build();
        built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => PatternError::TooComplex,
            // The message shows the pattern over several lines; its last line is the reason.
            other => {
                let message = other.to_string();
                let reason = message.lines().last().unwrap_or_default();
                PatternError::Syntax(reason.trim_start_matches("error: ").to_owned())
            }
        })
    }
}

impl FromStr for PhonePattern {
    type Err = PatternError;
    fn from_str(source: &str) -> Result<Self, Self::Err> {
        if source.is_empty() {
            return Err(PatternError::Empty);
        }
        if source.chars().nth(MAX_PATTERN).is_some() {
            return Err(PatternError::TooLong);
        }
        Ok(Self { source: source.into(), regex: Self::compile(source)? })
    }
}

impl Default for PhonePattern {
    #[expect(clippy::expect_used, reason = "a constant; a test compiles it")]
    fn default() -> Self {
        DEFAULT.parse().expect("the default pattern compiles")
    }
}

impl fmt::Display for PhonePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl fmt::Debug for PhonePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhonePattern({})", self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(pattern: &str, number: &str) -> bool {
        pattern.parse::<PhonePattern>().unwrap().accepts(&PhoneNumber::parse(number).unwrap())
    }

    #[test]
    fn the_default_takes_mobile_prefixes_only() {
        let pattern = PhonePattern::default();
        let taken = |number| pattern.accepts(&PhoneNumber::parse(number).unwrap());
        for number in ["9612345678", "9712345678", "9812345678", "+977 ९८१२३४५६७८"] {
            assert!(taken(number), "{number}");
        }
        for number in ["9012345678", "9512345678", "9912345678"] {
            assert!(!taken(number), "{number}");
        }
        assert_eq!(pattern.to_string(), r"^9[678]\d{8}$");
        assert_eq!(format!("{pattern:?}"), r"PhonePattern(^9[678]\d{8}$)");
    }

    #[test]
    fn anchors_mean_what_they_say() {
        assert!(accepts("^98", "9812345678"));
        assert!(!accepts("^97", "9812345678"));
        assert!(accepts("5678$", "9812345678"));
        assert!(accepts(r"^(98|97)\d{8}$", "9712345678"));
        assert!(!accepts(r"^98\d{7}$", "9812345678"));
    }

    #[test]
    fn bad_patterns_are_refused_in_one_line() {
        let refused = |pattern: &str| pattern.parse::<PhonePattern>().unwrap_err();
        assert_eq!(refused(""), PatternError::Empty);
        assert_eq!(refused(&"9".repeat(513)), PatternError::TooLong);
        assert_eq!(refused(r"(?:\d{1000}){1000}"), PatternError::TooComplex);
        for pattern in ["9[678", "98)|(?:.*", "(?:", "*", r"\p{Greek}", &"(".repeat(400)] {
            let error = refused(pattern);
            assert!(matches!(error, PatternError::Syntax(_)), "{pattern}: {error}");
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
        }
        assert_eq!(refused("9[678").to_string(), "not a regular expression: unclosed character class");
    }
}
