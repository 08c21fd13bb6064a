//! The production shape, with everything logged and traced: no code, no key and no whole number is found afterwards. (The
//! one-process shape's test is `hulak/tests/personal`.)
#![expect(clippy::unwrap_used, reason = "a test may end where its expectation does")]

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use hulak_chaos::program::terminate;
use hulak_common::clock::DatabaseClock;
use hulak_common::rng::Rng;
use hulak_runtime::shutdown::Shutdown;
use hulak_sandbox::{Faults, Sandbox, SandboxConfig};
use hulak_testkit::collector::Collector;
use hulak_testkit::database::TestDatabase;
use hulak_testkit::services::{Process, free_port, without_cargo_env};
use hulak_testkit_stack::personal::{BACK, Ground, walk};
use hulak_testkit_stack::{eventually, install_tls};
use tokio::net::TcpListener;

const SECRET: &str = "dGhpcyBpcyBhIHNlY3JldCB0aGF0IG5vYm9keSBtYXkgc2VlLg==";
const KEY: &str = "hk_the-key-of-the-production-shape-01";
const TOKEN: &str = "a-gateway-token-that-nobody-may-see";

/// Hulak with these settings, and no others.
fn program(settings: &[(&str, String)]) -> Command {
    let mut command = without_cargo_env(Path::new(env!("CARGO_BIN_EXE_chaos-hulak")));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HULAK_")) {
        command.env_remove(name);
    }
    command.envs(settings.iter().map(|(name, value)| (*name, value))).stdin(Stdio::null());
    command
}

/// What an operator does at a terminal, and what it answers.
fn manage(settings: &[(&str, String)], words: &[&str]) -> String {
    let output = program(settings).args(words).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Starts a role, and waits until it is ready.
async fn start(role: &str, log: &Path, settings: &[(&str, String)]) -> (Process, String) {
    let admin = format!("127.0.0.1:{}", free_port().unwrap());
    let mut command = program(settings);
    command
        .arg(role)
        .env("HULAK_ADMIN_ADDR", &admin)
        .stdout(Stdio::null())
        .stderr(File::create(log).unwrap());
    let process = Process::spawn(command).unwrap();
    let admin = format!("http://{admin}");
    let http = reqwest::Client::new();
    eventually(role, || async {
        let ready = http.get(format!("{admin}/readyz")).send().await.ok()?.text().await.ok()?;
        ready.contains("\"broker\":\"up\"").then_some(())
    })
    .await;
    (process, admin)
}

async fn simulator() -> SocketAddr {
    let config = SandboxConfig { faults: Faults::none(), ..SandboxConfig::default() };
    let sandbox = Sandbox::new(config, Arc::new(DatabaseClock::new()), Rng::system());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(hulak_sandbox::run(listener, sandbox, Shutdown::new()));
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_personal_is_left_behind() {
    install_tls();
    let directory = tempfile::tempdir().unwrap();
    let logs = ["api.log", "worker.log"].map(|name| directory.path().join(name));
    let (database, collector, sandbox) =
        (TestDatabase::create().await, Collector::start().await, simulator().await);
    let broker = std::env::var("HULAK_TEST_BROKER_URL").unwrap();
    let api = format!("127.0.0.1:{}", free_port().unwrap());
    let settings = [
        ("HULAK_DATABASE_URL", database.url()),
        ("HULAK_BROKER_URL", broker),
        ("HULAK_SECRET", SECRET.to_owned()),
        ("HULAK_API_KEY", KEY.to_owned()),
        ("HULAK_HTTP_ADDR", api.clone()),
        ("HULAK_SPARROW_URL", format!("http://{sandbox}/v2")),
        ("HULAK_SPARROW_TOKEN", TOKEN.to_owned()),
        ("HULAK_SPARROW_FROM", "Hulak".to_owned()),
        ("HULAK_CODE_LENGTH", "10".to_owned()),
        ("HULAK_RESEND_COOLDOWN", "1s".to_owned()),
        ("HULAK_NUMBER_HOURLY", "100".to_owned()),
        ("HULAK_HOSTED_PAGE", "on".to_owned()),
        ("HULAK_LOG", "trace".to_owned()),
        ("HULAK_LOG_FORMAT", "json".to_owned()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.clone()),
    ];
    let mut running = Vec::new();
    for (role, log) in ["api", "worker"].into_iter().zip(&logs) {
        running.push(start(role, log, &settings).await);
    }
    manage(&settings, &["clients", "set", "default", "--redirect-uris", BACK]);
    let ground = Ground {
        api: format!("http://{api}"),
        sandbox: format!("http://{sandbox}"),
        admin: running[0].1.clone(),
        key: KEY.to_owned(),
        operator_key: manage(&settings, &["keys", "create", "--client", "staff", "--operator"]),
        http: reqwest::Client::new(),
    };
    let mut secrets = Box::pin(walk(&ground)).await;
    for (what, secret) in [("the secret", SECRET), ("the gateway's token", TOKEN)] {
        secrets.add(what, secret);
    }
    for (process, admin) in running {
        let metrics = reqwest::get(format!("{admin}/metrics")).await.unwrap().text().await.unwrap();
        assert_eq!(secrets.find(&metrics), Vec::<String>::new(), "in the metrics");
        assert_eq!(terminate(process).await.unwrap(), None);
    }

    for (log, line) in logs.iter().zip(["answered", "called the gateway"]) {
        let log = std::fs::read_to_string(log).unwrap();
        assert_eq!(secrets.find(&log), Vec::<String>::new(), "in a log");
        assert!(log.contains(line) && log.contains("TRACE"), "there was nothing to find: {line}");
    }
    assert_eq!(secrets.find(&collector.text()), Vec::<String>::new(), "in the traces");
    let mut services = collector.services();
    services.sort_unstable();
    services.dedup();
    assert_eq!(services, ["hulak-api", "hulak-worker"]);
    database.drop_now().await;
}
