//! A collector of traces (OTLP over HTTP, protobuf) that keeps what it gets.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hulak_runtime::serve::{ServeOptions, serve};
use hulak_runtime::shutdown::Shutdown;
use hyper::body::Incoming;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    /// Its base address.
    pub url: String,
    kept: Kept,
    shutdown: Shutdown,
}

/// Whole messages, with what they say of their sender.
type Kept = Arc<Mutex<Vec<ExportTraceServiceRequest>>>;

impl Collector {
    /// Starts one.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound address"));
        let (kept, shutdown) = (Kept::default(), Shutdown::new());
        let service = tower::service_fn({
            let kept = Arc::clone(&kept);
            move |request| keep(Arc::clone(&kept), request)
        });
        tokio::spawn(serve(listener, service, ServeOptions::default(), shutdown.clone()));
        Self { url, kept, shutdown }
    }

    /// Everything as text: whatever is in a span, or around it, is in here.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{:?}", self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The spans there are by now.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let scopes =
            kept.iter().flat_map(|request| &request.resource_spans).flat_map(|spans| &spans.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// The names of the services that have sent spans.
    #[must_use]
    pub fn services(&self) -> Vec<String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let resources = kept
            .iter()
            .flat_map(|request| &request.resource_spans)
            .filter_map(|spans| spans.resource.as_ref());
        let attributes = resources.flat_map(|resource| &resource.attributes);
        attributes
            .filter(|attribute| attribute.key == "service.name")
            .filter_map(|attribute| match attribute.value.as_ref()?.value.as_ref()? {
                Value::StringValue(name) => Some(name.clone()),
                _ => None,
            })
            .collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.shutdown.abort();
    }
}

async fn keep(kept: Kept, request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let answer = |status: StatusCode| {
        let mut response = Response::new(String::new());
        *response.status_mut() = status;
        Ok(response)
    };
    if request.uri().path() != "/v1/traces" {
        return answer(StatusCode::NOT_FOUND);
    }
    let body = request.into_body().collect().await.map(|body| body.to_bytes());
    match body.ok().and_then(|bytes| ExportTraceServiceRequest::decode(bytes).ok()) {
        Some(request) => {
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(request);
            answer(StatusCode::OK)
        }
        None => answer(StatusCode::BAD_REQUEST),
    }
}

/// An attribute's text; empty when it has none.
#[must_use]
pub fn attribute<'a>(span: &'a Span, name: &str) -> &'a str {
    let found = span.attributes.iter().find(|attribute| attribute.key == name);
    match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}
