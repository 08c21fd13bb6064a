//! Nepali mobile numbers: any spelling of one becomes one value, and no log shows it whole.
//!
//! Three separate questions. [`PhoneNumber::parse`]: is this a mobile number of Nepal at all?
//! [`PhonePattern`]: does this installation send to it? [`Carriers`]: who issued it?

mod carriers;
mod number;
mod parse;
mod pattern;

pub use self::carriers::{Carriers, CarriersError};
pub use self::number::{MaskedNumber, NationalNumber, PhoneNumber};
pub use self::parse::{MAX_INPUT_CHARS, PhoneError};
pub use self::pattern::{PatternError, PhonePattern};

#[cfg(test)]
mod tests;
