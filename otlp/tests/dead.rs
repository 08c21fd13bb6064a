//! What a collector that does not answer costs.
#![expect(clippy::unwrap_used, reason = "a test may end where its expectation does")]

use std::time::Duration;

use hulak_common::clock::Stopwatch;
use hulak_common::trace_context::SEED;
use hulak_common::trace_context::TraceContext;
use hulak_otlp::Exporter;
use hulak_runtime::trace::{Kind, Sink as _, Span};
use hulak_testkit::collector::Collector;
use tokio::net::TcpListener;

fn span(n: u8) -> Span {
    let took = Duration::from_millis(5);
    Span::new("GET /v1/test".to_owned(), Kind::Server, TraceContext::root(&[n; SEED]), took)
}

fn exporter(url: &str) -> Exporter {
    Exporter::connect(&url.parse().unwrap(), "hulak-test").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_is_handed_over_at_the_end() {
    let collector = Collector::start().await;
    let exporter = exporter(&collector.url);
    for n in 1..=3 {
        exporter.take(span(n));
    }
    exporter.finish().await;
    let spans = collector.spans();
    assert_eq!(spans.len(), 3);
    assert_eq!(collector.services(), ["hulak-test"]);
    assert_eq!((spans[0].name.as_str(), spans[0].trace_id.len()), ("GET /v1/test", 16));
    let took = spans[0].end_time_unix_nano - spans[0].start_time_unix_nano;
    assert_eq!(took, 5_000_000);
}

/// It takes connections and never says a word; another one is not even there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_collector_costs_spans_and_no_time() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let absent = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for url in [format!("http://{}", silent.local_addr().unwrap()), format!("http://{absent}")] {
        let exporter = exporter(&url);
        let watch = Stopwatch::start();
        // Several times what the queue holds.
        for _ in 0..50_000 {
            exporter.take(span(1));
        }
        let took = watch.elapsed();
        assert!(took < Duration::from_secs(2), "taking spans waited: {took:?}");
        let watch = Stopwatch::start();
        exporter.finish().await;
        assert!(watch.elapsed() < Duration::from_secs(8), "the end waited: {:?}", watch.elapsed());
    }
}
