//! Metrics for Prometheus.
//!
//! The [catalogue](CATALOGUE) lists every metric once, with its help text. Labels are typed: a label can only be one of
//! an enum's names, a matched route, or a carrier's code out of a bounded table; never a number, an id or a caller's text.
//! Handles are made once, so that counting costs an addition, and counters are 0 from the start, because a rate needs a
//! first value. Each process counts for itself, and the store is the record: counts end with their process, and an effect
//! whose commit is never answered (the connection to the database broke) is not counted.

mod carriers;
pub mod catalogue;
mod http;
mod recorder;
mod store;
mod worker;

use hulak_common::phone::Carriers;

pub use self::http::{HttpMetrics, http, method_name};
pub use catalogue::{CATALOGUE, Metric};
pub use recorder::{fold, render};
pub use store::{CheckResult, Fact, StoreMetrics, store};
pub use worker::{Call, InFlight, WorkerMetrics, worker};

/// Collects this process's metrics from now on, with the carriers' codes as labels. The first call counts: the roles of
/// one process share the metrics.
pub fn start(carriers: &Carriers) {
    carriers::start(carriers);
    recorder::recorder();
    store();
}

#[cfg(test)]
mod tests {
    use super::catalogue::Kind;
    use super::*;

    #[test]
    fn names_and_helps_follow_the_conventions() {
        let mut names = std::collections::BTreeSet::new();
        for metric in CATALOGUE {
            assert!(names.insert(metric.name), "{} is listed twice", metric.name);
            assert!(metric.name.starts_with("hulak_"), "{}", metric.name);
            assert!(metric.help.len() > 15 && metric.help.ends_with('.'), "{}", metric.name);
            let counts = matches!(metric.kind, Kind::Counter);
            assert_eq!(counts, metric.name.ends_with("_total"), "{}", metric.name);
            if let Kind::Histogram(bounds) = metric.kind {
                assert!(metric.name.ends_with("_seconds") && bounds.is_sorted(), "{}", metric.name);
            }
        }
    }

    #[test]
    fn the_version_is_told() {
        let text = render();
        assert!(text.contains(concat!("hulak_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1")));
        assert!(text.contains("# TYPE hulak_build_info gauge"), "{text}");
    }
}
