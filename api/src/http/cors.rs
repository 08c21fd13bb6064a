//! Which web pages may call: browsers ask before they let a page use its client token here.

use std::collections::HashSet;
use std::convert::Infallible;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hulak_common::client::ClientRecord;
use hulak_common::origin::{self, Origin};
use hulak_runtime::shutdown::Shutdown;
use hulak_store::{Monitor, Store};
use tokio::sync::watch;
use tower::{Layer as _, Service as _};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// A look that takes longer is given up; what was known stands.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a browser may remember what it was allowed.
const REMEMBERED: Duration = Duration::from_secs(600);

/// `HULAK_CORS_ORIGINS`: whose pages may call, besides those of the clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsOrigins {
    /// Everybody's.
    Any,
    /// Those of these origins.
    Only(Vec<Origin>),
}

impl Default for CorsOrigins {
    fn default() -> Self {
        Self::Only(Vec::new())
    }
}

impl FromStr for CorsOrigins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        if text.split(',').any(|part| part.trim() == "*") {
            return Err("* stands alone, as it allows every origin".to_owned());
        }
        origin::list(text).map(Self::Only)
    }
}

/// The origins whose pages may call at this moment.
#[derive(Debug, Clone)]
pub struct AllowedOrigins {
    configured: Arc<CorsOrigins>,
    of_clients: Arc<watch::Sender<HashSet<Origin>>>,
}

impl AllowedOrigins {
    /// Those that are configured, until the clients' are known.
    #[must_use]
    pub fn new(configured: CorsOrigins) -> Self {
        Self { configured: Arc::new(configured), of_clients: Arc::new(watch::Sender::new(HashSet::new())) }
    }

    /// Reads what is set for the clients, with this pause between two reads, until the stop. While the database is away, the
    /// origins that were read last are allowed.
    pub async fn run(&self, store: Arc<Store>, monitor: Monitor, pause: Duration, shutdown: Shutdown) {
        loop {
            tokio::select! { () = monitor.up() => {}, () = shutdown.begun() => return }
            match tokio::time::timeout(PATIENCE, store.clients()).await {
                Ok(Ok(clients)) => self.note(clients),
                Ok(Err(error)) => tracing::debug!(%error, "the clients' origins were not looked at"),
                Err(_) => tracing::debug!("the clients' origins were not looked at in time"),
            }
            tokio::select! { () = tokio::time::sleep(pause) => {}, () = shutdown.begun() => return }
        }
    }

    fn note(&self, clients: Vec<ClientRecord>) {
        let all = clients.into_iter().filter_map(|client| client.settings.cors_origins).flatten().collect();
        self.of_clients.send_replace(all);
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        let Some(origin) = origin.to_str().ok().and_then(|text| text.parse::<Origin>().ok()) else {
            return false;
        };
        let configured = match &*self.configured {
            CorsOrigins::Any => true,
            CorsOrigins::Only(origins) => origins.contains(&origin),
        };
        configured || self.of_clients.borrow().contains(&origin)
    }

    /// What browsers are told. Never that they may send cookies along: the credential is a header that only the page
    /// itself can set.
    pub fn layer(&self) -> CorsLayer {
        let origins = match &*self.configured {
            CorsOrigins::Any => AllowOrigin::any(),
            CorsOrigins::Only(_) => {
                let allowed = self.clone();
                AllowOrigin::predicate(move |origin, _| allowed.allows(origin))
            }
        };
        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                HeaderName::from_static("idempotency-key"),
                header::IF_NONE_MATCH,
                HeaderName::from_static("last-event-id"),
                HeaderName::from_static("x-request-id"),
                // What libraries add by themselves to every call of a page: traces (W3C Trace Context and Baggage, Sentry's
                // older form), and the mark of a call by script.
                HeaderName::from_static("traceparent"),
                HeaderName::from_static("tracestate"),
                HeaderName::from_static("baggage"),
                HeaderName::from_static("sentry-trace"),
                HeaderName::from_static("x-requested-with"),
            ])
            .expose_headers([
                header::DATE,
                header::ETAG,
                HeaderName::from_static("idempotency-replayed"),
                header::LOCATION,
                header::RETRY_AFTER,
                HeaderName::from_static("ratelimit"),
                HeaderName::from_static("ratelimit-policy"),
                header::WWW_AUTHENTICATE,
                HeaderName::from_static("x-request-id"),
            ])
            .max_age(REMEMBERED)
            .vary([header::ORIGIN])
    }
}

/// Answers preflights, and tells browsers who may read any other answer, be it a problem.
///
/// No `async fn`: its state would hold the request and the layer for as long as somebody waits, and many may.
pub(crate) fn cors(
    State(layer): State<Arc<CorsLayer>>,
    request: Request,
    mut next: Next,
) -> BoxFuture<'static, Response> {
    let has = |name| request.headers().contains_key(name);
    let preflight = has(header::ACCESS_CONTROL_REQUEST_METHOD);
    if !has(header::ORIGIN) || (request.method() == Method::OPTIONS && !preflight) {
        // No browser is asking, and an answer for one would only cost. The layer would take the latter for a preflight.
        let vary = |Ok(mut response): Result<Response, Infallible>| {
            response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
            response
        };
        return next.call(request).map(vary).boxed();
    }
    layer.layer(next).call(request).map(|Ok(response)| response).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hulak_common::client::ClientSettings;
    use hulak_common::time::Timestamp;

    #[test]
    fn a_star_stands_alone() {
        assert_eq!("*".parse(), Ok(CorsOrigins::Any));
        assert_eq!("".parse(), Ok(CorsOrigins::default()));
        let one = CorsOrigins::Only(vec!["https://a.example".parse().unwrap()]);
        assert_eq!(" https://a.example:443 ,".parse(), Ok(one));
        for bad in ["https://a.example,*", "*,*", "https://a.example/", "a.example", "null"] {
            assert!(bad.parse::<CorsOrigins>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_the_clients_have_counts_besides_what_is_configured() {
        let origin = HeaderValue::from_static;
        let allowed = AllowedOrigins::new("https://a.example".parse().unwrap());
        assert!(allowed.allows(&origin("https://a.example")));
        assert!(!allowed.allows(&origin("https://b.example")) && !allowed.allows(&origin("null")));
        let client = |text: &str| ClientRecord {
            id: Default::default(),
            name: "shop".to_owned(),
            created_at: Timestamp::default(),
            settings: ClientSettings { cors_origins: origin::list(text).ok(), ..ClientSettings::default() },
        };
        allowed.note(vec![client("https://b.example,https://c.example"), client("")]);
        assert!(allowed.allows(&origin("https://c.example")));
        assert!(!allowed.allows(&origin("https://c.example:8443")));
        allowed.note(Vec::new());
        assert!(
            !allowed.allows(&origin("https://b.example")) && allowed.allows(&origin("https://a.example"))
        );
    }
}
