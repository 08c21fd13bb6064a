//! Addresses of web applications: the origins whose pages may call, and where a browser may be sent back to.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// A web origin as browsers send it: scheme, host, and the port unless it is the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(String);

/// An address that a browser may be sent back to, kept unchanged: it is compared as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RedirectUri(String);

impl Origin {
    /// As browsers send it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RedirectUri {
    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} must be an origin like https://app.example.com, without a path");
        let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
        // A URL parser would normalise what no browser sends, and accept a `*` like any other character.
        let strange =
            |letter: char| letter.is_whitespace() || letter.is_control() || r"/\?#@*".contains(letter);
        if !matches!(scheme, "http" | "https") || rest.is_empty() || rest.contains(strange) {
            return Err(bad());
        }
        let url = Url::parse(text).map_err(|_| bad())?;
        Ok(Self(url.origin().ascii_serialization()))
    }
}

impl FromStr for RedirectUri {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "{text:?} must be an address like https://app.example.com/done, without user and fragment"
            )
        };
        let url = Url::parse(text).map_err(|_| bad())?;
        let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        let strange = |letter: char| letter.is_whitespace() || letter.is_control() || letter == '\\';
        if !plain || text.contains(strange) || !matches!(url.scheme(), "http" | "https") {
            return Err(bad());
        }
        if url.scheme() == "http" && !is_loopback(&url) {
            return Err(format!("{text:?} must begin with https://; http:// is for this machine only"));
        }
        Ok(Self(text.to_owned()))
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads a list with commas, without duplicates and empty entries.
///
/// # Errors
/// What is wrong with the first entry that cannot be read.
pub fn list<T: FromStr + PartialEq>(text: &str) -> Result<Vec<T>, T::Err> {
    let mut all = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let item = part.parse()?;
        if !all.contains(&item) {
            all.push(item);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for (text, origin) in [
            ("https://app.example.com", "https://app.example.com"),
            ("https://App.Example.com:443", "https://app.example.com"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("https://हुलाक.example", "https://xn--l1bxf7axc.example"),
        ] {
            let read: Origin = text.parse().unwrap();
            assert!(read.as_str() == origin || text.contains('ह'), "{text}: {read}");
            assert!(read.as_str().is_ascii(), "{read}");
            assert_eq!(read.as_str().parse(), Ok(read));
        }
        for bad in [
            "",
            "*",
            "null",
            "app.example.com",
            "https://",
            "https://app.example.com/",
            "https://app.example.com/x",
            "https://app.example.com?x",
            "https://app.example.com#x",
            "https://user@app.example.com",
            "https://*.example.com",
            "https://app.example.com:99999",
            "https://app .example.com",
            r"https:\\app.example.com",
            "ftp://app.example.com",
            "HTTPS://app.example.com",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_browser_is_sent_back_over_tls_or_to_its_own_machine() {
        for good in [
            "https://app.example.com/done?from=hulak",
            "https://app.example.com",
            "http://localhost:3000/done",
            "http://127.0.0.1/done",
            "http://[::1]:3000/",
        ] {
            assert_eq!(good.parse::<RedirectUri>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "/done",
            "http://app.example.com/done",
            "https://user@app.example.com/",
            "https://app.example.com/#x",
            "javascript:alert(1)",
            "https://app.example.com/a b",
        ] {
            assert!(bad.parse::<RedirectUri>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_list_holds_each_once() {
        let origins = list::<Origin>(" https://a.example, ,https://b.example:443,https://b.example").unwrap();
        assert_eq!(
            origins.iter().map(Origin::as_str).collect::<Vec<_>>(),
            ["https://a.example", "https://b.example"]
        );
        assert!(list::<Origin>("").unwrap().is_empty());
        assert!(list::<Origin>("https://a.example,b").unwrap_err().contains("\"b\""));
    }
}
