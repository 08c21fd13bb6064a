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
mod store;

mod worker;

use std::sync::OnceLock;

use metrics::{Counter, Gauge, Histogram, Label};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

pub use self::http::{HttpMetrics, http, method_name};
use carriers::Labels;
use catalogue::{BUILD, Kind};
pub use catalogue::{CATALOGUE, Metric};
use hulak_common::phone::Carriers;
pub use store::{CheckResult, Fact, StoreMetrics, store};
pub use worker::{Call, InFlight, WorkerMetrics, worker};

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
static CARRIERS: OnceLock<Labels> = OnceLock::new();

/// Collects this process's metrics from now on, with the carriers' codes as labels. The first call counts: the roles of
/// one process share the metrics.
pub fn start(carriers: &Carriers) {
    CARRIERS.get_or_init(|| Labels::new(carriers.clone()));
    recorder();
    store();
}

fn carriers() -> &'static Labels {
    CARRIERS.get_or_init(|| Labels::new(Carriers::builtin()))
}

fn recorder() -> &'static PrometheusHandle {
    RECORDER.get_or_init(|| {
        let mut builder = PrometheusBuilder::new();
        for metric in CATALOGUE {
            if let Kind::Histogram(bounds) = metric.kind {
                // An error only for an empty list of bounds.
                builder = builder
                    .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), bounds)
                    .unwrap_or_default();
            }
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        // Inside another program its recorder may be installed already; this one then stays empty.
        let _others = metrics::set_global_recorder(recorder);
        for metric in CATALOGUE {
            match metric.kind {
                Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
                Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
                Kind::Histogram(_) => metrics::describe_histogram!(metric.name, metric.help),
            }
        }
        metrics::gauge!(BUILD.name, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        handle
    })
}

/// The metrics in the text format of Prometheus, with the gauges as they were last set.
#[must_use]
pub fn render() -> String {
    let handle = recorder();
    handle.run_upkeep();
    handle.render()
}

/// Folds single measurements into buckets. Without it they would pile up in a process whose metrics are never read.
pub fn fold() {
    recorder().run_upkeep();
}

impl Metric {
    /// A counter of it with these labels.
    pub fn counter(&self, labels: Vec<Label>) -> Counter {
        recorder();
        metrics::counter!(self.name, labels)
    }

    /// A gauge of it with these labels.
    pub fn gauge(&self, labels: Vec<Label>) -> Gauge {
        recorder();
        metrics::gauge!(self.name, labels)
    }

    /// A histogram of it with these labels.
    pub fn histogram(&self, labels: Vec<Label>) -> Histogram {
        recorder();
        metrics::histogram!(self.name, labels)
    }
}

#[cfg(test)]
mod tests {
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
