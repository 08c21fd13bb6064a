//! Schemathesis, a fuzzer that reads the description of the API, against the live server: with every check, but for what
//! the files in `api/tests/schemathesis` leave out and why.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use hulak_common::phone::PhonePattern;
use hulak_testkit_stack::{Shape, Stack, StackOptions};
use serde_json::json;

use crate::python::Python;
use crate::support::*;

/// Other requests than those of every run.
const SEED: &str = "HULAK_SCHEMATHESIS_SEED";

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis").join(name)
}

/// A stack that serves every number: the document promises all that are well formed, and which of them a service sends
/// to is its own choice.
async fn serving_all() -> Stack {
    let pattern: PhonePattern = r"^9\d{9}$".parse().unwrap();
    Box::pin(Stack::start(StackOptions { pattern, ..StackOptions::new(Shape::Production) })).await
}

/// Runs a program of ours, and fails with its words when it fails.
async fn succeed(command: impl FnOnce(Python) -> Command + Send + 'static) {
    let run = || command(Python::with("schemathesis", &file("requirements.txt"))).output();
    let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    print!("{said}");
}

async fn fuzz(stack: &Stack, config: &'static str, environment: Vec<(&'static str, OsString)>) {
    let address = format!("{}/openapi.json", stack.apis[0].url);
    succeed(move |python| {
        let mut command = python.module("schemathesis.cli");
        command.arg("--config-file").arg(file(config)).args(["run", "--no-color"]).arg(address);
        if let Some(seed) = std::env::var_os(SEED) {
            command.arg("--seed").arg(seed);
        }
        command.envs(environment).current_dir(env!("CARGO_TARGET_TMPDIR"));
        command
    })
    .await;
}

/// Callers, in the form of Web Fuzzing Commons.
fn users(all: &[(&str, &str)]) -> String {
    let user = |(name, credential): &(&str, &str)| {
        let value = format!("Bearer {credential}");
        json!({"name": name, "fixedHeaders": [{"name": "Authorization", "value": value}]})
    };
    json!({"auth": all.iter().map(user).collect::<Vec<_>>()}).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: needs packages from PyPI"]
async fn the_document_is_valid_and_so_are_its_examples() {
    succeed(|python| {
        let mut command = python.program();
        command.arg(file("document.py")).arg(file("../../../docs/openapi.json"));
        command
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: needs packages from PyPI"]
async fn nothing_is_found_with_api_keys() {
    let stack = serving_all().await;
    let second = another_client(&stack, "second").await;
    let credentials = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
    std::fs::write(&credentials, users(&[("first", stack.key.expose()), ("second", second.expose())]))
        .unwrap();
    let environment = vec![("HULAK_SCHEMATHESIS_AUTH", credentials.path().into())];
    fuzz(&stack, "schemathesis.toml", environment).await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: needs packages from PyPI"]
async fn nothing_is_found_with_a_client_token() {
    let stack = serving_all().await;
    let created = begin(&stack, json!({"phone": PHONE})).await;
    let token = created.body["client_token"].as_str().unwrap().to_owned();
    let environment = vec![("HULAK_CLIENT_TOKEN", token.into()), ("HULAK_VERIFICATION", created.id().into())];
    fuzz(&stack, "client-token.toml", environment).await;
    stack.stop().await;
}
