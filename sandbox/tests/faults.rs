//! Faults on demand, as a client meets them.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking")]

mod support;

use std::time::Duration;

use hulak_sandbox::{Faults, SandboxConfig};
use serde_json::json;
use support::{config, good, start, start_with, told, with};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

async fn start_failing(faults: Faults) -> support::Simulator {
    start_with(SandboxConfig { faults, ..config() }).await
}

/// Everything the simulator writes on a connection of its own, until it closes.
async fn raw_send(simulator: &support::Simulator, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(simulator.addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.expect("it closes");
    answer
}

const SEND: &str = "/v2/sms/?token=t&from=f&to=9812345678&text=1234";

#[tokio::test]
async fn an_error_takes_no_message() {
    let simulator = start_failing(Faults { error_rate: 1.0, ..Faults::none() }).await;
    assert_eq!(simulator.post(&good()).await.unwrap().status(), 500);
    assert_eq!(
        simulator.client.get(simulator.url("/v2/credit/?token=t")).send().await.unwrap().status(),
        500
    );
    let stats = simulator.sandbox.stats();
    assert_eq!((stats.requests, stats.accepted, stats.refused, stats.credits), (1, 0, 1, 1_000_000));
}

#[tokio::test]
async fn a_drop_takes_the_message_and_closes_without_a_byte() {
    let simulator = start_failing(Faults { drop_rate: 1.0, ..Faults::none() }).await;
    assert!(raw_send(&simulator, SEND).await.is_empty());
    assert!(raw_send(&simulator, "/v2/credit/?token=t").await.is_empty());
    let error = simulator.post(&good()).await.unwrap_err();
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    // What is not accepted is answered.
    assert_eq!(simulator.send(&with("to", "1")).await.1["response_code"], 1007);
    let stats = simulator.sandbox.stats();
    assert_eq!((stats.requests, stats.accepted, stats.refused, stats.dropped), (3, 2, 1, 2));
    assert_eq!((stats.credits, simulator.sandbox.inbox().len()), (999_998, 2));
}

#[tokio::test]
async fn a_timeout_takes_the_message_and_says_nothing() {
    let simulator = start_failing(Faults { timeout_rate: 1.0, ..Faults::none() }).await;
    let call = simulator.client.post(simulator.url("/v2/sms/")).form(&good());
    let error = call.timeout(Duration::from_millis(300)).send().await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    let stats = simulator.sandbox.stats();
    assert_eq!((stats.accepted, stats.timed_out), (1, 1));
}

#[tokio::test]
async fn a_stop_lets_go_of_calls_that_are_held() {
    let simulator = start_failing(Faults { timeout_rate: 1.0, ..Faults::none() }).await;
    let stop_when_held = async {
        while simulator.sandbox.stats().timed_out == 0 {
            tokio::task::yield_now().await;
        }
        simulator.shutdown.begin();
    };
    let both = async { tokio::join!(raw_send(&simulator, SEND), stop_when_held).0 };
    assert!(timeout(Duration::from_secs(20), both).await.expect("the call is held").is_empty());
    timeout(Duration::from_secs(3), simulator.task).await.expect("it stops").unwrap().unwrap();
}

#[tokio::test]
async fn a_caller_who_loses_patience_has_sent_its_message() {
    let simulator = start_failing(Faults { latency_ms: 5_000, ..Faults::none() }).await;
    let call = simulator.client.post(simulator.url("/v2/sms/")).form(&good());
    assert!(call.timeout(Duration::from_millis(300)).send().await.unwrap_err().is_timeout());
    assert_eq!(simulator.sandbox.stats().accepted, 1);
}

#[tokio::test]
async fn rates_are_shares() {
    let simulator = start_failing(Faults { error_rate: 0.5, ..Faults::none() }).await;
    for _ in 0..200 {
        simulator.post(&good()).await.unwrap();
    }
    let stats = simulator.sandbox.stats();
    assert_eq!(stats.accepted + stats.refused, 200);
    assert!((70..=130).contains(&stats.refused), "{stats:?}");
}

#[tokio::test]
async fn a_status_can_be_forced_with_retry_after() {
    let simulator = start().await;
    for status in [403_u16, 429, 500, 502, 503, 504] {
        let faults = json!({"response_code": status, "retry_after_s": 7}).to_string();
        assert_eq!(simulator.put_faults(&faults).await.0, 200);
        for response in [
            simulator.post(&good()).await.unwrap(),
            simulator.client.get(simulator.url("/v2/credit/?token=t")).send().await.unwrap(),
        ] {
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()["retry-after"], "7");
            assert!(told(response).await.1.is_string(), "no gateway code in it");
        }
    }
    assert_eq!(simulator.put_faults(r#"{"response_code":null}"#).await.0, 200);
    assert_eq!(simulator.send(&good()).await.0, 200);
    assert_eq!(simulator.sandbox.stats().accepted, 1);
}

#[tokio::test]
async fn faults_are_shown_and_changed_in_part() {
    let simulator = start_with(SandboxConfig::default()).await;
    let shown = json!({"latency_ms": 50, "jitter_ms": 0, "error_rate": 0.0, "drop_rate": 0.0, "timeout_rate": 0.0,
        "response_code": null, "retry_after_s": null, "credits": 1_000_000});
    assert_eq!(simulator.get("/faults").await, (200, shown.clone()));
    let (status, changed) = simulator.put_faults(r#"{"latency_ms":1,"drop_rate":0.5,"credits":7}"#).await;
    assert_eq!(status, 200);
    assert_eq!(
        (&changed["latency_ms"], &changed["drop_rate"], &changed["credits"]),
        (&json!(1), &json!(0.5), &json!(7))
    );
    assert_eq!(simulator.put_faults(r#"{"error_rate":1}"#).await.1["drop_rate"], 0.5);
    assert_eq!(
        simulator.put_faults(&shown.to_string()).await,
        (200, shown.clone()),
        "what is read can be written"
    );
    assert_eq!(simulator.sandbox.faults(), Faults::default());
}

#[tokio::test]
async fn a_bad_fault_is_named_and_nothing_changes() {
    let simulator = start().await;
    for (field, value) in [
        ("latency", json!(1)),
        ("latency_ms", json!(-1)),
        ("latency_ms", json!(60_001)),
        ("jitter_ms", json!("5")),
        ("error_rate", json!(1.01)),
        ("drop_rate", json!(-0.1)),
        ("timeout_rate", json!(null)),
        ("response_code", json!(1009)),
        ("response_code", json!(200)),
        ("retry_after_s", json!(1.5)),
        ("credits", json!(null)),
    ] {
        let (status, problem) =
            simulator.put_faults(&json!({"jitter_ms": 9, field: value}).to_string()).await;
        assert_eq!(status, 422, "{field}={value}");
        assert_eq!(problem["errors"][0]["field"], field);
        assert!(problem["detail"].as_str().unwrap().starts_with(field), "{problem}");
    }
    assert_eq!(simulator.put_faults("{").await.0, 400);
    assert_eq!(simulator.put_faults("[]").await.0, 422);
    assert_eq!(simulator.sandbox.faults(), Faults::none());
}
