//! Logs and metrics. Logs go to stderr, one line an event, as text or JSON. Codes, keys and whole numbers never get here: their types do not
//! print them.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::text_enum::text_enum;

text_enum! {
    /// How log lines look.
    LogFormat {
        /// For people.
        Text => "text",
        /// For machines.
        Json => "json",
    }
}

/// Starts logging. `filter` is in the syntax of `tracing_subscriber::EnvFilter`, for instance `info,hulak_worker=debug`.
///
/// # Errors
/// When the filter cannot be read, with the reason.
pub fn init(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter = EnvFilter::builder().parse(filter).map_err(|error| error.to_string())?;
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter);
    match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|error| error.to_string())
}

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Upper bounds of the buckets of durations, in seconds.
const BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Collects this process's metrics from now on; again changes nothing.
pub fn collect_metrics() {
    METRICS.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), BUCKETS)
            .unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        // Somebody else's recorder may be there already when we are a part of another program; ours then stays empty.
        let _others = metrics::set_global_recorder(recorder);
        handle
    });
}

/// The metrics in the text format of Prometheus.
#[must_use]
pub fn render_metrics() -> String {
    METRICS
        .get()
        .map(|handle| {
            handle.run_upkeep();
            handle.render()
        })
        .unwrap_or_default()
}
