//! The pages in a browser: each spec of `browser/` against a `hulak` of its own.
#![expect(clippy::unwrap_used, reason = "a test may end where its expectation does")]

mod started;

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use hulak_testkit::services::free_port;
use hulak_testkit::services::install::{self, Browser};
use tokio::sync::OnceCell;

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
async fn the_inbox() {
    let directory = tempfile::tempdir().unwrap();
    let hulak = Hulak::start(&directory.path().join("data"), &[]);
    spec("inbox", &hulak, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hosted_page() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let back = format!("http://127.0.0.1:{}/verified", free_port().unwrap());
    let hulak = Hulak::start(&data, &[("HULAK_RESEND_COOLDOWN", "10s")]);
    may_come_back(&data, &back).await;
    spec("verify", &hulak, &[("HULAK_TEST_BACK", &back)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_that_is_too_old() {
    let directory = tempfile::tempdir().unwrap();
    let settings = [("HULAK_CODE_TTL", "5s"), ("HULAK_RESEND_COOLDOWN", "1s")];
    let hulak = Hulak::start(&directory.path().join("data"), &settings);
    spec("expired", &hulak, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let hulak = Hulak::start(&data, &[]);
    let key = data.join("operator-key");
    spec("console", &hulak, &[("HULAK_TEST_OPERATOR_KEY_FILE", key.to_str().unwrap())]).await;
}
