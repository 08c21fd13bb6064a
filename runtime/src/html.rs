//! What all HTML pages share: one stylesheet, a logo, the frame of a page, and its security headers.
//!
//! Each program serves the files at `/assets/`. A page loads nothing from another host, and no build step makes the files.
//! Pages are written with `maud`, which escapes every text.

use std::fmt::Write as _;
use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use maud::{DOCTYPE, Markup, html};
use sha2::{Digest as _, Sha256};

/// The path under which the files are served.
pub const PATH: &str = "/assets/";

/// The stylesheet of every page.
pub static STYLE: Asset = Asset::style("hulak.css", include_str!("../assets/hulak.css"));
/// The logo, which is also the icon in a browser's tab.
pub static LOGO: Asset = Asset::new("logo.svg", "image/svg+xml", include_str!("../assets/logo.svg"));

/// The Content-Security-Policy: a page may load our own files and call our own addresses. It has no inline script or style,
/// sends no form to another host, and cannot be framed.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The headers of every page besides `Cache-Control`.
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

/// `Cache-Control` of a file whose address has its hash: the content at that address never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Hexadecimal digits of a file's hash.
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

    /// Its address with its hash: a browser may cache it for good, and a changed file has a new address.
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

    /// The answer to a request for it: 304 when the browser has this version.
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
        // Without the hash in its address a browser has to ask each time.
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

/// The file with this name, among `files` and those that all pages share.
#[must_use]
pub fn find(name: &str, files: &[&'static Asset]) -> Option<&'static Asset> {
    [&STYLE, &LOGO].into_iter().chain(files.iter().copied()).find(|asset| asset.name == name)
}

/// Adds the headers of every page. `Cache-Control` is `no-store` unless the page has set its own.
pub fn protect(headers: &mut HeaderMap) {
    for (name, value) in PROTECTION {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// A page.
#[derive(Debug)]
pub struct Page<'a> {
    /// Its language: `en`.
    pub lang: &'a str,
    /// The title in the browser's tab.
    pub title: &'a str,
    /// More elements for its `head`.
    pub head: Markup,
    /// Its own stylesheets and scripts. Scripts are modules, which run when the page has been read.
    pub files: &'a [&'static Asset],
    /// The content of its `body`.
    pub body: Markup,
}

impl Page<'_> {
    /// The whole document.
    #[must_use]
    pub fn render(&self) -> String {
        let Self { lang, title, head, files, body } = self;
        let document = html! {
            (DOCTYPE)
            html lang=(lang) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) }
                    link rel="icon" type="image/svg+xml" href=(LOGO.address());
                    link rel="stylesheet" href=(STYLE.address());
                    @for file in *files {
                        @if file.media_type.starts_with("text/css") {
                            link rel="stylesheet" href=(file.address());
                        } @else {
                            script type="module" src=(file.address()) {}
                        }
                    }
                    (head)
                }
                body { (body) }
            }
        };
        document.into_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_people_wrote_is_escaped() {
        let text = "</title><script>\"'&";
        let body = html! { p title=(text) { (text) } };
        let page = Page { lang: "en", title: text, head: html! {}, files: &[], body }.render();
        let escaped = "&lt;/title&gt;&lt;script&gt;&quot;'&amp;";
        assert!(page.contains(&format!("<title>{escaped}</title>")), "{page}");
        assert!(page.contains(&format!("<p title=\"{escaped}\">{escaped}</p>")), "{page}");
        assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"), "{page}");
    }

    #[test]
    fn a_file_is_cached_for_good_under_its_hash_only() {
        let caching = |query| STYLE.answer(query, &HeaderMap::new()).headers()["cache-control"].clone();
        let address = STYLE.address();
        let (path, query) = address.split_once('?').unwrap();
        assert_eq!(path, "/assets/hulak.css");
        assert_eq!(caching(Some(query)), FOR_EVER);
        assert_eq!(caching(Some("v=0123456789abcdef")), "no-cache");
        assert_eq!(caching(None), "no-cache");
    }

    #[test]
    fn a_browser_that_has_the_file_gets_304() {
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
    fn files_are_found_by_name() {
        static SCRIPT: Asset = Asset::script("page.js", "0;");
        assert_eq!(find("page.js", &[&SCRIPT]).unwrap().content, "0;");
        assert_eq!(find("logo.svg", &[]).unwrap().media_type, "image/svg+xml");
        assert!(find("page.js", &[]).is_none() && find("../look.rs", &[]).is_none());
    }

    #[test]
    fn the_policy_allows_no_other_host() {
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
