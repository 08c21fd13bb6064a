//! The hosted page: one document for each language, with its texts in `words.json`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use hulak_common::verification::Locale;
use hulak_runtime::html::{Asset, LOGO, Page};
use maud::{PreEscaped, html};

static STYLE: Asset = Asset::style("verify.css", include_str!("verify.css"));
static SCRIPT: Asset = Asset::script("verify.js", include_str!("verify.js"));
/// The page's own files.
pub(crate) static FILES: [&Asset; 2] = [&STYLE, &SCRIPT];

const WORDS: &str = include_str!("words.json");
const BODY: &str = include_str!("verify.html");

/// The texts of one language by their names.
type Words = BTreeMap<String, String>;

/// The texts of each language.
static CATALOGUE: LazyLock<BTreeMap<String, Words>> =
    // The tests read the same file, so it is valid JSON.
    LazyLock::new(|| serde_json::from_str(WORDS).unwrap_or_default());

static IN_ENGLISH: LazyLock<String> = LazyLock::new(|| render(Locale::En));
static IN_NEPALI: LazyLock<String> = LazyLock::new(|| render(Locale::Ne));

/// The page in this language. Its script has the texts of both languages, and shows problems in the visitor's own.
pub(crate) fn page(locale: Locale) -> &'static str {
    match locale {
        Locale::En => &IN_ENGLISH,
        Locale::Ne => &IN_NEPALI,
    }
}

fn render(locale: Locale) -> String {
    let nothing = Words::new();
    let words = CATALOGUE.get(locale.as_str()).unwrap_or(&nothing);
    let mut body = BODY.replace("{logo}", &LOGO.address());
    for (name, text) in words {
        body = body.replace(&format!("{{{name}}}"), &html! { (text) }.into_string());
    }
    // Last, because these words have placeholders of their own, which the script fills.
    let body = PreEscaped(body.replace("{words}", &data(WORDS)));
    let title = words.get("title").map_or("Hulak", String::as_str);
    let head = html! { meta name="robots" content="noindex"; };
    Page { lang: locale.as_str(), title, head, files: &FILES, body }.render()
}

/// JSON for the inside of a `script` element, which would end at the first `</`.
fn data(json: &str) -> String {
    json.replace('<', "\\u003c")
}

/// The supported language that the browser prefers (`Accept-Language`, RFC 9110).
pub(crate) fn preferred(accepted: &str) -> Locale {
    let weighed = accepted.split(',').filter_map(|part| {
        let mut parts = part.split(';').map(str::trim);
        let language = parts.next()?.split('-').next()?.to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
        let locale = language.parse::<Locale>().ok()?;
        (weight > 0.0).then_some((locale, weight))
    });
    // Of languages with the same weight, the first.
    let best = weighed.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map_or(Locale::En, |(locale, _)| locale)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::problem::Kind;

    /// The placeholders in a text: `{wait}`.
    fn placeholders(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
    }

    #[test]
    fn both_languages_have_the_same_texts() {
        let all: BTreeMap<String, Words> = serde_json::from_str(WORDS).unwrap();
        let (en, ne) = (&all["en"], &all["ne"]);
        assert_eq!(en.keys().collect::<Vec<_>>(), ne.keys().collect::<Vec<_>>());
        for (name, text) in en {
            assert_eq!(placeholders(text), placeholders(&ne[name]), "{name}");
            assert!(!ne[name].is_empty() && !text.is_empty(), "{name}");
        }
    }

    #[test]
    fn every_problem_that_a_visitor_can_meet_has_a_text() {
        let words = &CATALOGUE["en"];
        let ours = [
            // The page never causes these problems.
            Kind::MalformedJson,
            Kind::ApprovalExpired,
            Kind::BadRequest,
            Kind::Forbidden,
            Kind::NotFound,
            Kind::MethodNotAllowed,
            Kind::UsernameTaken,
            Kind::BodyTooLarge,
            Kind::UnsupportedMediaType,
            Kind::InvalidRequest,
            Kind::IdempotencyKeyReused,
            Kind::InvalidPageCode,
            Kind::RequestInProgress,
            Kind::RequestTimeout,
        ];
        for kind in Kind::ALL.iter().filter(|kind| !ours.contains(kind)) {
            assert!(words.contains_key(&format!("problem.{}", kind.slug())), "{} has no text", kind.slug());
        }
    }

    #[test]
    fn every_text_of_the_page_is_in_the_catalogue() {
        for locale in [Locale::En, Locale::Ne] {
            let page = page(locale);
            assert!(page.contains(&format!("<html lang=\"{}\">", locale.as_str())));
            // The catalogue itself has placeholders, which the script fills.
            let (before, rest) = page.split_once("<script type=\"application/json\"").unwrap();
            let (_, after) = rest.split_once("</script>").unwrap();
            assert!(
                placeholders(before).is_empty() && placeholders(after).is_empty(),
                "{:?} {:?}",
                placeholders(before),
                placeholders(after)
            );
        }
        let words = &CATALOGUE["en"];
        for name in BODY.split("data-word=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(words.contains_key(name), "{name}");
        }
        let script = include_str!("verify.js");
        for name in script.split("word(\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(words.contains_key(name), "{name}");
        }
    }

    #[test]
    fn the_page_is_small() {
        let files = [
            hulak_runtime::html::STYLE.answer(None, &Default::default()),
            STYLE.answer(None, &Default::default()),
            SCRIPT.answer(None, &Default::default()),
        ];
        let sizes = files.iter().map(|file| axum::body::HttpBody::size_hint(file.body()).exact().unwrap());
        let size = sizes.sum::<u64>() + page(Locale::Ne).len() as u64;
        assert!(size < 100_000, "{size} bytes");
    }

    #[test]
    fn the_page_is_in_the_language_that_the_browser_prefers() {
        for (accepted, locale) in [
            ("", Locale::En),
            ("ne", Locale::Ne),
            ("ne-NP,ne;q=0.9,en;q=0.8", Locale::Ne),
            ("en-US,en;q=0.9,ne;q=0.8", Locale::En),
            ("fr, ne;q=0.3", Locale::Ne),
            ("en;q=0.2, NE;q=0.7", Locale::Ne),
            ("ne;q=0, en;q=0.1", Locale::En),
            ("de", Locale::En),
            (";;q=x,,", Locale::En),
        ] {
            assert_eq!(preferred(accepted), locale, "{accepted}");
        }
    }
}
