//! Requests to the API.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use http::{Method, StatusCode};
use metrics::{Counter, Histogram, Label};

use super::catalogue::{REQUEST_TIME, REQUESTS};

/// The route label of addresses that match no route.
const NO_ROUTE: &str = "-";
/// The router bounds the number of routes; this bound holds if a caller ever passes anything else.
const MOST_ROUTES: usize = 256;

/// Counts requests.
#[derive(Debug, Default)]
pub struct HttpMetrics {
    routes: RwLock<HashMap<String, Arc<Route>>>,
}

/// One route: its name, and the handles that were needed before.
#[derive(Debug)]
struct Route {
    name: String,
    time: Histogram,
    waits: OnceLock<Histogram>,
    counts: RwLock<HashMap<(&'static str, StatusCode), Counter>>,
}

/// This process's metrics of requests.
pub fn http() -> &'static HttpMetrics {
    static METRICS: OnceLock<HttpMetrics> = OnceLock::new();
    METRICS.get_or_init(HttpMetrics::default)
}

impl HttpMetrics {
    /// Counts an answered request; `route` is the pattern that it matched, if any. One that asked to `wait` for a change
    /// took as long as it had asked for, so its time is measured apart.
    pub fn answered(
        &self,
        method: &Method,
        route: Option<&str>,
        wait: bool,
        status: StatusCode,
        took: Duration,
    ) {
        let route = self.route(route.unwrap_or(NO_ROUTE));
        route.count(method_name(method), status);
        let time = if wait { route.waits() } else { &route.time };
        time.record(took.as_secs_f64());
    }

    fn route(&self, name: &str) -> Arc<Route> {
        let known = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        known.unwrap_or_else(|| {
            let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
            let name = if routes.len() < MOST_ROUTES { name } else { NO_ROUTE };
            Arc::clone(routes.entry(name.to_owned()).or_insert_with(|| Arc::new(Route::new(name))))
        })
    }
}

impl Route {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            time: REQUEST_TIME.histogram(vec![Label::new("route", name.to_owned())]),
            waits: OnceLock::new(),
            counts: RwLock::default(),
        }
    }

    fn waits(&self) -> &Histogram {
        let route = || Label::new("route", format!("{}?wait", self.name));
        self.waits.get_or_init(|| REQUEST_TIME.histogram(vec![route()]))
    }

    fn count(&self, method: &'static str, status: StatusCode) {
        let key = (method, status);
        if let Some(counter) = self.counts.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            counter.increment(1);
            return;
        }
        let labels = vec![
            Label::from_static_parts("method", method),
            Label::new("route", self.name.clone()),
            Label::new("status", status.as_str().to_owned()),
        ];
        let counter = REQUESTS.counter(labels);
        counter.increment(1);
        self.counts.write().unwrap_or_else(PoisonError::into_inner).insert(key, counter);
    }
}

/// A method's name; a caller may send any word as one.
#[must_use]
pub fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callers_make_up_makes_no_label() {
        let meter = HttpMetrics::default();
        let count = |method: &str, route: Option<&str>| {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            meter.answered(&method, route, false, StatusCode::NOT_FOUND, Duration::from_millis(3));
        };
        count("PURGE", None);
        count("BREW", None);
        for n in 0..2 * MOST_ROUTES {
            count("GET", Some(&format!("/made-up/{n}")));
        }
        assert!(meter.routes.read().unwrap().len() <= MOST_ROUTES + 1);
        let text = super::super::recorder::render();
        assert!(
            text.contains(r#"hulak_http_requests_total{method="other",route="-",status="404"} 2"#),
            "{text}"
        );
        assert!(!text.contains("PURGE"), "{text}");
    }

    #[test]
    fn waits_are_measured_apart() {
        let meter = HttpMetrics::default();
        let took = Duration::from_secs(20);
        meter.answered(&Method::GET, Some("/waited"), true, StatusCode::OK, took);
        let text = super::super::recorder::render();
        assert!(text.contains(r#"hulak_http_request_duration_seconds_count{route="/waited"} 0"#), "{text}");
        assert!(
            text.contains(r#"hulak_http_request_duration_seconds_count{route="/waited?wait"} 1"#),
            "{text}"
        );
    }
}
