//! The description of the API: the committed file, and the page that shows it.

use std::path::{Path, PathBuf};

use hulak_testkit_stack::{Answer, Shape, Stack};
use reqwest::Method;
use serde_json::Value;

use crate::support::*;

both_shapes!(
    the_document_is_served_to_everybody,
    the_page_is_made_of_our_own_files_only,
    each_path_allows_what_is_documented,
);

/// Writes the file anew instead of comparing, when set.
const UPDATE: &str = "HULAK_UPDATE_OPENAPI";

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json")
}

async fn open(stack: &Stack, path: &str) -> reqwest::Response {
    stack.http.get(format!("{}{path}", stack.apis[0].url)).send().await.unwrap()
}

#[test]
fn the_committed_document_is_the_one_of_the_code() {
    let document = hulak_api::OPENAPI.as_str();
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(committed(), document).unwrap();
    }
    let file = std::fs::read_to_string(committed()).unwrap_or_default();
    // Not assert_eq: nobody wants to read both.
    let line = file.lines().zip(document.lines()).position(|(old, new)| old != new);
    assert!(file == document, "docs/openapi.json differs at line {line:?}: run `make openapi`");
}

async fn the_document_is_served_to_everybody(shape: Shape) {
    let stack = start(shape).await;
    let response = open(&stack, "/openapi.json").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    let served = response.text().await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&served).unwrap()["openapi"], "3.1.0");
    assert!(served == std::fs::read_to_string(committed()).unwrap(), "run `make openapi`");
    stack.stop().await;
}

async fn the_page_is_made_of_our_own_files_only(shape: Shape) {
    let stack = start(shape).await;
    let page = open(&stack, "/docs").await;
    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("http"), "{policy}");
    let page = page.text().await.unwrap();
    let mut files = 0;
    for address in page.split("src=\"").chain(page.split("href=\"")).filter_map(|rest| rest.split('"').next())
    {
        assert!(!address.contains("//"), "{address}");
        if address.starts_with("/docs/") {
            let file = open(&stack, address).await;
            assert_eq!(file.status(), 200, "{address}");
            assert_eq!(file.headers()["x-content-type-options"], "nosniff");
            let length = file.bytes().await.unwrap().len();
            assert!((100..2_000_000).contains(&length), "{address} has {length} bytes");
            files += 1;
        }
    }
    assert_eq!(files, 3, "{page}");
    for path in ["/docs/", "/docs/index.html", "/docs/swagger-ui.js", "/docs/..%2f..%2fetc%2fpasswd"] {
        assert_problem(&stack.get(path).await, 404, "not-found");
    }
    stack.stop().await;
}

async fn each_path_allows_what_is_documented(shape: Shape) {
    let stack = start(shape).await;
    let document = stack.get("/openapi.json").await.body;
    for (path, item) in document["paths"].as_object().unwrap() {
        let address = path.replace(['{', '}'], "");
        let answer = Answer::of(stack.request(Method::TRACE, &address)).await;
        assert_problem(&answer, 405, "method-not-allowed");
        let mut allowed: Vec<_> = answer.header("allow").split(',').map(str::to_lowercase).collect();
        allowed.retain(|method| method != "head");
        allowed.sort_unstable();
        let documented: Vec<_> = item.as_object().unwrap().keys().cloned().collect();
        assert_eq!(allowed, documented, "{path}");
    }
    stack.stop().await;
}
