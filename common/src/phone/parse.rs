//! Turns what a person typed into ten national digits, or says why it cannot.

use thiserror::Error;

/// One past the largest ten-digit number.
pub(super) const NATIONAL_END: u64 = 10_000_000_000;
/// The smallest national number: mobile numbers begin with 9.
pub(super) const NATIONAL_START: u64 = 9_000_000_000;

/// Longest accepted spelling, in characters. The longest real one has about thirty.
pub const MAX_INPUT_CHARS: usize = 64;

/// Why a text is not a mobile number of Nepal. The messages are for the person who typed it; none repeats the number,
/// because they appear in logs, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PhoneError {
    /// Only spaces and punctuation.
    #[error("there is no number: write the 10 digits of a mobile number, such as 98XXXXXXXX")]
    Empty,
    /// More characters than any spelling of a number has.
    #[error(
        "the text is longer than {MAX_INPUT_CHARS} characters: write the 10 digits of one mobile number only"
    )]
    InputTooLong,
    /// A character that no spelling of a number has.
    #[error("the character {0:?} does not belong in a phone number: write digits, spaces and dashes only")]
    BadCharacter(char),
    /// A plus sign after the first digit, or a second one.
    #[error("a plus sign may only stand in front of the number: write +977 and the 10 digits")]
    MisplacedPlus,
    /// `+0…` or `000…`.
    #[error("no country code begins with 0: write +977 and the 10 digits")]
    NoCountryCode,
    /// A number of another country.
    #[error("the number begins with +{code}, the code of another country: a Nepali number begins with +977")]
    Foreign {
        /// The country code it begins with.
        code: u16,
    },
    /// A Nepali landline, or a mobile number cut short that looks like one.
    #[error("this looks like a landline: codes go to mobile numbers, which have 10 digits and begin with 9")]
    Landline,
    /// Ten digits that do not begin with 9.
    #[error("this is not a mobile number: in Nepal they begin with 9; check the first digits")]
    NotMobile,
    /// Ten digits that begin with the country code: the last digits of the number are missing.
    #[error(
        "digits are missing: the number begins with the country code 977, after which come 10 digits; this has {digits}"
    )]
    CutOff {
        /// How many there are after the country code.
        digits: usize,
    },
    /// Too few digits.
    #[error("digits are missing: a mobile number has 10 without the country code, this has {digits}")]
    TooShort {
        /// How many there are, without country code and trunk zero.
        digits: usize,
    },
    /// Too many digits.
    #[error("there are too many digits: a mobile number has 10 without the country code, this has {digits}")]
    TooLong {
        /// How many there are, without country code and trunk zero.
        digits: usize,
    },
}

/// Reads the ten national digits out of any spelling.
pub(super) fn national(text: &str) -> Result<u64, PhoneError> {
    // Checked first, so that a text of megabytes costs 65 steps.
    if text.chars().nth(MAX_INPUT_CHARS).is_some() {
        return Err(PhoneError::InputTooLong);
    }
    let (plus, digits) = scan(text)?;
    classify(significant(plus, &digits)?)
}

/// Removes punctuation: answers whether a plus sign came first, and the digits in ASCII.
fn scan(text: &str) -> Result<(bool, String), PhoneError> {
    let mut plus = false;
    let mut digits = String::with_capacity(16);
    for character in without_scheme(text).chars() {
        match character {
            '+' | '\u{FE62}' | '\u{FF0B}' if plus || !digits.is_empty() => {
                return Err(PhoneError::MisplacedPlus);
            }
            '+' | '\u{FE62}' | '\u{FF0B}' => plus = true,
            _ => match digit(character) {
                Some(digit) => digits.push(digit),
                None if is_decoration(character) => {}
                None => return Err(PhoneError::BadCharacter(character)),
            },
        }
    }
    if digits.is_empty() { Err(PhoneError::Empty) } else { Ok((plus, digits)) }
}

/// Links to numbers (RFC 3966) are pasted too.
fn without_scheme(text: &str) -> &str {
    let text = text.trim_start_matches(is_decoration);
    match text.split_at_checked(4) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("tel:") => rest,
        _ => text,
    }
}

/// The digits in use in Nepal, as ASCII: ASCII itself, Devanagari, and full-width from East Asian keyboards.
fn digit(character: char) -> Option<char> {
    let zero = match character {
        '0'..='9' => return Some(character),
        '०'..='९' => '०',
        '０'..='９' => '０',
        _ => return None,
    };
    char::from_digit(u32::from(character) - u32::from(zero), 10)
}

fn is_decoration(character: char) -> bool {
    character.is_whitespace() || is_dash(character) || is_invisible(character) || is_dot_or_bracket(character)
}

fn is_dot_or_bracket(character: char) -> bool {
    // Not the bullet: a masked number that was copied from a screen gets the error for a bad character.
    matches!(character, '.' | '·' | '\u{2024}' | '\u{FF0E}')
        || matches!(character, '(' | ')' | '[' | ']' | '（' | '）' | '［' | '］')
}

/// Unicode's dash punctuation (category Pd) in the basic plane, and the minus sign.
pub(super) fn is_dash(character: char) -> bool {
    matches!(
        character,
        '-' | '\u{058A}' | '\u{05BE}' | '\u{1400}' | '\u{1806}' | '\u{2010}'
            ..='\u{2015}'
                | '\u{2212}'
                | '\u{2E17}'
                | '\u{2E1A}'
                | '\u{2E3A}'
                | '\u{2E3B}'
                | '\u{2E40}'
                | '\u{2E5D}'
                | '\u{301C}'
                | '\u{3030}'
                | '\u{30A0}'
                | '\u{FE31}'
                | '\u{FE32}'
                | '\u{FE58}'
                | '\u{FE63}'
                | '\u{FF0D}'
    )
}

/// Characters that address books, chat programs and web pages put around a number and that show nothing: those with
/// Unicode's property `Default_Ignorable_Code_Point`, and the object replacement character.
///
/// Not the right-to-left override (U+202E): it shows the digits backwards, so the person saw another number than
/// the one that would be read.
pub(super) fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202D}' | '\u{2060}'..='\u{206F}'
        | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}' | '\u{FFFC}'
        | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Removes the country code and the trunk zero.
fn significant(plus: bool, digits: &str) -> Result<&str, PhoneError> {
    // `+00977…` is typed by people who were told to "put a plus in front".
    if let Some(international) = digits.strip_prefix("00").or(plus.then_some(digits)) {
        return match international.strip_prefix("977") {
            Some(national) => Ok(without_trunk_zero(national)),
            None => Err(foreign(international)),
        };
    }
    // Ten digits are no country code and a national number; `classify` says what they are. `0977…` for `+977…` is common.
    let rest = without_trunk_zero(digits);
    match rest.strip_prefix("977") {
        Some(national) if rest.len() > 10 => Ok(without_trunk_zero(national)),
        _ => Ok(rest),
    }
}

fn without_trunk_zero(digits: &str) -> &str {
    digits.strip_prefix('0').unwrap_or(digits)
}

/// Names the country code of digits that do not begin with 977. Codes have one digit (zones 1 and 7), two, or three
/// (ITU-T E.164, annex); the two-digit ones are counted out here, the rest of each zone has three.
fn foreign(international: &str) -> PhoneError {
    let code = |length: usize| international.get(..length).and_then(|code| code.parse::<u16>().ok());
    let known = match code(2) {
        _ if international.starts_with('0') => return PhoneError::NoCountryCode,
        _ if international.starts_with(['1', '7']) => code(1),
        two @ Some(20 | 27 | 30..=34 | 36 | 39..=41 | 43..=49 | 51..=58 | 60..=66) => two,
        two @ Some(81 | 82 | 84 | 86 | 90..=95 | 98) => two,
        _ => code(3),
    };
    match known {
        Some(code) => PhoneError::Foreign { code },
        None => PhoneError::TooShort { digits: international.len() },
    }
}

/// Judges a national number, given without country code and trunk zero.
fn classify(national: &str) -> Result<u64, PhoneError> {
    match national.len() {
        8 if is_landline(national.as_bytes()) => Err(PhoneError::Landline),
        digits @ ..10 => Err(PhoneError::TooShort { digits }),
        // No carrier has 977. A form that keeps ten digits cuts `9779812345678` off here, which is nobody's number.
        10 if national.starts_with("977") => Err(PhoneError::CutOff { digits: 7 }),
        10 => match national.parse::<u64>() {
            Ok(number) if (NATIONAL_START..NATIONAL_END).contains(&number) => Ok(number),
            _ => Err(PhoneError::NotMobile),
        },
        digits => Err(PhoneError::TooLong { digits }),
    }
}

/// Eight digits: Kathmandu's area code 1 and seven, or an area code of two and six.
///
/// Mobile numbers begin with 9 too, so of the area codes in the far west (91 to 97, 99) only those with a subscriber
/// number that can exist, beginning with 2 to 6, count as landlines: the others are mobile numbers that are cut off.
fn is_landline(national: &[u8]) -> bool {
    matches!(national, [b'1'..=b'8', ..] | [b'9', b'1'..=b'7' | b'9', b'2'..=b'6', ..])
}
