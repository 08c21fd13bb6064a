//! Which carrier issued a number, by its first digits.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use thiserror::Error;

use super::number::PhoneNumber;

/// The table that is built in; an installation may bring its own.
#[expect(clippy::expect_used, reason = "a constant; a test reads it")]
static BUILTIN: LazyLock<Carriers> = LazyLock::new(|| {
    Carriers::parse(include_str!("../../data/carriers.toml")).expect("the built-in table is right")
});
/// Largest table read.
const MAX_TABLE: usize = 64 * 1024;
/// Longest carrier code: it becomes a label in metrics and a field in answers.
const MAX_CODE: usize = 16;

/// The carriers' prefixes. The longest prefix that fits a number wins.
#[derive(Debug, Clone)]
pub struct Carriers {
    by_prefix: BTreeMap<String, Arc<str>>,
    longest: usize,
}

/// Why a text is not a table of carriers. One line each: they end the program's start.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CarriersError {
    /// Larger than the bound.
    #[error("the table is larger than {} KiB", MAX_TABLE / 1024)]
    TooLarge,
    /// Not TOML, or not lines of the form `code = ["prefix", …]`.
    #[error("line {line}: {reason}: write lines such as ntc = [\"984\", \"985\"]")]
    Syntax {
        /// Where, counted from 1.
        line: usize,
        /// What the TOML reader said.
        reason: String,
    },
    /// No prefix in it.
    #[error("the table has no prefixes")]
    Empty,
    /// A carrier's code is not a short plain word.
    #[error("the operator code {0:?} is not made of 1 to {MAX_CODE} of a-z, 0-9, - and _")]
    BadCode(String),
    /// A prefix is not the beginning of a national mobile number.
    #[error("{code}: the prefix {prefix:?} is not made of 1 to 10 digits beginning with 9")]
    BadPrefix {
        /// The carrier's code.
        code: String,
        /// The prefix.
        prefix: String,
    },
    /// A prefix is in the table twice.
    #[error("the prefix {prefix} is given to {first} and to {second}: leave it with one of them")]
    Duplicate {
        /// The prefix.
        prefix: String,
        /// The carrier that has it first.
        first: String,
        /// The other carrier.
        second: String,
    },
}

impl Carriers {
    /// The allocation as it is known to this release.
    #[must_use]
    pub fn builtin() -> Self {
        BUILTIN.clone()
    }

    /// Reads a table: TOML lines of a carrier's code and its prefixes, `ntc = ["984", "985"]`.
    ///
    /// # Errors
    /// [`CarriersError`] names the first line, code or prefix that is wrong.
    pub fn parse(text: &str) -> Result<Self, CarriersError> {
        if text.len() > MAX_TABLE {
            return Err(CarriersError::TooLarge);
        }
        let table: BTreeMap<String, Vec<String>> =
            toml::from_str(text).map_err(|error| syntax(text, &error))?;
        let mut by_prefix = BTreeMap::new();
        for (code, prefixes) in table {
            add(&mut by_prefix, &code, prefixes)?;
        }
        match by_prefix.keys().map(String::len).max() {
            Some(longest) => Ok(Self { by_prefix, longest }),
            None => Err(CarriersError::Empty),
        }
    }

    /// Every carrier's code, each once, in alphabetical order.
    #[must_use]
    pub fn codes(&self) -> Vec<String> {
        let codes: std::collections::BTreeSet<&str> = self.by_prefix.values().map(AsRef::as_ref).collect();
        codes.into_iter().map(str::to_owned).collect()
    }

    /// The code of the carrier that issued this number, when it is known.
    #[must_use]
    pub fn lookup(&self, number: &PhoneNumber) -> Option<&str> {
        let national = number.national();
        (1..=self.longest)
            .rev()
            .find_map(|length| self.by_prefix.get(national.get(..length)?))
            .map(AsRef::as_ref)
    }

    /// Whether any carrier has numbers that begin like this one, by this table or by the built-in one. An installation whose
    /// own table is for statistics only need not repeat the ranges of all carriers.
    #[must_use]
    pub fn issued(&self, number: &PhoneNumber) -> bool {
        self.lookup(number).or_else(|| BUILTIN.lookup(number)).is_some()
    }
}

fn add(
    by_prefix: &mut BTreeMap<String, Arc<str>>,
    code: &str,
    prefixes: Vec<String>,
) -> Result<(), CarriersError> {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    if !(1..=MAX_CODE).contains(&code.len()) || !code.bytes().all(plain) {
        return Err(CarriersError::BadCode(code.to_owned()));
    }
    let shared: Arc<str> = code.into();
    for prefix in prefixes {
        let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || !prefix.starts_with('9') || prefix.len() > 10 {
            return Err(CarriersError::BadPrefix { code: code.to_owned(), prefix });
        }
        if let Some(first) = by_prefix.get(&prefix) {
            return Err(CarriersError::Duplicate {
                prefix,
                first: first.as_ref().to_owned(),
                second: code.to_owned(),
            });
        }
        by_prefix.insert(prefix, Arc::clone(&shared));
    }
    Ok(())
}

fn syntax(text: &str, error: &toml::de::Error) -> CarriersError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    CarriersError::Syntax {
        line: before.matches('\n').count() + 1,
        reason: error.message().replace('\n', ", "),
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    fn number(text: &str) -> PhoneNumber {
        PhoneNumber::parse(text).unwrap()
    }

    #[test]
    fn the_builtin_table_names_the_operators() {
        let carriers = Carriers::builtin();
        let expected = [
            ("ntc", &["974", "975", "976", "984", "985", "986"][..]),
            ("ncell", &["900", "970", "971", "980", "981", "982"]),
            ("smart", &["961", "962", "988"]),
            ("utl", &["972"]),
            ("hello", &["963"]),
            ("stm", &["960"]),
        ];
        for (code, prefixes) in expected {
            for prefix in prefixes {
                assert_eq!(carriers.lookup(&number(&format!("{prefix}1234567"))), Some(code), "{prefix}");
            }
        }
    }

    /// libphonenumber's pattern for mobile numbers of region NP, as of its release 9.0.43 of 2026.
    const MOBILE: &str = r"^9(?:00|6[0-3]|7[0-24-6]|8[0-24-68])\d{7}$";

    #[test]
    fn every_prefix_is_issued_exactly_where_the_public_metadata_says_so() {
        let (mobile, carriers) = (Regex::new(MOBILE).unwrap(), Carriers::builtin());
        for prefix in 0..1000 {
            let text = format!("{prefix:03}1234567");
            let issued = PhoneNumber::parse(&text).is_ok_and(|number| carriers.issued(&number));
            assert_eq!(issued, mobile.is_match(&text), "{prefix:03}");
        }
    }

    #[test]
    fn a_table_of_ones_own_adds_to_the_ranges_that_are_issued() {
        let own = Carriers::parse("new = [\"9871\"]").unwrap();
        for (text, issued) in [("9871234567", true), ("9872345678", false), ("9812345678", true)] {
            assert_eq!(own.issued(&number(text)), issued, "{text}");
        }
        assert_eq!(own.lookup(&number("9812345678")), None);
    }

    #[test]
    fn the_longest_prefix_wins() {
        let carriers =
            Carriers::parse("a = [\"9\", \"98012\"]\nb = [\"980\", \"9801234567\"]\nc = []").unwrap();
        assert_eq!(carriers.lookup(&number("9701234567")), Some("a"));
        assert_eq!(carriers.lookup(&number("9800000000")), Some("b"));
        assert_eq!(carriers.lookup(&number("9801200000")), Some("a"));
        assert_eq!(carriers.lookup(&number("9801234567")), Some("b"));
    }

    #[test]
    fn a_wrong_table_is_refused_in_one_line() {
        let refused = |text: &str| {
            let error = Carriers::parse(text).unwrap_err();
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
            error
        };
        assert_eq!(refused(""), CarriersError::Empty);
        assert_eq!(refused("a = []"), CarriersError::Empty);
        assert_eq!(refused(&"#".repeat(MAX_TABLE + 1)), CarriersError::TooLarge);
        for (text, at) in [("a = [\"984\"]\nb = [985]", 2), ("a = [", 1), ("\n\na = 5", 3), ("a=[]\na=[]", 2)]
        {
            assert!(matches!(refused(text), CarriersError::Syntax { line, .. } if line == at), "{text}");
        }
        assert!(matches!(refused("[ntc]\nprefixes = [\"984\"]"), CarriersError::Syntax { .. }));
        for code in ["NTC", "n c", "", "seventeen-letters"] {
            assert_eq!(refused(&format!("{code:?} = [\"984\"]")), CarriersError::BadCode(code.to_owned()));
        }
        for prefix in ["", "884", "98x", "९८", "98123456789", "+977984"] {
            assert!(
                matches!(refused(&format!("a = [{prefix:?}]")), CarriersError::BadPrefix { .. }),
                "{prefix}"
            );
        }
        let twice = refused("a = [\"984\"]\nb = [\"985\", \"984\"]");
        assert_eq!(twice.to_string(), "the prefix 984 is given to a and to b: leave it with one of them");
    }
}
