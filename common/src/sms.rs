//! How many parts, and so how many credits, a text costs.
//!
//! GSM 03.38 text holds 160 characters in one part and 153 in each of several (the rest is the header that joins
//! them). A single character outside its alphabet makes the whole text UCS-2: 70, then 67.

/// The GSM 03.38 basic table, without its escape character.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
    ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";

/// The extension table: each is sent as an escape and a character.
const EXTENSION: &str = "^{}\\[~]|€";

/// The alphabet a text travels in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// The GSM 7-bit alphabet.
    Gsm7,
    /// Two bytes a character; two characters for what lies beyond the basic multilingual plane.
    Ucs2,
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gsm7 => "GSM 7-bit",
            Self::Ucs2 => "UCS-2",
        })
    }
}

impl Encoding {
    /// Units that fit a message of one part.
    #[must_use]
    pub const fn single(self) -> usize {
        match self {
            Self::Gsm7 => 160,
            Self::Ucs2 => 70,
        }
    }

    /// Units that fit each part of a longer message.
    #[must_use]
    pub const fn joined(self) -> usize {
        match self {
            Self::Gsm7 => 153,
            Self::Ucs2 => 67,
        }
    }

    fn width(self, c: char) -> usize {
        match self {
            Self::Gsm7 => gsm_width(c).unwrap_or(1),
            Self::Ucs2 => c.len_utf16(),
        }
    }
}

/// What a text costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Segments {
    /// The alphabet the text needs.
    pub encoding: Encoding,
    /// Its length: septets of GSM text, code units of UCS-2.
    pub units: usize,
    /// The parts it is sent in; one part is one credit. An empty text still is one message.
    pub parts: usize,
}

/// Measures a text as the network will split it.
///
/// A character of two units is never split, so a part may end one unit early and a text may need one part more
/// than a division says.
#[must_use]
pub fn measure(text: &str) -> Segments {
    let gsm = text.chars().all(|c| gsm_width(c).is_some());
    let encoding = if gsm { Encoding::Gsm7 } else { Encoding::Ucs2 };
    let units = text.chars().map(|c| encoding.width(c)).sum();
    let parts = if units <= encoding.single() { 1 } else { joined_parts(text, encoding) };
    Segments { encoding, units, parts }
}

fn joined_parts(text: &str, encoding: Encoding) -> usize {
    let mut parts = 1;
    let mut used = 0;
    for width in text.chars().map(|c| encoding.width(c)) {
        if used + width > encoding.joined() {
            parts += 1;
            used = 0;
        }
        used += width;
    }
    parts
}

/// Septets a character takes in GSM text; `None` when it is in neither table.
fn gsm_width(c: char) -> Option<usize> {
    // Nearly every character asked about is one of these; the tables are searched for the rest.
    if c.is_ascii_alphanumeric() || matches!(c, ' '..='#' | '%'..='?' | '\n' | '\r') {
        return Some(1);
    }
    if BASIC.contains(c) {
        Some(1)
    } else if EXTENSION.contains(c) {
        Some(2)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gsm(units: usize, parts: usize) -> Segments {
        Segments { encoding: Encoding::Gsm7, units, parts }
    }

    fn ucs2(units: usize, parts: usize) -> Segments {
        Segments { encoding: Encoding::Ucs2, units, parts }
    }

    #[test]
    fn the_tables_are_whole() {
        // 128 septets less the escape.
        assert_eq!(BASIC.chars().count(), 127);
        assert!(BASIC.chars().all(|c| measure(&c.to_string()) == gsm(1, 1)));
        assert!(EXTENSION.chars().all(|c| measure(&c.to_string()) == gsm(2, 1)));
        for c in ['`', 'ç', '\t', '\u{1b}', '’', 'á', '–', 'क', '\u{a0}'] {
            assert_eq!(measure(&c.to_string()), ucs2(1, 1), "{c:?}");
        }
    }

    #[test]
    fn gsm_text_at_its_limits() {
        for (units, parts) in [(0, 1), (1, 1), (160, 1), (161, 2), (306, 2), (307, 3), (459, 3), (460, 4)] {
            assert_eq!(measure(&"a".repeat(units)), gsm(units, parts), "{units}");
        }
    }

    #[test]
    fn ucs2_text_at_its_limits() {
        for (units, parts) in [(1, 1), (70, 1), (71, 2), (134, 2), (135, 3), (201, 3), (202, 4)] {
            assert_eq!(measure(&"क".repeat(units)), ucs2(units, parts), "{units}");
        }
    }

    #[test]
    fn one_foreign_character_changes_the_whole_text() {
        assert_eq!(measure(&"a".repeat(71)), gsm(71, 1));
        assert_eq!(measure(&format!("{}–", "a".repeat(70))), ucs2(71, 2));
    }

    #[test]
    fn extended_characters_count_twice_and_are_not_torn() {
        assert_eq!(measure(&"€".repeat(80)), gsm(160, 1));
        assert_eq!(measure(&format!("{}[", "a".repeat(158))), gsm(160, 1));
        assert_eq!(measure(&format!("{}[", "a".repeat(159))), gsm(161, 2));
        // 153 is odd: 76 pairs fill 152 septets of a part, so 306 septets of pairs need a third.
        assert_eq!(measure(&"]".repeat(152)), gsm(304, 2));
        assert_eq!(measure(&"]".repeat(153)), gsm(306, 3));
        assert_eq!(measure(&format!("{}€{}", "a".repeat(152), "a".repeat(152))), gsm(306, 3));
        assert_eq!(measure(&format!("{}€{}", "a".repeat(151), "a".repeat(153))), gsm(306, 2));
    }

    #[test]
    fn surrogate_pairs_count_twice_and_are_not_torn() {
        assert_eq!(measure("🎉"), ucs2(2, 1));
        assert_eq!(measure(&"🎉".repeat(35)), ucs2(70, 1));
        assert_eq!(measure(&"🎉".repeat(36)), ucs2(72, 2));
        // 33 pairs to a part of 67.
        assert_eq!(measure(&"🎉".repeat(66)), ucs2(132, 2));
        assert_eq!(measure(&"🎉".repeat(67)), ucs2(134, 3));
        assert_eq!(measure(&format!("{}🎉{}", "क".repeat(66), "क".repeat(66))), ucs2(134, 3));
    }

    fn any_text() -> impl Strategy<Value = String> {
        let character = prop_oneof![
            6 => proptest::char::range(' ', '~'),
            2 => proptest::sample::select(EXTENSION.chars().collect::<Vec<_>>()),
            1 => any::<char>(),
        ];
        proptest::collection::vec(character, 0..500).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn longer_texts_never_cost_less(text in any_text(), more in any::<char>()) {
            let before = measure(&text);
            let after = measure(&format!("{text}{more}"));
            prop_assert!(after.parts >= before.parts);
            prop_assert!(after.encoding != before.encoding || after.units > before.units);
        }

        #[test]
        fn the_parts_hold_the_units(text in any_text()) {
            let Segments { encoding, units, parts } = measure(&text);
            let room = if parts == 1 { encoding.single() } else { parts * encoding.joined() };
            prop_assert!(units <= room);
            // No part but the last is more than one unit short of full.
            prop_assert!(parts == 1 || units > (parts - 1) * (encoding.joined() - 1));
        }
    }
}
