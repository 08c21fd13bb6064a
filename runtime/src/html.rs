//! The look that all pages share: one stylesheet, a logo, the head of a page, and what browsers may do with it.
//!
//! Each program serves the files at `/assets/`; nothing is loaded from elsewhere, and nothing is built.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use sha2::{Digest as _, Sha256};

/// Where the files are.
pub const PATH: &str = "/assets/";

/// The stylesheet of every page.
pub static STYLE: Asset = Asset::style("hulak.css", include_str!("../assets/hulak.css"));
/// The logo, which is also the icon in a browser's tab.
pub static LOGO: Asset = Asset::new("logo.svg", "image/svg+xml", include_str!("../assets/logo.svg"));

/// What a page may do: load our own files and call our own addresses. No script or style stands inside a page, no form is
/// sent elsewhere, and no other page holds ours.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The headers of every page besides its caching.
const PROTECTION: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=(), otp-credentials=(self)",
    ),
];

/// What a file with its hash in the address may be kept for, as it never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Digits of a file's hash.
const HASH: usize = 16;

/// A file that pages load.
#[derive(Debug)]
pub struct Asset {
    name: &'static str,
    media_type: &'static str,
    content: &'static str,
    hash: OnceLock<String>,
}

impl Asset {
    /// A file that is part of the program.
    #[must_use]
    pub const fn new(name: &'static str, media_type: &'static str, content: &'static str) -> Self {
        Self { name, media_type, content, hash: OnceLock::new() }
    }

    /// A stylesheet of one page's own.
    #[must_use]
    pub const fn style(name: &'static str, content: &'static str) -> Self {
        Self::new(name, "text/css; charset=utf-8", content)
    }

    /// A script.
    #[must_use]
    pub const fn script(name: &'static str, content: &'static str) -> Self {
        Self::new(name, "text/javascript; charset=utf-8", content)
    }

    /// Its address with its hash, so that a browser may keep it for good and still gets a new one at once.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{PATH}{}?v={}", self.name, self.hash())
    }

    fn hash(&self) -> &str {
        self.hash.get_or_init(|| {
            let digest = Sha256::digest(self.content.as_bytes());
            let mut hex = String::with_capacity(HASH);
            for byte in &digest[..HASH / 2] {
                // Writing to a string does not fail.
                let _ = write!(hex, "{byte:02x}");
            }
            hex
        })
    }

    /// The answer to a request for it: 304 when the browser has it.
    #[must_use]
    pub fn answer(&self, query: Option<&str>, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let tag = format!("\"{}\"", self.hash());
        let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let known = known.flat_map(|value| value.split(',')).map(str::trim);
        let same = known.into_iter().any(|other| other.trim_start_matches("W/") == tag || other == "*");
        let mut response = Response::new(Full::default());
        if same {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            *response.body_mut() = Full::new(Bytes::from_static(self.content.as_bytes()));
        }
        protect(response.headers_mut());
        // Without its hash it is asked for again each time.
        let right = query.and_then(|query| query.strip_prefix("v=")) == Some(self.hash());
        let keep = HeaderValue::from_static(if right { FOR_EVER } else { "no-cache" });
        response.headers_mut().insert(header::CACHE_CONTROL, keep);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

/// The one of `files`, or of those that all pages share, with this name.
#[must_use]
pub fn find(name: &str, files: &[&'static Asset]) -> Option<&'static Asset> {
    [&STYLE, &LOGO].into_iter().chain(files.iter().copied()).find(|asset| asset.name == name)
}

/// Adds the headers that every page carries. Pages are not kept by browsers unless they say otherwise.
pub fn protect(headers: &mut HeaderMap) {
    for (name, value) in PROTECTION {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// A page.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// Its language: `en`.
    pub lang: &'a str,
    /// What the browser's tab says.
    pub title: &'a str,
    /// More for its head, as HTML.
    pub head: &'a str,
    /// Its own stylesheets and scripts. Scripts are modules, which run when the page has been read.
    pub files: &'a [&'static Asset],
    /// All that stands in it, as HTML.
    pub body: &'a str,
}

impl Page<'_> {
    /// The whole document.
    #[must_use]
    pub fn render(&self) -> String {
        let Self { lang, title, head, files, body } = self;
        let mut page = String::with_capacity(body.len() + 1024);
        // Writing to a string does not fail.
        let _ = write!(
            page,
            "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
             <link rel=\"icon\" type=\"image/svg+xml\" href=\"{}\">\n<link rel=\"stylesheet\" href=\"{}\">\n",
            escape(lang),
            escape(title),
            LOGO.address(),
            STYLE.address(),
        );
        for file in *files {
            let address = file.address();
            let _ = if file.media_type.starts_with("text/css") {
                writeln!(page, "<link rel=\"stylesheet\" href=\"{address}\">")
            } else {
                writeln!(page, "<script type=\"module\" src=\"{address}\"></script>")
            };
        }
        let _ = write!(page, "{head}</head>\n<body>\n{body}</body>\n</html>\n");
        page
    }
}

/// Text as HTML shows it, within elements and within quoted attributes.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    let special = |letter: char| matches!(letter, '&' | '<' | '>' | '"' | '\'');
    if !text.contains(special) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(letter),
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_runs_nowhere() {
        assert_eq!(escape("<b title='\"'>&amp;</b>"), "&lt;b title=&#39;&quot;&#39;&gt;&amp;amp;&lt;/b&gt;");
        assert!(matches!(escape("कोड 123"), Cow::Borrowed("कोड 123")));
        let page = Page { lang: "en", title: "</title><script>", head: "", files: &[], body: "" }.render();
        assert!(page.contains("<title>&lt;/title&gt;&lt;script&gt;</title>"), "{page}");
    }

    #[test]
    fn a_file_is_kept_for_good_under_its_hash_only() {
        let caching = |query| STYLE.answer(query, &HeaderMap::new()).headers()["cache-control"].clone();
        let address = STYLE.address();
        let (path, query) = address.split_once('?').unwrap();
        assert_eq!(path, "/assets/hulak.css");
        assert_eq!(caching(Some(query)), FOR_EVER);
        assert_eq!(caching(Some("v=0123456789abcdef")), "no-cache");
        assert_eq!(caching(None), "no-cache");
    }

    #[test]
    fn a_browser_that_has_it_is_told_so() {
        let fresh = STYLE.answer(None, &HeaderMap::new());
        assert_eq!(fresh.status(), StatusCode::OK);
        assert_eq!(fresh.headers()["content-type"], "text/css; charset=utf-8");
        for (tag, status) in [
            (fresh.headers()["etag"].to_str().unwrap().to_owned(), StatusCode::NOT_MODIFIED),
            (format!("\"other\", W/{}", fresh.headers()["etag"].to_str().unwrap()), StatusCode::NOT_MODIFIED),
            ("\"other\"".to_owned(), StatusCode::OK),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, tag.parse().unwrap());
            assert_eq!(STYLE.answer(None, &headers).status(), status, "{tag}");
        }
    }

    #[test]
    fn names_lead_to_files() {
        static SCRIPT: Asset = Asset::script("page.js", "0;");
        assert_eq!(find("page.js", &[&SCRIPT]).unwrap().content, "0;");
        assert_eq!(find("logo.svg", &[]).unwrap().media_type, "image/svg+xml");
        assert!(find("page.js", &[]).is_none() && find("../look.rs", &[]).is_none());
    }

    #[test]
    fn the_policy_lets_nothing_in_from_elsewhere() {
        let mut headers = HeaderMap::new();
        protect(&mut headers);
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
        assert!(!policy.contains("http") && !policy.contains('*'), "{policy}");
        assert_eq!(headers["cache-control"], "no-store");
        // Nothing in the stylesheet asks for more than the policy allows.
        for word in ["@import", "url(", "expression("] {
            assert!(!STYLE.content.contains(word), "{word}");
        }
    }
}
