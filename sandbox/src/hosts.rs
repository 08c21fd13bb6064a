//! Which `Host` the pages answer to.
//!
//! A stranger's web page can point its own name at this machine (DNS rebinding) and would then read the inbox as its
//! own. It cannot choose the `Host` its visitor's browser sends, so unknown ones are turned away.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::Sandbox;

pub(crate) async fn guard(State(sandbox): State<Sandbox>, request: Request, next: Next) -> Response {
    let bound = sandbox.0.bound.get().copied();
    match requested(request.uri(), request.headers()) {
        Some(host) if is_known(&host, bound, &sandbox.0.allowed_hosts) => next.run(request).await,
        _ => {
            let why = "This address is not served under that host name. Visit it as localhost, or allow the name.\n";
            (StatusCode::MISDIRECTED_REQUEST, why).into_response()
        }
    }
}

/// The host a request names, without its port; `None` when it names none, or more than one.
fn requested(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let mut named = headers.get_all(header::HOST).iter();
    let header = named.next().and_then(|host| host.to_str().ok());
    if named.next().is_some() {
        return None;
    }
    // An absolute address in the request line outranks the header (RFC 9112).
    name_of(uri.authority().map(|authority| authority.as_str()).or(header)?)
}

/// The name in `name`, `name:port` or `[address]:port`, in lower case.
fn name_of(host: &str) -> Option<String> {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => host.split(':').next()?,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    (!name.is_empty()).then(|| name.to_ascii_lowercase())
}

fn is_known(name: &str, bound: Option<SocketAddr>, allowed: &[String]) -> bool {
    if let Ok(address) = name.parse::<IpAddr>() {
        // Bound to every address, each of them is ours; a number cannot be rebound.
        let is_bound = bound.is_some_and(|bound| bound.ip() == address || bound.ip().is_unspecified());
        if address.is_loopback() || is_bound {
            return true;
        }
    }
    name == "localhost"
        || name.ends_with(".localhost")
        || allowed.iter().any(|host| name_of(host).is_some_and(|host| host == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(host: &str, bound: &str) -> bool {
        let allowed = ["Sandbox.example:8081".to_owned()];
        name_of(host).is_some_and(|name| is_known(&name, bound.parse().ok(), &allowed))
    }

    #[test]
    fn loopback_names_the_bound_address_and_the_list() {
        for host in ["localhost", "LOCALHOST:8081", "127.0.0.1:1", "127.9.9.9", "[::1]:8081", "app.localhost"]
        {
            assert!(known(host, "127.0.0.1:8081"), "{host}");
        }
        for host in ["sandbox.example", "sandbox.example.:9", "SANDBOX.EXAMPLE:8081"] {
            assert!(known(host, "127.0.0.1:8081"), "{host}");
        }
        assert!(known("10.1.2.3", "10.1.2.3:8081"));
        assert!(known("10.1.2.3", "0.0.0.0:8081"));
        assert!(!known("10.1.2.3", "127.0.0.1:8081"));
        for host in [
            "evil.example",
            "evil.example:8081",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            ":1",
            "[::1",
        ] {
            assert!(!known(host, "0.0.0.0:8081"), "{host}");
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
