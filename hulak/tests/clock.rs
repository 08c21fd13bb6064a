//! A worker whose machine has the wrong time.
#![expect(clippy::unwrap_used, reason = "a test may end where its expectation does")]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hulak_broker::Topology;
use hulak_common::code::{Keyring, Secret};
use hulak_testkit::services::install;
use hulak_testkit_stack::{Shape, Stack, StackOptions, rules};
use serde_json::json;

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// Ten minutes off is more than the whole life of a code: a worker that went by its own clock would find every code
/// expired, or every claim lapsed.
async fn sends_in_time_and_expires_in_time(offset: &str) {
    let secret = vec![7; 32];
    let mut rules = rules();
    rules.keyring = Keyring::new(Secret::from_bytes(secret.clone()).unwrap(), None);
    rules.code_ttl = Duration::from_secs(5);
    // The program's own names: nothing else in the tests uses them on this broker.
    let topology = Topology::default();
    let options =
        StackOptions { rules, workers: 0, topology: Some(topology), ..StackOptions::new(Shape::Production) };
    let stack = Stack::start(options).await;
    let faketime = install::ensure().await.unwrap().faketime;
    let worker = Command::new(env!("CARGO_BIN_EXE_hulak"))
        .arg("worker")
        .env("LD_PRELOAD", faketime)
        .env("FAKETIME", offset)
        .env("HULAK_SECRET", STANDARD.encode(&secret))
        .env("HULAK_DATABASE_URL", stack.database_url())
        .env("HULAK_BROKER_URL", std::env::var("HULAK_TEST_BROKER_URL").unwrap())
        .env("HULAK_SPARROW_URL", stack.gateway_url())
        .env("HULAK_SPARROW_TOKEN", "token")
        .env("HULAK_SPARROW_FROM", "Hulak")
        .env("HULAK_CODE_TTL", "5s")
        .env("HULAK_ADMIN_ADDR", "127.0.0.1:0")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _worker = Killed(worker);

    let asked = stack.post("/v1/verifications", json!({ "phone": "9812345678" })).await;
    assert_eq!(asked.status, 202);
    let sent = stack.until(&asked.id(), |body| body["delivery"]["status"] == "sent").await;
    assert_eq!(sent["status"], "pending", "not expired before its time");
    let number = stack.get("/v1/phones/9812345678").await.body;
    assert_eq!((&number["otp_count"], &number["ambiguous_count"]), (&json!(1), &json!(0)));
    // The reaper is the worker's too: what it writes carries the database's time.
    let expired = stack
        .until(&asked.id(), |body| body["status"] == "expired" && body["version"] != sent["version"])
        .await;
    let time =
        |field: &str| expired[field].as_str().unwrap().parse::<hulak_common::time::Timestamp>().unwrap();
    assert!(time("updated_at") >= time("expires_at"));
    assert!(time("updated_at") - time("expires_at") < Duration::from_secs(5));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_ten_minutes_off_breaks_nothing() {
    // One after the other: both workers would take jobs from the same queue.
    sends_in_time_and_expires_in_time("+600").await;
    sends_in_time_and_expires_in_time("-600").await;
}
