//! The host names under which the pages are served: see [`hulak_runtime::host_guard`].

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hulak_runtime::host_guard::{is_this_machine, name_of, requested};

use crate::simulator::Sandbox;

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

fn is_known(name: &str, bound: Option<SocketAddr>, allowed: &[String]) -> bool {
    // A simulator that is bound to every address may be visited by any of them; an IP address cannot be rebound.
    let is_bound =
        |address: IpAddr| bound.is_some_and(|bound| bound.ip() == address || bound.ip().is_unspecified());
    is_this_machine(name)
        || name.parse().is_ok_and(is_bound)
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
}
