//! A mobile number of Nepal as one value.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::parse::{self, NATIONAL_END, NATIONAL_START, PhoneError};

/// Nepal's country code, in front of the ten national digits.
const COUNTRY: u64 = 977;

/// A mobile number of Nepal in canonical form: the digits of E.164, 977 and ten that begin with 9.
///
/// `Display` writes all of it (`+9779812345678`), for gateways and answers; `Debug` is masked, for logs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber(pub(super) u64);

impl PhoneNumber {
    /// Reads a number as people type and paste it: with or without `+977`, `00977`, `977` or the trunk zero, with
    /// spaces, dashes, dots and brackets, in ASCII, full-width or Devanagari digits.
    ///
    /// # Errors
    /// [`PhoneError`] says what is wrong with it and what to write instead.
    pub fn parse(text: &str) -> Result<Self, PhoneError> {
        parse::national(text).map(|national| Self(COUNTRY * NATIONAL_END + national))
    }

    /// The ten digits without the country code, as the gateway wants them.
    #[must_use]
    pub fn national(self) -> NationalNumber {
        let mut rest = self.0 % NATIONAL_END;
        let mut digits = [b'0'; 10];
        for digit in digits.iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        NationalNumber(digits)
    }

    /// The number as logs, traces and client tokens may show it: `+97798•••••678`.
    #[must_use]
    pub const fn masked(self) -> MaskedNumber {
        MaskedNumber(self)
    }

    /// The thirteen digits as a number, as the stores keep them.
    #[must_use]
    pub const fn to_i64(self) -> i64 {
        // Thirteen digits are far below the sign bit.
        self.0.cast_signed()
    }

    /// From a store; `None` when it is not a number that [`PhoneNumber::to_i64`] could have written.
    #[must_use]
    pub fn from_i64(stored: i64) -> Option<Self> {
        let digits = u64::try_from(stored).ok()?;
        let well_formed = digits / NATIONAL_END == COUNTRY && digits % NATIONAL_END >= NATIONAL_START;
        well_formed.then_some(Self(digits))
    }
}

impl FromStr for PhoneNumber {
    type Err = PhoneError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.0)
    }
}

/// Masked, so that a `{:?}` in a log line or a derived `Debug` does not reveal the number.
impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.masked().fmt(f)
    }
}

impl Serialize for PhoneNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A [`PhoneNumber`] that shows its first two and last three national digits only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MaskedNumber(PhoneNumber);

impl fmt::Display for MaskedNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let national = self.0.national();
        write!(f, "+{COUNTRY}{}•••••{}", &national[..2], &national[7..])
    }
}

impl fmt::Debug for MaskedNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for MaskedNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The ten national digits, ASCII. Reads as a `str`; its `Debug` is masked like the number's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NationalNumber([u8; 10]);

impl NationalNumber {
    /// The ten digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only `PhoneNumber::national` makes these, out of ASCII digits.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Deref for NationalNumber {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for NationalNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for NationalNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}•••••{}", &self[..2], &self[7..])
    }
}
