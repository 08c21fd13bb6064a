//! `HULAK_TEST_NUMBERS`: numbers with a fixed code, for reviewers of app stores and for CI. Nothing is sent to them, and
//! they have no limits.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use crate::code::{Code, CodeLength};
use crate::phone::PhoneNumber;

/// A number's fixed code.
#[derive(Debug)]
pub struct FixedCode {
    /// The code.
    pub code: Code,
    /// Its digits.
    pub length: CodeLength,
}

/// Test numbers and their codes.
#[derive(Debug, Clone, Default)]
pub struct TestNumbers(Arc<HashMap<PhoneNumber, FixedCode>>);

impl TestNumbers {
    /// The code of this number, if it is one of them.
    #[must_use]
    pub fn get(&self, phone: PhoneNumber) -> Option<&FixedCode> {
        self.0.get(&phone)
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn contains(&self, phone: PhoneNumber) -> bool {
        self.0.contains_key(&phone)
    }
}

impl FromStr for TestNumbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut numbers = HashMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            // The text after the sign is a code, which no error repeats.
            let (phone, code) =
                part.split_once('=').ok_or("must be like +9779800000001=123456, separated by commas")?;
            let phone = PhoneNumber::parse(phone).map_err(|error| format!("{}: {error}", phone.trim()))?;
            let fixed = fixed(code.trim()).map_err(|error| format!("{}: {error}", phone.masked()))?;
            if numbers.insert(phone, fixed).is_some() {
                return Err(format!("{}: is named twice", phone.masked()));
            }
        }
        Ok(Self(Arc::new(numbers)))
    }
}

fn fixed(text: &str) -> Result<FixedCode, &'static str> {
    let must = "its code must be 4 to 10 ASCII digits";
    let length = text.len().to_string().parse::<CodeLength>().map_err(|_| must)?;
    let code = Code::typed(text.to_owned());
    if code.fits(length) { Ok(FixedCode { code, length }) } else { Err(must) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone(text: &str) -> PhoneNumber {
        PhoneNumber::parse(text).unwrap()
    }

    #[test]
    fn numbers_have_their_codes() {
        let numbers: TestNumbers = "+9779800000001=123456, 9800000002=0000,".parse().unwrap();
        let fixed = numbers.get(phone("9800000001")).unwrap();
        assert!(fixed.code.matches(&Code::typed("123456".to_owned())));
        assert_eq!(numbers.get(phone("9800000002")).unwrap().length.digits(), 4);
        assert!(!numbers.contains(phone("9800000003")));
        assert!(!format!("{numbers:?}").contains("123456"));
        assert!("".parse::<TestNumbers>().is_ok_and(|none| none.0.is_empty()));
    }

    #[test]
    fn what_cannot_be_used_is_named_without_its_code() {
        for (text, word) in [
            ("9800000001", "+9779800000001=123456"),
            ("98=123456", "98"),
            ("9800000001=123", "4 to 10"),
            ("9800000001=12345678901", "4 to 10"),
            ("9800000001=१२३४", "4 to 10"),
            ("9800000001=654321,+9779800000001=1111", "twice"),
        ] {
            let error = text.parse::<TestNumbers>().unwrap_err();
            assert!(error.contains(word) && !error.contains("654321"), "{text}: {error}");
        }
    }
}
