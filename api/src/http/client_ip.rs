//! Where a request comes from: the peer, or what a trusted proxy says of it.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use hulak_runtime::serve::PeerAddr;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The address of the caller; `None` when it is not known.
#[derive(Debug, Clone, Copy)]
pub struct EndUser(pub Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for EndUser
where
    TrustedProxies: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<PeerAddr>().map(|peer| peer.0.ip());
        Ok(Self(peer.map(|peer| TrustedProxies::from_ref(state).caller(peer, &parts.headers))))
    }
}

/// `HULAK_TRUSTED_PROXIES`: whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// Their networks.
    pub(crate) fn networks(&self) -> Arc<[IpNet]> {
        Arc::clone(&self.0)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }

    /// The last address that is not a trusted proxy's. What is left of it was written by the caller, who may write
    /// anything.
    pub(crate) fn caller(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut caller = peer.to_canonical();
        let hops: Vec<_> = headers
            .get_all("x-forwarded-for")
            .iter()
            // Byte by byte: callers may write what is no text, but not make a proxy's own entry unreadable.
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .map(|hop| address(std::str::from_utf8(hop).ok()?.trim()))
            .collect();
        for hop in hops.into_iter().rev() {
            match hop {
                Some(hop) if self.trusts(caller) => caller = hop.to_canonical(),
                _ => break,
            }
        }
        caller
    }
}

/// An address as proxies write it: some add the port.
fn address(hop: &str) -> Option<IpAddr> {
    let with_port = || hop.parse::<SocketAddr>().map(|socket| socket.ip());
    hop.parse().or_else(|_| with_port()).ok()
}

/// Networks of IPv4 addresses that are written as IPv6 (RFC 4291, section 2.5.5.2) as IPv4's, like the addresses they are
/// compared with.
fn canonical(net: IpNet) -> IpNet {
    let v4 = |net: Ipv6Net| {
        Ipv4Net::new(net.addr().to_ipv4_mapped()?, net.prefix_len().checked_sub(96)?).ok().map(IpNet::V4)
    };
    match net {
        IpNet::V6(v6) => v4(v6).unwrap_or(net),
        IpNet::V4(_) => net,
    }
}

impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let net = |part: &str| {
            part.parse::<IpNet>()
                .or_else(|_| part.parse::<IpAddr>().map(IpNet::from))
                .map(canonical)
                .map_err(|_| format!("{part}: must be an address or a network like 10.0.0.0/8"))
        };
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        Ok(Self(parts.map(net).collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn caller(proxies: &str, peer: &str, forwarded: &[&str]) -> String {
        let proxies: TrustedProxies = proxies.parse().unwrap();
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        proxies.caller(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(caller("", "192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(caller("10.0.0.0/8", "10.1.2.3", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(
            caller("10.0.0.0/8", "10.1.2.3", &["203.0.113.9, 198.51.100.7, 10.9.9.9"]),
            "198.51.100.7"
        );
        assert_eq!(caller("10.0.0.0/8", "10.1.2.3", &["203.0.113.9", "198.51.100.7"]), "198.51.100.7");
        assert_eq!(caller("10.0.0.0/8", "10.1.2.3", &["nonsense"]), "10.1.2.3");
        assert_eq!(caller("10.0.0.0/8", "10.1.2.3", &[]), "10.1.2.3");
        assert_eq!(caller("10.0.0.0/8", "10.1.2.3", &["198.51.100.7:4711"]), "198.51.100.7");
        assert_eq!(caller("10.0.0.0/8", "10.1.2.3", &["[2001:db9::5]:4711"]), "2001:db9::5");
        assert_eq!(caller("2001:db8::/32", "2001:db8::1", &["2001:db9::5"]), "2001:db9::5");
        assert_eq!(caller("127.0.0.1", "::ffff:127.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        for proxies in ["::ffff:127.0.0.1", "::ffff:127.0.0.0/104", "::FFFF:7f00:1/128", "127.0.0.0/8"] {
            assert_eq!(caller(proxies, "127.0.0.1", &["198.51.100.7"]), "198.51.100.7", "{proxies}");
            assert_eq!(caller(proxies, "192.0.2.1", &["198.51.100.7"]), "192.0.2.1", "{proxies}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_do_not_hide_what_the_proxy_wrote() {
        let mut headers = HeaderMap::new();
        let line = HeaderValue::from_bytes(b"caf\xe9 \xff, 198.51.100.7").unwrap();
        headers.append("x-forwarded-for", line);
        let proxies: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        assert_eq!(proxies.caller([10, 0, 0, 1].into(), &headers).to_string(), "198.51.100.7");
    }

    #[test]
    fn a_bad_network_is_named() {
        let error = "10.0.0.0/8, example.com".parse::<TrustedProxies>().unwrap_err();
        assert!(error.starts_with("example.com"), "{error}");
    }
}
