//! The recorder that holds this process's metrics, and their handles.

use std::sync::OnceLock;

use metrics::{Counter, Gauge, Histogram, Label};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::catalogue::{BUILD, CATALOGUE, Kind, Metric};

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

pub(super) fn recorder() -> &'static PrometheusHandle {
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
