//! The pages in a browser: each spec of `browser/` against a `hulak` of its own.
#![expect(clippy::unwrap_used, reason = "a test may end where its expectation does")]

mod started;

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hulak_common::clock::{Clock as _, DatabaseClock};
use hulak_common::usage::Day;
use hulak_service::metrics_history::Sample;
use hulak_store::Store;
use hulak_store::StoredSample;
use hulak_testkit::services::free_port;
use hulak_testkit::services::install::{self, Browser};
use hulak_testkit_stack::rules;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::started::{Hulak, may_come_back};

/// The repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// When this is set, the specs write their pictures to `docs/images`.
const UPDATE: &str = "HULAK_UPDATE_SCREENSHOTS";

/// The programs that the specs need, and the packages.
async fn ready() -> &'static (Browser, PathBuf) {
    static READY: OnceCell<(Browser, PathBuf)> = OnceCell::const_new();
    READY
        .get_or_init(|| async {
            let browser = install::browser().await.unwrap();
            let modules = packages(&browser);
            (browser, modules)
        })
        .await
}

/// Installs what `browser/package-lock.json` names, once for each state of it.
fn packages(browser: &Browser) -> PathBuf {
    let files =
        ["package.json", "package-lock.json"].map(|name| (name, Path::new(ROOT).join("browser").join(name)));
    let mut hash = DefaultHasher::new();
    for (_, path) in &files {
        fs::read(path).unwrap().hash(&mut hash);
    }
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let directory = parent.join(format!("browser-{:016x}", hash.finish()));
    if directory.is_dir() {
        return directory;
    }
    // Beside it, and moved at the end: what is there is whole.
    let fresh = tempfile::tempdir_in(parent).unwrap();
    let inside = fresh.path().join("packages");
    fs::create_dir(&inside).unwrap();
    for (name, path) in &files {
        fs::copy(path, inside.join(name)).unwrap();
    }
    let output = Command::new(&browser.npm)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress"])
        .current_dir(&inside)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    if let Err(error) = fs::rename(&inside, &directory) {
        assert!(directory.is_dir(), "{error}");
    }
    directory
}

/// Runs `browser/NAME.spec.mjs`, and fails with its words when it fails.
async fn spec(name: &str, hulak: &Hulak, settings: &[(&str, &str)]) {
    let (browser, modules) = ready().await;
    let mut command = Command::new(&browser.node);
    command
        .arg(Path::new(ROOT).join("browser").join(format!("{name}.spec.mjs")))
        .env("HULAK_TEST_API", hulak.address("API"))
        .env("HULAK_TEST_INBOX", hulak.address("SMS inbox"))
        .env("HULAK_TEST_ADMIN", hulak.address("Admin").replace("/readyz", ""))
        .env("HULAK_TEST_KEY", hulak.key())
        .env("HULAK_TEST_CHROMIUM", &browser.chromium)
        .env("HULAK_TEST_MODULES", modules)
        .env("NODE_NO_WARNINGS", "1")
        .env_remove("NODE_OPTIONS")
        .envs(settings.iter().copied());
    if std::env::var_os(UPDATE).is_some() {
        let images = Path::new(ROOT).join("docs/images");
        fs::create_dir_all(&images).unwrap();
        command.env("HULAK_TEST_SHOTS", images);
    }
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: needs Chromium and npm"]
async fn the_inbox() {
    let directory = tempfile::tempdir().unwrap();
    let hulak = Hulak::start(&directory.path().join("data"), &[]);
    spec("inbox", &hulak, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: needs Chromium and npm"]
async fn the_hosted_page() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let back = format!("http://127.0.0.1:{}/verified", free_port().unwrap());
    let hulak = Hulak::start(&data, &[("HULAK_RESEND_COOLDOWN", "10s")]);
    may_come_back(&data, &back).await;
    spec("verify", &hulak, &[("HULAK_TEST_BACK", &back)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: needs Chromium and npm"]
async fn a_code_that_is_too_old() {
    let directory = tempfile::tempdir().unwrap();
    let settings = [("HULAK_CODE_TTL", "5s"), ("HULAK_RESEND_COOLDOWN", "1s")];
    let hulak = Hulak::start(&directory.path().join("data"), &settings);
    spec("expired", &hulak, &[]).await;
}

/// A day's work, for charts and tables to have something to show: an hour of counters of a process that is gone, and a week
/// of what was billed.
async fn a_day_before_this_one(data: &Path) {
    let store = Store::sqlite(&data.join("hulak.db"), rules()).unwrap();
    let now = DatabaseClock::new().now();
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let (process, began) = (Uuid::from_u128(7), now - minutes(52));
    let mut sample = Sample { started_at: began, ..Sample::default() };
    // None of it leaves the last hour while the browser looks.
    for n in 0..50 {
        let codes = 30 + (n * 7 % 11) * 2 + n / 2;
        let mut count = |key: &str, more: u64| *sample.counters.entry(key.to_owned()).or_default() += more;
        for (operator, codes) in [("ntc", codes), ("ncell", codes * 3 / 4), ("smart", codes / 9)] {
            let failed = u64::from(n % 5 == 1);
            count(&format!("created/{operator}"), codes);
            count(&format!("messages/sent/{operator}"), codes - failed);
            count(&format!("messages/failed/{operator}"), failed);
            count(&format!("parts/{operator}"), codes - failed);
            count(&format!("ended/approved/{operator}"), codes * 4 / 5);
            count("checks/approved", codes * 4 / 5);
            count("requests/good", codes * 5);
            for (histogram, buckets) in [("gateway", ["0.1", "0.25", "1"]), ("approval", ["10", "30", "120"])]
            {
                for (bucket, share) in buckets.into_iter().zip([60, 38, 2]) {
                    count(&format!("{histogram}/{operator}/{bucket}"), codes * share);
                }
            }
        }
        count("checks/incorrect", codes / 6);
        count("requests/refused", codes / 6);
        count("requests/limited", u64::from(n % 9 == 4) * 3);
        count("failures/invalid-receiver", u64::from(n % 5 == 1) * 2);
        count("failures/gateway-unavailable", u64::from(n % 15 == 6) * 3);
        let body = serde_json::to_string(&sample).unwrap();
        store.put_sample(&StoredSample { process, at: began + minutes(n), body }).await.unwrap();
    }
    store.close().await;
    let file = SqliteConnectOptions::new().filename(data.join("hulak.db"));
    let mut connection = SqliteConnection::connect_with(&file).await.unwrap();
    let sent =
        ["ntc", "ncell", "smart"].map(|operator| sample.counters[&format!("messages/sent/{operator}")]);
    for back in 0..8 {
        let day = Day::of(now).before(back).number();
        let messages = if back == 0 {
            i64::try_from(sent.iter().sum::<u64>()).unwrap()
        } else {
            31_000 + back * 3_730 % 9_000
        };
        sqlx::query(
            "INSERT INTO usage_days SELECT $1, id, $2, $3, $4, $5, 0 FROM clients WHERE name = 'default'",
        )
        .bind(day)
        .bind(messages)
        .bind(messages + back * messages / 70)
        .bind(back % 3)
        .bind(messages / 150)
        .execute(&mut connection)
        .await
        .unwrap();
    }
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: needs Chromium and npm"]
async fn the_console() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let hulak = Hulak::start(&data, &[]);
    a_day_before_this_one(&data).await;
    let key = data.join("operator-key");
    spec("console", &hulak, &[("HULAK_TEST_OPERATOR_KEY_FILE", key.to_str().unwrap())]).await;
}
