//! What the texts promise, for any name, language and last line.

use proptest::prelude::*;
use secrecy::ExposeSecret as _;

use super::*;
use crate::sms::Encoding;

const HASH: &str = "FA+9qCX9VSu";
/// 30 characters of three bytes each.
const LONG_NAME: &str = "नेपालीनेपालीनेपालीनेपालीनेपाली";

fn write(templates: &Templates, locale: Locale, last: Option<LastLine<'_>>, code: &str) -> String {
    let draft = Draft { locale, app: &templates.app_name, last };
    let length = CodeLength::new(u8::try_from(code.len()).unwrap()).unwrap();
    templates.compose(draft, length, &Code::typed(code.to_owned())).expose_secret().to_owned()
}

fn named(name: &str) -> Templates {
    Templates::new(app_name(name).unwrap(), MaxParts::default()).unwrap()
}

#[test]
fn an_ordinary_message_says_everything_in_one_part() {
    let templates = Templates::default();
    assert_eq!(Templates::new(DEFAULT_APP_NAME.to_owned(), MaxParts::default()), Ok(templates.clone()));
    let english = write(&templates, Locale::En, None, "123456");
    assert_eq!(english, "123456 is your Hulak code. Do not share it with anyone.");
    assert_eq!(measure(&english).encoding, Encoding::Gsm7);
    let nepali = write(&templates, Locale::Ne, None, "123456");
    assert_eq!(nepali, "123456 तपाईंको Hulak कोड हो। कसैलाई नदिनुहोस्।");
    assert_eq!((measure(&english).parts, measure(&nepali).parts), (1, 1));
}

#[test]
fn the_last_line_is_the_machines() {
    let templates = Templates::default();
    for locale in Locale::ALL {
        let sentence = write(&templates, *locale, None, "123456");
        let hash = write(&templates, *locale, Some(LastLine::AppHash(HASH)), "123456");
        assert_eq!(hash, format!("{sentence}\n{HASH}"));
        let origin = write(&templates, *locale, Some(LastLine::Origin("example.com")), "123456");
        assert_eq!(origin, format!("{sentence}\n@example.com #123456"));
    }
    assert_eq!(LastLine::of(Some(HASH), Some("example.com")), Some(LastLine::AppHash(HASH)));
    assert_eq!(LastLine::of(None, None), None);
}

#[test]
fn words_give_way_to_a_limit_from_the_least_needed_on() {
    assert_eq!(LONG_NAME.chars().count(), MAX_APP_NAME);
    // The English text becomes UCS-2 by the name: with the word against sharing it would be two parts.
    let long = named(LONG_NAME);
    assert_eq!(write(&long, Locale::En, None, "123456"), format!("123456 is your {LONG_NAME} code."));
    let hash = Some(LastLine::AppHash(HASH));
    // 140 bytes have room for the name, but not for a Nepali sentence around it.
    let text = write(&long, Locale::Ne, hash, "123456");
    assert_eq!(text, format!("123456 {LONG_NAME} कोड\n{HASH}"));
    assert!(text.len() <= MAX_RETRIEVER_BYTES);
    // A shorter name has its sentence, and a short one the word against sharing.
    let text = write(&named("मेरो ठूलो पसल"), Locale::Ne, hash, "123456");
    assert_eq!(text, format!("123456 तपाईंको मेरो ठूलो पसल कोड हो।\n{HASH}"));
    let text = write(&named("पसल"), Locale::Ne, hash, "123456");
    assert_eq!(text, format!("123456 तपाईंको पसल कोड हो। कसैलाई नदिनुहोस्।\n{HASH}"));
    // Names of four bytes a character are not had in 140 bytes at all.
    let emoji = Templates { app_name: "🎉".repeat(MAX_APP_NAME), max_parts: MaxParts::default() };
    assert_eq!(write(&emoji, Locale::Ne, hash, "123456"), format!("123456 तपाईंको कोड हो।\n{HASH}"));
    assert_eq!(write(&emoji, Locale::En, None, "123456"), "123456 is your code.");
}

#[test]
fn a_name_that_costs_too_much_is_refused_with_the_count() {
    let emoji = "🎉".repeat(MAX_APP_NAME);
    let refused = Templates::new(emoji.clone(), MaxParts::default()).unwrap_err();
    assert_eq!(refused.to_string(), "the en message is 2 parts (85 characters, UCS-2)");
    let refused = Templates::new(emoji.clone(), MaxParts { en: 2, ne: 1 }).unwrap_err();
    assert_eq!((refused.locale, refused.segments.parts, refused.allowed), (Locale::Ne, 2, 1));
    assert!(Templates::new(emoji, MaxParts { en: 2, ne: 2 }).is_ok());
}

#[test]
fn an_origin_may_be_too_long_for_the_parts() {
    let templates = Templates::default();
    let check = |locale, letters| templates.check_line(locale, LastLine::Origin(&"a".repeat(letters)));
    // "0000000000 is your code.\n@" and " #0000000000" are 38 characters.
    assert_eq!((check(Locale::En, 122), check(Locale::Ne, 70)), (Ok(()), Ok(())));
    let refused = check(Locale::En, 123).unwrap_err();
    assert_eq!(refused.to_string(), "the en message is 2 parts (161 characters, GSM 7-bit)");
    let refused = check(Locale::Ne, 253).unwrap_err();
    assert_eq!((refused.segments.parts, refused.allowed), (5, 2));
    // What was accepted under another setting is sent all the same.
    let origin = "a".repeat(253);
    let text = write(&templates, Locale::En, Some(LastLine::Origin(&origin)), "123456");
    assert_eq!(text, format!("123456 is your code.\n@{origin} #123456"));
}

#[test]
fn names_are_taken_that_cannot_break_a_message() {
    assert_eq!(app_name("  मेरो पसल "), Ok("मेरो पसल".to_owned()));
    assert!(app_name(&"x".repeat(MAX_APP_NAME)).is_ok() && app_name("क्\u{200d}ष").is_ok());
    for bad in ["", " ", "a\nb", "a\u{2028}b", "a\u{202e}b", "a\u{2067}b", &"x".repeat(MAX_APP_NAME + 1)] {
        assert!(app_name(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn parts_read_for_all_languages_or_for_each() {
    for (text, en, ne) in [
        ("2", 2, 2),
        ("en=1,ne=2", 1, 2),
        ("ne=3, en=2", 2, 3),
        ("ne=3", 1, 3),
        ("en=10", 10, 2),
        (" 1 ", 1, 1),
    ] {
        assert_eq!(text.parse(), Ok(MaxParts { en, ne }), "{text}");
    }
    for text in ["", "0", "11", "-1", "en", "en=", "en=0", "fr=1", "en=1,en=2", "en=1,", "1,2", "en=1;ne=2"] {
        assert!(text.parse::<MaxParts>().is_err(), "{text}");
    }
}

fn any_name() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        3 => proptest::char::range(' ', '~'),
        3 => proptest::char::range('\u{900}', '\u{97f}'),
        1 => any::<char>(),
    ];
    proptest::collection::vec(character, 1..=MAX_APP_NAME + 2)
        .prop_filter_map("no name", |characters| app_name(&String::from_iter(characters)).ok())
}

fn any_parts() -> impl Strategy<Value = MaxParts> {
    (1..=4_usize, 1..=4_usize).prop_map(|(en, ne)| MaxParts { en, ne })
}

#[derive(Debug, Clone)]
enum Line {
    None,
    Hash(String),
    Origin(String),
}

impl Line {
    fn last(&self) -> Option<LastLine<'_>> {
        match self {
            Self::None => None,
            Self::Hash(hash) => Some(LastLine::AppHash(hash)),
            Self::Origin(host) => Some(LastLine::Origin(host)),
        }
    }
}

fn any_line() -> impl Strategy<Value = Line> {
    prop_oneof![
        Just(Line::None),
        "[A-Za-z0-9+/]{11}".prop_map(Line::Hash),
        "[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?".prop_map(Line::Origin),
    ]
}

proptest! {
    #[test]
    fn what_is_accepted_keeps_every_promise(
        name in any_name(), max_parts in any_parts(), line in any_line(),
        locale in proptest::sample::select(Locale::ALL), code in "[0-9]{4,10}",
    ) {
        // Without `new`: limits may be lowered after an application got its name.
        let templates = Templates { app_name: name.clone(), max_parts };
        let accepted = line.last().map_or(Ok(()), |last| templates.check_line(locale, last));
        let text = write(&templates, locale, line.last(), &code);
        let after = text.strip_prefix(code.as_str());
        prop_assert!(after.is_some_and(|rest| rest.starts_with(' ')), "{text}");
        let lines: Vec<_> = text.split('\n').collect();
        match &line {
            Line::None => prop_assert_eq!(lines.len(), 1),
            Line::Hash(hash) => {
                prop_assert_eq!(&lines[1..], &[hash.as_str()]);
                prop_assert!(text.len() <= MAX_RETRIEVER_BYTES);
            }
            Line::Origin(host) => prop_assert_eq!(&lines[1..], &[format!("@{host} #{code}")]),
        }
        // Without an origin there is always a text that fits.
        prop_assert!(accepted.is_ok() || matches!(line, Line::Origin(_)));
        prop_assert_eq!(measure(&text).parts <= max_parts.of(locale) || accepted.is_err(), true, "{}", text);
    }

    #[test]
    fn a_name_that_a_start_accepts_stands_in_every_plain_message(
        name in any_name(), max_parts in any_parts(), code in "[0-9]{4,10}",
    ) {
        let Ok(templates) = Templates::new(name.clone(), max_parts) else { return Ok(()) };
        for locale in Locale::ALL {
            let text = write(&templates, *locale, None, &code);
            prop_assert!(text.contains(&name));
            // The word against sharing is missing only where it does not fit.
            let whole = Wording::Whole.sentence(*locale, &name, &code);
            prop_assert_eq!(text == whole, measure(&whole).parts <= max_parts.of(*locale));
        }
    }
}
