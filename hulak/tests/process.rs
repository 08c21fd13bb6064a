//! The programs as their users start them: what they print, what they refuse, and what `kill -9` does to them.
#![expect(clippy::unwrap_used, reason = "a test may end where its expectation does")]

mod personal;
mod settings;
mod started;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use hulak_common::time::Timestamp;
use hulak_testkit_stack::eventually;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

use crate::started::{Hulak, program};

impl Hulak {
    /// As `kill -9`.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// From the request until the gateway accepted its message.
    async fn time_to_send(&self, id: &str) -> Duration {
        let body = self.get(&format!("/v1/verifications/{id}")).await.body;
        let time = |value: &Value| value.as_str().unwrap().parse::<Timestamp>().unwrap();
        time(&body["delivery"]["last_sent_at"]) - time(&body["created_at"])
    }

    async fn until_sent(&self, id: &str) {
        eventually(id, || async {
            let body = self.get(&format!("/v1/verifications/{id}")).await.body;
            (body["delivery"]["status"] == "sent").then_some(())
        })
        .await;
    }
}

/// How many messages were in the hands of a process when it was killed.
async fn in_flight(data: &Path) -> i64 {
    let file = SqliteConnectOptions::new().filename(data.join("hulak.db"));
    let mut connection = SqliteConnection::connect_with(&file).await.unwrap();
    let sql = "SELECT count(*) FROM messages WHERE state = 'sending'";
    let count = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    count
}

/// Runs the curl line of the greeting, exactly as it is printed.
fn paste(greeting: &str) -> Value {
    let from = greeting.find("curl ").unwrap();
    let output = Command::new("sh").arg("-c").arg(&greeting[from..]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_printed_curl_line_works_and_the_walk_goes_through() {
    let directory = tempfile::tempdir().unwrap();
    let hulak = Hulak::start(&directory.path().join("data"), &[]);
    let id = paste(&hulak.greeting)["id"].as_str().unwrap().to_owned();
    hulak.until_sent(&id).await;
    let inbox = hulak.inbox().await;
    let code = inbox[0]["code"].as_str().unwrap();
    // Within a second; the machine may be busy, so that one of three has to be.
    let mut took = vec![hulak.time_to_send(&id).await];
    for phone in ["9840000001", "9840000002"] {
        let other = hulak.post("/v1/verifications", json!({ "phone": phone })).await.id();
        hulak.until_sent(&other).await;
        took.push(hulak.time_to_send(&other).await);
    }
    assert!(took.iter().any(|took| *took < Duration::from_secs(1)), "{took:?}");
    let check = format!("/v1/verifications/{id}/check");
    assert_eq!(hulak.post(&check, json!({ "code": code })).await.status, 200);
    assert_eq!(hulak.post(&check, json!({ "code": code })).await.status, 409);
    let number = hulak.get("/v1/phones/9812345678").await.body;
    assert_eq!((&number["validated"], &number["otp_count"]), (&json!(true), &json!(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_started_again_it_has_lost_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    // Slow enough that most messages are still waiting when it dies.
    let slow = [("HULAK_GATEWAY_RATE", "20")];
    let quick = [("HULAK_RESEND_COOLDOWN", "1s")];
    let hulak = Hulak::start(&data, &slow);
    let (key, mut ids) = (hulak.key(), Vec::new());
    for n in 0..60 {
        let answer = hulak.post("/v1/verifications", json!({ "phone": format!("98{n:08}") })).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        ids.push(answer.id());
    }
    hulak.kill();
    let in_flight = in_flight(&data).await;

    let hulak = Hulak::start(&data, &quick);
    assert_eq!(hulak.key(), key, "the key is kept");
    let (mut sent, mut ambiguous) = (0, 0);
    for (n, id) in ids.iter().enumerate() {
        // A claim of the dead process holds until its lease of 30 s ends; it ends as unknown, and is repeated.
        let body = tokio::time::timeout(std::time::Duration::from_secs(60), async {
            loop {
                let body = hulak.get(&format!("/v1/verifications/{id}")).await.body;
                if body["delivery"]["status"] == "sent" {
                    return body;
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{id} is lost"));
        assert_eq!(body["delivery"]["messages"], 1);
        let number = hulak.get(&format!("/v1/phones/98{n:08}")).await.body;
        assert_eq!(number["otp_count"], 1, "{number}");
        sent += 1;
        ambiguous += number["ambiguous_count"].as_i64().unwrap();
    }
    assert_eq!(sent, 60);
    assert_eq!(ambiguous, in_flight, "what was in flight when it died, and nothing else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_writes_is_its_users_own_and_one_process_uses_it() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let _hulak = Hulak::start(&data, &[]);
    assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in std::fs::read_dir(&data).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
    let second =
        program(&[("HULAK_HTTP_ADDR", "127.0.0.1:0")]).env("HULAK_DATA_DIR", &data).output().unwrap();
    assert_refused(&second, "HULAK_DATA_DIR");
}

fn assert_refused(output: &Output, name: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert_eq!(error.trim().lines().count(), 1, "one clear line: {error}");
    assert!(error.contains(name), "{error}");
}

#[test]
fn a_bad_setting_ends_the_start_with_its_name_and_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let data = data.to_str().unwrap();
    let party = "🎉".repeat(30);
    for (name, value, reason) in [
        ("HULAK_CODE_LENGTH", "3", "4 to 10"),
        ("HULAK_CODE_TTL", "soon", "30s"),
        ("HULAK_CODE_TTL", "0s", "longer than zero"),
        ("HULAK_PHONE_PATTERN", "9[678", "regular expression"),
        ("HULAK_GATEWAY_RATE", "0", "0.1"),
        ("HULAK_GATEWAY_CONCURRENCY", "0", "1 to 10000"),
        ("HULAK_NUMBER_HOURLY", "0", "1 to 1000"),
        ("HULAK_MAX_PARTS", "0", "1 to 10"),
        ("HULAK_MAX_PARTS", "en=1,fr=2", "en=1,ne=2"),
        ("HULAK_APP_NAME", "", "1 to 30 characters"),
        (
            "HULAK_APP_NAME",
            &party,
            "the en message is 2 parts (85 characters, UCS-2); HULAK_MAX_PARTS allows 1",
        ),
        ("HULAK_AMBIGUOUS", "twice", "resend-once"),
        ("HULAK_CLAIM_LEASE", "15s", "at least 20s"),
        ("HULAK_SECRET", "c2hvcnQ=", "32 bytes"),
        ("HULAK_API_KEY", "hk_short", "24 characters"),
        ("HULAK_API_KEY", "ho_0123456789abcdef01234567", "operator"),
        ("HULAK_TEST_NUMBERS", "+9779800000001=12345x", "HULAK_TEST_NUMBERS"),
        ("HULAK_HTTP_ADDR", "localhost", "socket address"),
        ("HULAK_PUBLIC_URL", "hulak", "relative URL"),
        ("HULAK_PUBLIC_URL", "mailto:hulak@example.com", "https://"),
        ("HULAK_PUBLIC_URL", "https://example.com/?a=b", "without"),
        ("HULAK_CORS_ORIGINS", "https://app.example.com/", "without a path"),
        ("HULAK_CORS_ORIGINS", "*,https://app.example.com", "stands alone"),
        ("HULAK_DATABASE_URL", "mysql://x", "postgres://"),
        ("HULAK_BROKER_URL", "http://x", "amqp://"),
        ("HULAK_OPERATORS_FILE", "/nowhere", "No such file"),
        ("HULAK_LOG_FORMAT", "xml", "json"),
        ("HULAK_SPARROW_URL", "ftp://x", "https://"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector", "relative URL"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://x", "http://"),
        ("OTEL_TRACES_SAMPLER_ARG", "2", "0 to 1"),
    ] {
        let anywhere =
            ["HULAK_HTTP_ADDR", "HULAK_ADMIN_ADDR", "HULAK_SANDBOX_ADDR"].map(|name| (name, "127.0.0.1:0"));
        let mut command = program(&anywhere);
        command.env("HULAK_DATA_DIR", data).env(name, value);
        if name == "HULAK_SPARROW_URL" {
            command.env("HULAK_SPARROW_TOKEN", "token").env("HULAK_SPARROW_FROM", "Hulak");
        }
        let output = command.output().unwrap();
        assert_refused(&output, name);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(reason), "{name}={value}: {error}");
        assert!(!error.contains("12345x") && !error.contains("9800000001"), "{error}");
    }
}

#[test]
fn a_variable_that_nobody_reads_is_warned_about() {
    let output = program(&[("HULAK_RESEND_COOLDOWNS", "1s"), ("HULAK_HTTP_ADDR", "192.0.2.1:1")])
        .env("HULAK_DATA_DIR", tempfile::tempdir().unwrap().path())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("unknown setting HULAK_RESEND_COOLDOWNS"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_come_from_files_and_the_previous_one_stays_known() {
    let directory = tempfile::tempdir().unwrap();
    let (data, file) = (directory.path().join("data"), directory.path().join("key"));
    std::fs::write(&file, "hk_0123456789abcdef01234567\n").unwrap();
    let settings = [
        ("HULAK_API_KEY_FILE", file.to_str().unwrap()),
        // Beside the secret that is kept in the data directory.
        ("HULAK_SECRET_PREVIOUS", "dGhpcyBpcyBhIHNlY3JldCB0aGF0IG5vYm9keSBtYXkgc2Vl"),
    ];
    let hulak = Hulak::start(&data, &settings);
    assert_eq!(hulak.key(), "hk_0123456789abcdef01234567");
    assert_eq!(hulak.get("/v1/phones/9812345678").await.status, 200);
    let keys = hulak.get("/.well-known/jwks.json").await.body;
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(2), "{keys}");
}

#[test]
fn a_password_on_the_command_line_is_refused() {
    let output =
        program(&[]).args(["--database-url", "postgres://hulak:secret@127.0.0.1/hulak"]).output().unwrap();
    assert_refused(&output, "DATABASE_URL");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("secret@"), "it must not be repeated");
}
