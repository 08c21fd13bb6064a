//! `hulak worker` as operators run it: how it stops. And `hulak dead`.
#![expect(clippy::unwrap_used, reason = "a test may end where its expectation does")]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hulak_broker::Topology;
use hulak_common::clock::Stopwatch;
use hulak_common::code::{Keyring, Secret};
use hulak_testkit::services::{Process, Signal};
use hulak_testkit_stack::{Faults, Shape, Stack, StackOptions, eventually, rules};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use serde_json::json;
use tokio::sync::Mutex;

/// The program has names of its own on the broker, so its tests go one after the other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

const SECRET: [u8; 32] = [7; 32];

/// Everything but workers, under the program's own names.
async fn start() -> Stack {
    let mut rules = rules();
    rules.keyring = Keyring::new(Secret::from_bytes(SECRET.to_vec()).unwrap(), None);
    let topology = Some(Topology::default());
    Stack::start(StackOptions { rules, workers: 0, topology, ..StackOptions::new(Shape::Production) }).await
}

fn program(stack: &Stack) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hulak"));
    command
        .env("HULAK_SECRET", STANDARD.encode(SECRET))
        .env("HULAK_DATABASE_URL", stack.database_url())
        .env("HULAK_BROKER_URL", std::env::var("HULAK_TEST_BROKER_URL").unwrap())
        .env("HULAK_SPARROW_URL", stack.gateway_url())
        .env("HULAK_SPARROW_TOKEN", "token")
        .env("HULAK_SPARROW_FROM", "Hulak")
        .env("HULAK_GATEWAY_TIMEOUT", "60s")
        .env("HULAK_CLAIM_LEASE", "70s")
        .env("HULAK_GATEWAY_RATE", "1000")
        .env("HULAK_ADMIN_ADDR", "127.0.0.1:0")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

fn spawn(stack: &Stack, log: &Path) -> Process {
    let mut command = program(stack);
    command.arg("worker").stderr(std::fs::File::create(log).unwrap());
    Process::spawn(command).unwrap()
}

/// Asks for codes for these many numbers, and waits until their calls are under way.
async fn under_way(stack: &Stack, messages: u64) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..messages {
        let asked = stack.post("/v1/verifications", json!({ "phone": format!("98{n:08}") })).await;
        assert_eq!(asked.status, 202);
        ids.push(asked.id());
    }
    eventually("the calls", || async { (stack.sandbox.stats().requests == messages).then_some(()) }).await;
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_stop_it_finishes_what_it_has_begun_and_gives_the_rest_back() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let (stack, directory) = (start().await, tempfile::tempdir().unwrap());
    stack.set_faults(Faults { latency_ms: 2_000, ..Faults::none() });
    let mut worker = spawn(&stack, &directory.path().join("log"));
    let ids = under_way(&stack, 8).await;
    worker.signal(Signal::Terminate);
    let log = || std::fs::read_to_string(directory.path().join("log")).unwrap();
    eventually("the stop", || async { log().contains("stopping").then_some(()) }).await;
    let late = stack.post("/v1/verifications", json!({ "phone": "9812345678" })).await.id();
    assert_eq!(worker.wait_or_kill(Duration::from_secs(14)).await.unwrap().code(), Some(0), "{}", log());

    for (n, id) in ids.iter().enumerate() {
        let body = stack.get(&format!("/v1/verifications/{id}")).await.body;
        assert_eq!(body["delivery"]["status"], "sent", "{body}");
        let number = stack.get(&format!("/v1/phones/98{n:08}")).await.body;
        assert_eq!((&number["otp_count"], &number["ambiguous_count"]), (&json!(1), &json!(0)));
    }
    let body = stack.get(&format!("/v1/verifications/{late}")).await.body;
    assert_eq!(body["delivery"]["status"], "queued", "nothing is begun after the signal");
    stack.set_faults(Faults::none());
    let mut next = spawn(&stack, &directory.path().join("next"));
    stack.until(&late, |body| body["delivery"]["status"] == "sent").await;
    assert_eq!(stack.sandbox.stats().requests, 9, "each was sent once");
    next.signal(Signal::Terminate);
    assert_eq!(next.wait_or_kill(Duration::from_secs(14)).await.unwrap().code(), Some(0));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_at_once() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let (stack, directory) = (start().await, tempfile::tempdir().unwrap());
    // Longer than a stop may take.
    stack.set_faults(Faults { latency_ms: 55_000, ..Faults::none() });
    let log = directory.path().join("log");
    let mut worker = spawn(&stack, &log);
    under_way(&stack, 1).await;
    worker.signal(Signal::Terminate);
    let begun = || std::fs::read_to_string(&log).unwrap().contains("stopping");
    eventually("the stop", || async { begun().then_some(()) }).await;
    assert!(worker.ended().unwrap().is_none(), "the call is still under way");
    let watch = Stopwatch::start();
    worker.signal(Signal::Interrupt);
    assert_eq!(worker.wait().await.unwrap().code(), Some(1));
    assert!(watch.elapsed() < Duration::from_secs(8), "{:?}", watch.elapsed());
    stack.stop().await;
}

/// Puts something on the queue of jobs that is none.
async fn post_rubbish(topology: &Topology) {
    let url = std::env::var("HULAK_TEST_BROKER_URL").unwrap();
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let (queue, options) = (topology.send_queue().into(), BasicPublishOptions::default());
    let properties = BasicProperties::default();
    let posted = channel.basic_publish("".into(), queue, options, b"rubbish\n", properties).await;
    assert!(posted.unwrap().await.unwrap().is_ack());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_shown_and_thrown_away() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let (stack, directory) = (start().await, tempfile::tempdir().unwrap());
    let dead = async |action: &'static str| {
        let mut command = program(&stack);
        command.args(["dead", action]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let Output { status, stdout, stderr } = output;
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    };
    assert_eq!(dead("list").await, "0 dead letters\n");
    let mut worker = spawn(&stack, &directory.path().join("log"));
    post_rubbish(stack.topology()).await;
    let list = eventually("the dead letter", || async {
        let list = dead("list").await;
        list.starts_with("1 ").then_some(list)
    })
    .await;
    let fields: Vec<_> = list.lines().nth(1).unwrap().split('\t').collect();
    assert_eq!((list.lines().count(), &fields[1..]), (2, &["rejected", r"rubbish\n"][..]), "{list}");
    assert_eq!(dead("list").await, list, "looking takes nothing away");
    assert_eq!(dead("purge").await, "1 dead letters thrown away\n");
    assert_eq!(dead("list").await, "0 dead letters\n");
    // The worker took no harm.
    let asked = stack.post("/v1/verifications", json!({ "phone": "9812345678" })).await;
    stack.until(&asked.id(), |body| body["delivery"]["status"] == "sent").await;
    worker.kill().unwrap();
    stack.stop().await;
}
