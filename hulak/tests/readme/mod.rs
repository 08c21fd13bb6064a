//! The programs of the README, saved and run as a newcomer does.

use std::path::Path;
use std::process::Command;

use hulak_testkit::services::install;
use serde_json::json;

use crate::example::{Example, ROOT};
use crate::started::Hulak;

/// The only block of this language in the README.
fn block(language: &str) -> String {
    let readme = std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let fence = format!("\n```{language}\n");
    let [_, rest] = readme.split(&fence).collect::<Vec<_>>()[..] else {
        panic!("the README has one block of {language}");
    };
    rest.split_once("\n```\n").unwrap().0.to_owned()
}

/// Runs the block from a file beside `hulak-data`, types the code of the inbox, and expects the approval.
async fn verifies_a_number(interpreter: &Path, language: &str, file: &str, phone: &str) {
    let directory = tempfile::tempdir().unwrap();
    let hulak = Hulak::start(&directory.path().join("hulak-data"), &[]);
    let (api, inbox) = (hulak.address("API"), hulak.address("SMS inbox"));
    let mut program = block(language);
    // A newcomer's `cargo run` listens where the README says, this one wherever there is room.
    for (usual, here) in [("http://127.0.0.1:8080", &api), ("http://127.0.0.1:8081/inbox", &inbox)] {
        assert_eq!(program.matches(usual).count(), 1, "{usual} in {program}");
        program = program.replace(usual, here);
    }
    std::fs::write(directory.path().join(file), program).unwrap();
    let mut command = Command::new(interpreter);
    command.arg(file).current_dir(directory.path());
    let mut run = Example::start(command, &[], &hulak, &[]);
    run.write(&crate::code(&hulak, phone).await);
    assert_eq!(run.line(&format!("The code in {inbox}: ")), "approved");
    assert_eq!(run.end(), (Some(0), String::new()));
    let number = hulak.get(&format!("/v1/phones/{phone}")).await.body;
    assert_eq!(number["validated"], json!(true), "{number}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_python_verifies_a_number() {
    verifies_a_number(&install::python().await.unwrap(), "python", "verify.py", "9812345678").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_javascript_verifies_a_number() {
    verifies_a_number(&install::node().await.unwrap(), "js", "verify.mjs", "9841000001").await;
}
