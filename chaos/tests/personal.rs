//! The production shape, with everything logged and traced: no code, no key and no whole number is found afterwards. (The
//! one-process shape's test is `hulak/tests/personal`.)
#![expect(clippy::unwrap_used, reason = "a test may end where its expectation does")]

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use hulak_chaos::child::terminate;
use hulak_chaos::programs::Programs;
use hulak_common::clock::DatabaseClock;
use hulak_common::rng::Rng;
use hulak_runtime::shutdown::Shutdown;
use hulak_sandbox::{Faults, Sandbox, SandboxConfig};
use hulak_testkit::collector::Collector;
use hulak_testkit::database::TestDatabase;
use hulak_testkit::program::{Program, ready};
use hulak_testkit::services::{Process, free_port};
use hulak_testkit_stack::install_tls;
use hulak_testkit_stack::personal::{BACK, Ground, walk};
use tokio::net::TcpListener;
use tokio::time::timeout;

/// Long, for a busy machine.
const READY_LIMIT: Duration = Duration::from_secs(60);

const SECRET: &str = "dGhpcyBpcyBhIHNlY3JldCB0aGF0IG5vYm9keSBtYXkgc2VlLg==";
const KEY: &str = "hk_the-key-of-the-production-shape-01";
const TOKEN: &str = "a-gateway-token-that-must-stay-secret";

/// Runs a command of an operator, and answers what it prints.
fn manage(settings: &[(&str, String)], words: &[&str]) -> String {
    let program = Program::without_role(env!("CARGO_BIN_EXE_chaos-hulak"));
    let output = program.command(settings.iter().cloned()).args(words).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Starts a program and waits until it is ready. Answers its admin address, too.
async fn start(program: &Program, log: &Path, settings: &[(&str, String)]) -> (Process, String) {
    let admin = format!("127.0.0.1:{}", free_port().unwrap());
    let mut command = program.command(settings.iter().cloned());
    command.env("HULAK_ADMIN_ADDR", &admin).stdout(Stdio::null()).stderr(File::create(log).unwrap());
    let process = Process::spawn(command).unwrap();
    let admin = format!("http://{admin}");
    timeout(READY_LIMIT, ready(&admin)).await.unwrap();
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
    let programs = Programs::of(env!("CARGO_BIN_EXE_chaos-hulak"));
    let mut running = Vec::new();
    for (program, log) in [&programs.api, &programs.worker].into_iter().zip(&logs) {
        running.push(start(program, log, &settings).await);
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
