use proptest::prelude::*;
use regex::Regex;

use super::number::PhoneNumber;
use super::*;

const NUMBER: PhoneNumber = PhoneNumber(9_779_812_345_678);

#[test]
fn every_spelling_is_the_same_number() {
    let spellings = [
        "9812345678",
        "09812345678",
        "+9779812345678",
        "9779812345678",
        "009779812345678",
        "09779812345678",
        "+009779812345678",
        "+97709812345678",
        "97709812345678",
        "0097709812345678",
        "+977 981-2345678",
        "+977-98-1234-5678",
        "+977-0981-2345678",
        "+977 (0) 981 2345678",
        "(+977) 981 234 5678",
        "[977] 981.234.5678",
        "  981 234 5678\t\r\n",
        "+977\u{A0}981\u{202F}234\u{2009}56\u{3000}78",
        "981\u{2010}23\u{2011}45\u{2012}6\u{2013}7\u{2014}8\u{2015}",
        "+977\u{2212}981\u{FF0D}234\u{FE63}5678",
        "98\u{AD}12\u{200B}34\u{200C}56\u{200D}7\u{2060}8",
        "\u{FEFF}\u{202A}+977 981-2345678\u{202C}",
        "\u{202D}+9779812345678\u{202C}",
        "\u{2066}9812345678\u{2069}\u{200E}\u{200F}\u{61C}",
        "९८१२३४५६७८",
        "+९७७ ९८१-२३४५६७८",
        "००९७७९८१२३४५६७८",
        "०९८१२३४५६७८",
        "९८१2345६७८",
        "９８１２３４５６７８",
        "＋９７７（９８１）２３４−５６७８",
        "＋９७7．981·२３4．5６78",
        "tel:+9779812345678",
        "TEL:+977-981-2345678",
        " Tel: 981 2345678",
        "\u{200E}tel:९८१२३४५६७८",
        ")981( 2345678",
        "--9812345678--",
        "9812345678\u{FE0F}",
        "\u{FFFC}981\u{3164}234\u{115F}5\u{1160}6\u{FFA0}78",
        "98\u{34F}12\u{206A}34\u{206F}56\u{E0061}78\u{E007F}",
    ];
    for spelling in spellings {
        assert_eq!(PhoneNumber::parse(spelling), Ok(NUMBER), "{spelling:?}");
    }
}

#[test]
fn refusals_say_why() {
    use PhoneError::*;
    let refusals: &[(&str, PhoneError)] = &[
        ("", Empty),
        (" \u{A0}\u{200B}-().", Empty),
        ("+", Empty),
        ("tel:", Empty),
        (&" ".repeat(65), InputTooLong),
        (&"9812345678 ".repeat(6), InputTooLong),
        ("981/2345678", BadCharacter('/')),
        ("98l2345678", BadCharacter('l')),
        ("9812345678;ext=5", BadCharacter(';')),
        ("9812345678, 9841234567", BadCharacter(',')),
        ("98•••••678", BadCharacter('•')),
        ("98*2345678", BadCharacter('*')),
        ("#9812345678", BadCharacter('#')),
        ("9812345678\0", BadCharacter('\0')),
        ("\u{202E}9812345678", BadCharacter('\u{202E}')),
        ("৯৮১২৩৪৫৬৭৮", BadCharacter('৯')),
        ("٩٨١٢٣٤٥٦٧٨", BadCharacter('٩')),
        ("tel:tel:9812345678", BadCharacter('t')),
        ("sms:9812345678", BadCharacter('s')),
        ("फोन ९८१२३४५६७८", BadCharacter('फ')),
        ("++9779812345678", MisplacedPlus),
        ("977+9812345678", MisplacedPlus),
        ("9812345678+", MisplacedPlus),
        ("+०९८१२३४५६७८", NoCountryCode),
        ("000977981234567", NoCountryCode),
        ("+1 415 555 0132", Foreign { code: 1 }),
        ("+7 495 1234567", Foreign { code: 7 }),
        ("+91 98123 45678", Foreign { code: 91 }),
        ("0091 98123 45678", Foreign { code: 91 }),
        ("＋９१ 98123 45678", Foreign { code: 91 }),
        ("+9812345678", Foreign { code: 98 }),
        ("+971 50 123 4567", Foreign { code: 971 }),
        ("+974 3312 3456", Foreign { code: 974 }),
        ("00880 1712 345678", Foreign { code: 880 }),
        ("+44 20 7946 0018", Foreign { code: 44 }),
        ("+352 621 123 456", Foreign { code: 352 }),
        ("01-4412345", Landline),
        ("1 4412345", Landline),
        ("+977-1-4412345", Landline),
        ("+977 01 4412345", Landline),
        ("97714412345", Landline),
        ("977014412345", Landline),
        ("00977 1 5970123", Landline),
        ("061-465123", Landline),
        ("०६१-४६५१२३", Landline),
        ("61 465123", Landline),
        ("+977 21 523456", Landline),
        ("091-521234", Landline),
        ("+977 99 520123", Landline),
        ("8812345678", NotMobile),
        ("+977 1234567890", NotMobile),
        ("01234567890", NotMobile),
        ("+977 00 98123456", TooShort { digits: 9 }),
        ("1", TooShort { digits: 1 }),
        ("100", TooShort { digits: 3 }),
        ("4412345", TooShort { digits: 7 }),
        ("98123456", TooShort { digits: 8 }),
        ("981234567", TooShort { digits: 9 }),
        ("+977", TooShort { digits: 0 }),
        ("0", TooShort { digits: 0 }),
        ("00", TooShort { digits: 0 }),
        ("+97", TooShort { digits: 2 }),
        ("+977 981234567", TooShort { digits: 9 }),
        ("977981234567", TooShort { digits: 9 }),
        ("9779812345", CutOff { digits: 7 }),
        ("977-981-2345", CutOff { digits: 7 }),
        ("09779812345", CutOff { digits: 7 }),
        ("+977 977 9812345", CutOff { digits: 7 }),
        ("98123456789", TooLong { digits: 11 }),
        ("919812345678", TooLong { digits: 12 }),
        ("+977 98123456789", TooLong { digits: 11 }),
        ("+977 009812345678", TooLong { digits: 11 }),
        ("9812345678 9841234567", TooLong { digits: 20 }),
        ("16600112345", TooLong { digits: 11 }),
    ];
    for (text, why) in refusals {
        assert_eq!(PhoneNumber::parse(text), Err(*why), "{text:?}");
        let message = why.to_string();
        assert!(message.contains(": ") && message.lines().count() == 1, "{message}");
    }
}

#[test]
fn invisible_characters_are_unicodes() {
    let ignorable = Regex::new(r"^\p{Default_Ignorable_Code_Point}$").unwrap();
    for character in '\0'..=char::MAX {
        let expected = ignorable.is_match(character.encode_utf8(&mut [0; 4])) && character != '\u{202E}';
        assert_eq!(parse::is_invisible(character), expected || character == '\u{FFFC}', "{character:?}");
    }
}

#[test]
fn a_whole_number_is_shown_only_on_purpose() {
    assert_eq!(NUMBER.to_string(), "+9779812345678");
    assert_eq!(NUMBER.masked().to_string(), "+97798•••••678");
    assert_eq!(format!("{NUMBER:?}"), "+97798•••••678");
    assert_eq!(format!("{:?}", NUMBER.masked()), "+97798•••••678");
    assert_eq!(format!("{:?}", Some(NUMBER.national())), "Some(98•••••678)");
    assert_eq!(&*NUMBER.national(), "9812345678");
    assert_eq!(NUMBER.national().to_string(), "9812345678");
    assert_eq!(serde_json::to_string(&NUMBER).unwrap(), r#""+9779812345678""#);
    assert_eq!(serde_json::to_string(&NUMBER.masked()).unwrap(), r#""+97798•••••678""#);
}

#[test]
fn stores_give_back_what_they_were_given_and_nothing_else() {
    assert_eq!(NUMBER.to_i64(), 9_779_812_345_678);
    assert_eq!(PhoneNumber::from_i64(9_779_812_345_678), Some(NUMBER));
    for edge in [9_779_000_000_000, 9_779_999_999_999] {
        assert_eq!(PhoneNumber::from_i64(edge).map(PhoneNumber::to_i64), Some(edge));
    }
    let impossible =
        [i64::MIN, -9_779_812_345_678, -1, 0, 9_812_345_678, 9_778_999_999_999, 9_780_000_000_000];
    for stored in impossible.into_iter().chain([919_812_345_678, 97_709_812_345_678, i64::MAX]) {
        assert_eq!(PhoneNumber::from_i64(stored), None, "{stored}");
    }
}

#[test]
fn the_dashes_are_unicodes() {
    let dash = Regex::new(r"^[\p{Pd}\x{2212}]$").unwrap();
    for character in '\0'..='\u{FFFF}' {
        let expected = dash.is_match(character.encode_utf8(&mut [0; 4]));
        assert_eq!(parse::is_dash(character), expected, "{character:?}");
    }
}

const PREFIXES: [&str; 10] = ["", "0", "977", "9770", "0977", "+977", "+9770", "00977", "009770", "+00977"];
const DECORATIONS: [&str; 14] = [
    "", "", "", " ", "-", ".", "(", ")", "\u{A0}", "\u{2011}", "\u{2013}", "\u{200B}", "\u{200E}", "\u{202C}",
];

/// Writes `+` and digits in one of three scripts each, with decorations between.
fn spelling(plain: &str, scheme: &str, choices: &[(usize, usize)]) -> String {
    let mut written = scheme.to_owned();
    for (character, (script, decoration)) in plain.chars().zip(choices.iter().cycle()) {
        let zero = [u32::from('0'), u32::from('०'), u32::from('０')][script % 3];
        match character.to_digit(10) {
            Some(digit) => written.extend(char::from_u32(zero + digit)),
            None => written.push(['+', '＋', '\u{FE62}'][script % 3]),
        }
        written.push_str(DECORATIONS[decoration % DECORATIONS.len()]);
    }
    written
}

fn any_number() -> impl Strategy<Value = PhoneNumber> {
    let cut_off = 9_779_770_000_000..9_779_780_000_000;
    (9_779_000_000_000_u64..9_780_000_000_000)
        .prop_filter("no number begins with 977", move |number| !cut_off.contains(number))
        .prop_map(PhoneNumber)
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in any::<String>()) {
        if let Ok(number) = PhoneNumber::parse(&text) {
            prop_assert_eq!(PhoneNumber::parse(&number.to_string()), Ok(number));
        }
    }

    #[test]
    fn what_parses_has_one_form_and_what_does_not_is_not_repeated(text in "[+]?(00)?(977)?0?[0-9०-९ -]{6,13}") {
        match PhoneNumber::parse(&text) {
            Ok(number) => {
                prop_assert_eq!(PhoneNumber::parse(&number.to_string()), Ok(number));
                prop_assert_eq!(PhoneNumber::parse(&number.national()), Ok(number));
                prop_assert_eq!(PhoneNumber::from_i64(number.to_i64()), Some(number));
            }
            Err(error) => prop_assert!(!error.to_string().contains(&text)),
        }
    }

    #[test]
    fn any_decoration_is_the_same_number(
        number in any_number(),
        prefix in proptest::sample::select(&PREFIXES[..]),
        scheme in proptest::sample::select(&["", "tel:", "Tel: ", "\u{202A}"][..]),
        choices in proptest::collection::vec((any::<usize>(), any::<usize>()), 17),
    ) {
        let written = spelling(&format!("{prefix}{}", number.national()), scheme, &choices);
        prop_assert_eq!(PhoneNumber::parse(&written), Ok(number), "{:?}", written);
    }

    #[test]
    fn masks_hide_the_middle(number in any_number()) {
        let whole = number.national();
        for shown in [number.masked().to_string(), format!("{number:?}"), format!("{number:#?}")] {
            let middle = shown.strip_prefix(&format!("+977{}", &whole[..2]));
            let middle = middle.and_then(|rest| rest.strip_suffix(&whole[7..]));
            prop_assert_eq!(middle, Some("•••••"));
        }
    }
}
