//! One request's way through everything, as a collector sees it, in both shapes.

use std::sync::Arc;

use hulak_common::clock::FrozenClock;
use hulak_common::time::Timestamp;
use hulak_otlp::Exporter;
use hulak_runtime::trace;
use hulak_testkit::collector::{Collector, attribute};
use hulak_testkit_stack::{Answer, Shape, Stack, StackOptions, eventually};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::json;

const CREATE: &str = "POST /v1/verifications";

async fn find(collector: &Collector, what: &str, wanted: impl Fn(&Span) -> bool) -> Span {
    eventually(what, || async { collector.spans().into_iter().find(|span| wanted(span)) }).await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The span of the send of a verification's first message.
async fn send_of(collector: &Collector, id: &str) -> Span {
    let message = format!("{id}/1");
    find(collector, "the send", |span| attribute(span, "messaging.message.id") == message).await
}

/// One test for all: there is one collector in a process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_links_to_the_request_that_asked_for_it() {
    let collector = Collector::start().await;
    let exporter = Exporter::connect(&collector.url.parse().unwrap(), "hulak-test").unwrap();
    assert!(trace::collect(Box::new(exporter.clone()), 1.0));
    for shape in [Shape::OneProcess, Shape::Production] {
        // Time stands still, so that no relay brings a message before the publisher, on however busy a machine.
        let clock = Arc::new(FrozenClock::at(Timestamp::from_millis(1_790_000_000_000)));
        let stack = Box::pin(Stack::start(StackOptions { clock, ..StackOptions::new(shape) })).await;
        begun_here(&stack, &collector).await;
        begun_by_the_caller(&stack, &collector).await;
        many_at_once(&stack, &collector).await;
        left_out(&stack, &collector).await;
        stack.stop().await;
    }
    exporter.finish().await;
}

async fn begun_here(stack: &Stack, collector: &Collector) {
    let answer = stack.post("/v1/verifications", json!({ "phone": "9812345678" })).await;
    let send = send_of(collector, &answer.id()).await;
    let request = find(collector, "the request", |span| span.trace_id == send.links[0].trace_id).await;
    assert_eq!((request.name.as_str(), request.kind), (CREATE, SpanKind::Server as i32));
    assert_eq!(request.span_id, send.links[0].span_id, "it links to the very span");
    assert!(request.parent_span_id.is_empty() && send.parent_span_id.is_empty());
    assert_eq!(attribute(&request, "http.route"), "/v1/verifications");
    assert_eq!(attribute(&request, "http.request.method"), "POST");
    assert_ne!(request.trace_id, send.trace_id, "a send is a trace of its own");
    assert_eq!((send.name.as_str(), send.kind), ("send", SpanKind::Consumer as i32));
    assert_eq!(attribute(&send, "hulak.outcome"), "accepted");
    assert!(send.start_time_unix_nano >= request.start_time_unix_nano);

    let call = find(collector, "the call", |span| span.parent_span_id == send.span_id).await;
    assert_eq!((call.name.as_str(), call.kind), ("gateway", SpanKind::Client as i32));
    assert_eq!(call.trace_id, send.trace_id);
    assert_eq!(attribute(&call, "hulak.gateway.answer"), "accepted");
    assert!(send.start_time_unix_nano <= call.start_time_unix_nano);
    assert!(call.end_time_unix_nano <= send.end_time_unix_nano);
}

async fn create(stack: &Stack, phone: &str, traceparent: &str) -> Answer {
    let request = stack.request(reqwest::Method::POST, "/v1/verifications");
    Answer::of(request.header("traceparent", traceparent).json(&json!({ "phone": phone }))).await
}

async fn begun_by_the_caller(stack: &Stack, collector: &Collector) {
    let trace = hulak_common::rng::Rng::system().uuid().simple().to_string();
    let answer = create(stack, "9841234567", &format!("00-{trace}-b7ad6b7169203331-01")).await;
    let request = find(collector, "the request", |span| hex(&span.trace_id) == trace).await;
    assert_eq!(hex(&request.parent_span_id), "b7ad6b7169203331");
    let send = send_of(collector, &answer.id()).await;
    assert_eq!(hex(&send.links[0].trace_id), trace);
    // What is no context begins a trace of its own.
    let answer = create(stack, "9841234568", "00-9812345678-b7ad6b7169203331-01").await;
    let send = send_of(collector, &answer.id()).await;
    assert_eq!(send.links[0].trace_id.len(), 16);
}

/// Messages that share a job keep their requests apart.
async fn many_at_once(stack: &Stack, collector: &Collector) {
    let asked = (0..60).map(|n| async move {
        let trace = hulak_common::rng::Rng::system().uuid().simple().to_string();
        let phone = format!("98555{n:05}");
        let answer = create(stack, &phone, &format!("00-{trace}-b7ad6b7169203331-01")).await;
        (answer.id(), trace)
    });
    for (id, trace) in futures_util::future::join_all(asked).await {
        let send = send_of(collector, &id).await;
        assert_eq!(hex(&send.links[0].trace_id), trace);
    }
}

/// A caller who does not want its trace collected is heard.
async fn left_out(stack: &Stack, collector: &Collector) {
    let trace = hulak_common::rng::Rng::system().uuid().simple().to_string();
    let answer = create(stack, "9861234567", &format!("00-{trace}-b7ad6b7169203331-00")).await;
    stack.until(&answer.id(), |body| body["delivery"]["status"] == "sent").await;
    // Whatever came after it has been collected by now.
    begun_after(stack, collector).await;
    let spans = collector.spans();
    assert!(spans.iter().all(|span| hex(&span.trace_id) != trace));
    let message = format!("{}/1", answer.id());
    assert!(spans.iter().all(|span| attribute(span, "messaging.message.id") != message));
}

async fn begun_after(stack: &Stack, collector: &Collector) {
    let answer = stack.post("/v1/verifications", json!({ "phone": "9861234568" })).await;
    send_of(collector, &answer.id()).await;
}
