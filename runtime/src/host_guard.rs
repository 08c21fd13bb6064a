//! Which `Host` Hulak's pages and admin addresses answer to.
//!
//! A stranger's web page can point its own name at this machine (DNS rebinding) and would then read Hulak's pages as its
//! own. It cannot choose the `Host` that its visitor's browser sends, so requests with an unknown one are refused.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use http::{HeaderMap, Uri, header};

/// The host a request names, without its port, in lower case; `None` when it names none, or more than one.
#[must_use]
pub fn requested(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let mut named = headers.get_all(header::HOST).iter();
    let header = named.next().and_then(|host| host.to_str().ok());
    if named.next().is_some() {
        return None;
    }
    // An absolute address in the request line outranks the header (RFC 9112).
    name_of(uri.authority().map(|authority| authority.as_str()).or(header)?)
}

/// The name in `name`, `name:port` or `[address]:port`, in lower case.
#[must_use]
pub fn name_of(host: &str) -> Option<String> {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => host.split(':').next()?,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    (!name.is_empty()).then(|| name.to_ascii_lowercase())
}

/// Whether a name, as [`name_of`] gives it, always leads to this machine.
#[must_use]
pub fn is_this_machine(name: &str) -> bool {
    name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        || name == "localhost"
        || name.ends_with(".localhost")
}

/// `HULAK_ADMIN_HOSTS`: names besides the trusted ones, such as that of a reverse proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownHosts(Arc<[String]>);

impl KnownHosts {
    /// Whether pages answer to this name.
    #[must_use]
    pub fn know(&self, name: &str) -> bool {
        is_trusted(name, None) || self.0.iter().any(|known| known == name)
    }
}

impl FromStr for KnownHosts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let host = |part: &str| {
            let plain = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
            let name = plain.then(|| name_of(part)).flatten();
            name.ok_or_else(|| {
                format!("{part}: must be a name like ops.example.com, without https:// and without a port")
            })
        };
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        Ok(Self(parts.map(host).collect::<Result<_, _>>()?))
    }
}

/// Whether a stranger's web page cannot point this name at this machine: an IP address, `localhost`, or a name
/// without a dot, as container networks have them. `own` is the host of the public address.
#[must_use]
pub fn is_trusted(name: &str, own: Option<&str>) -> bool {
    is_this_machine(name)
        || name.parse::<IpAddr>().is_ok()
        || (!name.is_empty() && !name.contains('.'))
        || own.is_some_and(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_names_are_not_answered() {
        let trusted = |host: &str| name_of(host).is_some_and(|name| is_trusted(&name, Some("hulak.example")));
        for host in [
            "127.0.0.1:9090",
            "localhost",
            "LOCALHOST:1",
            "app.localhost",
            "api:9090",
            "[::1]:9090",
            "10.1.2.3",
            "hulak.example:443",
            "HULAK.example.",
        ] {
            assert!(trusted(host), "{host}");
        }
        for host in ["", "evil.example", "evil.example:9090", "127.0.0.1.evil.example", ":9090", "[::1"] {
            assert!(!trusted(host), "{host}");
        }
    }

    #[test]
    fn a_proxys_name_is_known_when_it_is_set() {
        let hosts: KnownHosts = "ops.example, Admin.Example.".parse().unwrap();
        for (name, known) in
            [("ops.example", true), ("admin.example", true), ("localhost", true), ("evil.example", false)]
        {
            assert_eq!(hosts.know(name), known, "{name}");
        }
        for wrong in ["https://ops.example", "ops.example:9090", "*", "ops.example/x"] {
            assert!(wrong.parse::<KnownHosts>().is_err(), "{wrong}");
        }
        assert_eq!("".parse(), Ok(KnownHosts::default()));
    }

    #[test]
    fn only_loopback_is_this_machine() {
        for name in ["localhost", "app.localhost", "127.9.9.9", "::1"] {
            assert!(is_this_machine(name), "{name}");
        }
        for name in ["10.1.2.3", "localhost.evil.example", "api"] {
            assert!(!is_this_machine(name), "{name}");
        }
    }

    #[test]
    fn two_names_are_none() {
        let mut headers = HeaderMap::new();
        let uri = Uri::from_static("/inbox");
        assert_eq!(requested(&uri, &headers), None);
        headers.append(header::HOST, "localhost:1".parse().unwrap());
        assert_eq!(requested(&uri, &headers).as_deref(), Some("localhost"));
        assert_eq!(
            requested(&Uri::from_static("http://evil.example/inbox"), &headers).as_deref(),
            Some("evil.example")
        );
        headers.append(header::HOST, "evil.example".parse().unwrap());
        assert_eq!(requested(&uri, &headers), None);
    }
}
