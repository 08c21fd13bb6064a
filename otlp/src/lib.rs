//! Hands spans to an OpenTelemetry collector (OTLP over HTTP, protobuf), when one is named. Without one nothing of this runs.
//!
//! The SDK's batch processor collects on a thread of its own behind a bounded queue: a collector that is slow or dead costs
//! spans, never a request. The calls are made on our runtime, by the HTTP client that the gateway is called with, too.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hulak_common::trace_context::TraceContext;
use hulak_runtime::settings::{SettingError, TelemetryArgs};
use hulak_runtime::trace::{self, Kind, Sink, Span, Value};
use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanLinks, SpanProcessor as _,
};
use tokio::runtime::Handle;

/// Spans that wait for the collector; those beyond are dropped.
const QUEUE: usize = 8_192;
/// Spans in one call.
const BATCH: usize = 512;
/// Between two calls, unless a batch is full before.
const DELAY: Duration = Duration::from_secs(2);
/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a stop may wait for what is left.
const FINISH: Duration = Duration::from_secs(3);
/// The largest answer that is read.
const MAX_ANSWER: usize = 64 * 1024;

/// Collects this process's spans until [`Exporter::finish`].
#[derive(Debug, Clone)]
pub struct Exporter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
}

/// Starts collecting, when the settings name a collector. Call it within the runtime.
///
/// # Errors
/// When the address is none, or the HTTP client cannot be set up.
pub fn start(settings: &TelemetryArgs, service: &'static str) -> Result<Option<Exporter>, SettingError> {
    let Some(endpoint) = &settings.otel_exporter_otlp_endpoint else { return Ok(None) };
    let bad = |reason: &dyn fmt::Display| SettingError::new("OTEL_EXPORTER_OTLP_ENDPOINT", reason);
    if !matches!(endpoint.scheme(), "http" | "https") || endpoint.host().is_none() {
        return Err(bad(&"must begin with http:// or https://"));
    }
    let exporter = Exporter::connect(endpoint, service).map_err(|error| bad(&error))?;
    if trace::collect(Box::new(exporter.clone()), settings.otel_traces_sampler_arg) {
        // Without what may stand before an @ in it.
        tracing::info!(host = endpoint.host_str(), "traces go to a collector");
    }
    Ok(Some(exporter))
}

/// Why the exporter cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The HTTP client.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
    /// The exporter.
    #[error("{0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

impl Exporter {
    /// Collects for the collector at this base address, to which `/v1/traces` is added.
    ///
    /// # Errors
    /// When something of it cannot be set up.
    pub fn connect(endpoint: &url::Url, service: &'static str) -> Result<Self, SetupError> {
        // Chooses the TLS implementation for the whole process; again changes nothing.
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let client = Client { http, runtime: Handle::current(), failing: Arc::default() };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_timeout(TIMEOUT)
            .with_endpoint(format!("{}/v1/traces", endpoint.as_str().trim_end_matches('/')))
            .build()?;
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(DELAY)
            .build();
        let mut processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder_empty().with_service_name(service).with_attribute(version).build();
        processor.set_resource(&resource);
        let scope = InstrumentationScope::builder("hulak").with_version(env!("CARGO_PKG_VERSION")).build();
        Ok(Self(Arc::new(Shared { processor, scope })))
    }

    /// Hands over what is left, within some seconds.
    pub async fn finish(self) {
        // The processor waits on a thread; the calls it waits for are made by this runtime.
        let finishing = tokio::task::spawn_blocking(move || self.0.processor.shutdown_with_timeout(FINISH));
        match finishing.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last traces were not collected"),
            Err(_) => tracing::warn!("the last traces were not collected"),
        }
    }
}

/// [`Exporter::finish`], if there is one.
pub async fn finish(exporter: Option<Exporter>) {
    if let Some(exporter) = exporter {
        exporter.finish().await;
    }
}

impl Sink for Exporter {
    fn take(&self, span: Span) {
        self.0.processor.on_end(translate(span, self.0.scope.clone()));
    }
}

fn translate(span: Span, scope: InstrumentationScope) -> SpanData {
    let mut links = SpanLinks::default();
    links.links.extend(span.link.map(|link| Link::new(context(link, true), Vec::new(), 0)));
    let attribute = |(name, value): (&'static str, Value)| match value {
        Value::Text(text) => KeyValue::new(name, text),
        Value::Name(text) => KeyValue::new(name, text),
        Value::Number(number) => KeyValue::new(name, number),
    };
    SpanData {
        span_context: context(span.context, false),
        parent_span_id: span.parent.map_or(SpanId::INVALID, |parent| SpanId::from(parent.0)),
        parent_span_is_remote: span.remote,
        span_kind: match span.kind {
            Kind::Server => SpanKind::Server,
            Kind::Consumer => SpanKind::Consumer,
            Kind::Client => SpanKind::Client,
        },
        name: span.name.into(),
        start_time: span.start,
        end_time: span.end,
        attributes: span.attributes.into_iter().map(attribute).collect(),
        dropped_attributes_count: 0,
        events: Default::default(),
        links,
        status: if span.failed { Status::error("") } else { Status::Unset },
        instrumentation_scope: scope,
    }
}

fn context(context: TraceContext, remote: bool) -> SpanContext {
    SpanContext::new(
        TraceId::from(context.trace_id().0),
        SpanId::from(context.span_id().0),
        TraceFlags::SAMPLED,
        remote,
        TraceState::default(),
    )
}

/// Calls the collector from the processor's thread, which knows no runtime.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Handle,
    /// Said once, and again when it is over.
    failing: Arc<AtomicBool>,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let called = self.runtime.spawn(async move { call(&http, request).await }).await;
        let answer = called.map_err(HttpError::from).and_then(|answer| answer);
        let failed = !matches!(&answer, Ok(answer) if answer.status().is_success());
        if self.failing.swap(failed, Ordering::Relaxed) != failed {
            if failed {
                tracing::warn!("traces cannot be handed to the collector; they are dropped until they can");
            } else {
                tracing::info!("the collector takes traces again");
            }
        }
        answer
    }
}

async fn call(
    http: &reqwest::Client,
    request: http::Request<Bytes>,
) -> Result<http::Response<Bytes>, HttpError> {
    let mut answer = http.execute(request.try_into()?).await?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(http::Response::builder().status(status).body(body.into())?)
}
