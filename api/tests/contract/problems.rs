//! Problem documents, unknown addresses, and methods that an address does not take.

use hulak_api::problem::Kind;
use hulak_testkit_stack::{Answer, Shape, Stack};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::*;

both_shapes!(
    every_problem_explains_itself,
    the_type_of_a_problem_is_an_address_that_answers,
    an_unknown_address_is_not_found,
    another_method_is_told_what_is_allowed,
    head_and_options_are_answered,
);

const ID: &str = "01990000-0000-7000-8000-000000000000";

/// A request without a credential.
async fn anonymous(stack: &Stack, method: Method, path: &str) -> Answer {
    Answer::of(stack.http.request(method, format!("{}{path}", stack.apis[0].url))).await
}

async fn every_problem_explains_itself(shape: Shape) {
    let stack = start(shape).await;
    for kind in Kind::ALL {
        let answer = anonymous(&stack, Method::GET, &format!("/problems/{}", kind.slug())).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body["slug"], kind.slug());
        assert_eq!(answer.body["status"], kind.status().as_u16());
        // The shortest title is "Not found"; a remedy is a sentence.
        for (member, least) in [("title", 9), ("remedy", 11)] {
            assert!(answer.body[member].as_str().is_some_and(|text| text.len() >= least), "{answer:?}");
        }
    }
    for slug in ["nonsense", "Not-Found", "%20", "not-found%00"] {
        let answer = anonymous(&stack, Method::GET, &format!("/problems/{slug}")).await;
        assert_problem(&answer, 404, "not-found");
    }
    stack.stop().await;
}

async fn the_type_of_a_problem_is_an_address_that_answers(shape: Shape) {
    let stack = start(shape).await;
    begin(&stack, json!({"phone": PHONE})).await;
    let limited = stack.post(VERIFICATIONS, json!({"phone": PHONE, "session": "x"})).await;
    let problems = [
        (limited, "rate-limited"),
        (stack.post(VERIFICATIONS, json!({"phone": "1"})).await, "invalid-phone"),
        (stack.get(&format!("{VERIFICATIONS}/{ID}")).await, "not-found"),
        (anonymous(&stack, Method::GET, "/v1/phones/9812345678").await, "unauthorized"),
    ];
    for (problem, slug) in &problems {
        assert_problem(problem, problem.status, slug);
        let kind = problem.body["type"].as_str().unwrap();
        assert_eq!(kind, format!("{}/problems/{slug}", stack.apis[0].url));
        let explained = Answer::of(stack.http.get(kind)).await;
        assert_eq!(explained.status, 200, "{explained:?}");
        for member in ["title", "status"] {
            assert_eq!(explained.body[member], problem.body[member]);
        }
        let known = ["type", "title", "status", "detail", "errors", "policy"];
        assert!(
            problem.body.as_object().unwrap().keys().all(|name| known.contains(&&name[..])),
            "{problem:?}"
        );
    }
    stack.stop().await;
}

async fn an_unknown_address_is_not_found(shape: Shape) {
    let stack = start(shape).await;
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/verifications/",
        "/v2/verifications",
        "/V1/verifications",
        "//",
        "/v1/nothing",
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            // Nobody has to be known to be told that there is nothing.
            assert_problem(&anonymous(&stack, method.clone(), path).await, 404, "not-found");
            let known = Answer::of(stack.request(method, path)).await;
            assert_problem(&known, 404, "not-found");
        }
    }
    // What the operators see is not here.
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_problem(&anonymous(&stack, Method::GET, path).await, 404, "not-found");
    }
    let unreadable = stack.get("/v1/phones/%ff").await;
    assert_problem(&unreadable, 400, "bad-request");
    stack.stop().await;
}

async fn another_method_is_told_what_is_allowed(shape: Shape) {
    let stack = start(shape).await;
    let (one, check) = (format!("{VERIFICATIONS}/{ID}"), format!("{VERIFICATIONS}/{ID}/check"));
    for (method, path, allowed) in [
        (Method::PUT, VERIFICATIONS, "POST"),
        (Method::DELETE, VERIFICATIONS, "POST"),
        (Method::PUT, &one[..], "GET"),
        (Method::GET, &check[..], "POST"),
        (Method::DELETE, &check[..], "POST"),
        (Method::POST, "/v1/phones/9812345678", "GET"),
        (Method::POST, "/.well-known/jwks.json", "GET"),
        (Method::PATCH, "/problems/not-found", "GET"),
        (Method::from_bytes(b"BREW").unwrap(), VERIFICATIONS, "POST"),
    ] {
        let answer = Answer::of(stack.request(method.clone(), path)).await;
        assert_problem(&answer, 405, "method-not-allowed");
        assert!(
            answer.header("allow").split(',').any(|name| name.trim() == allowed),
            "{method} {path}: {answer:?}"
        );
    }
    stack.stop().await;
}

async fn head_and_options_are_answered(shape: Shape) {
    let stack = start(shape).await;
    let id = begin(&stack, json!({"phone": PHONE})).await.id();
    sent(&stack, &id).await;
    let path = format!("{VERIFICATIONS}/{id}");
    for (path, status) in [
        (&path[..], 200),
        (&format!("/v1/phones/{PHONE}"), 200),
        ("/.well-known/jwks.json", 200),
        ("/problems/not-found", 200),
        ("/nothing", 404),
        (&format!("{VERIFICATIONS}/{ID}"), 404),
        (&format!("{path}/check"), 405),
    ] {
        let head = Answer::of(stack.request(Method::HEAD, path)).await;
        assert_eq!((head.status, &head.body), (status, &Value::Null), "{path}");
        let get = Answer::of(stack.request(Method::GET, path)).await;
        assert_eq!(get.status, status, "{path}");
        for name in ["content-type", "etag", "cache-control", "content-length", "allow"] {
            assert_eq!(head.header(name), get.header(name), "{name} of {path}");
        }
        assert!(!head.header("x-request-id").is_empty());
    }
    for path in [VERIFICATIONS, &path[..], &format!("{path}/check"), "/v1/phones/9812345678", "/nothing"] {
        let answer = Answer::of(stack.request(Method::OPTIONS, path)).await;
        assert!((200..500).contains(&answer.status), "{path}: {answer:?}");
        assert!(!answer.header("x-request-id").is_empty(), "{path}: {answer:?}");
    }
    let everything =
        raw_request(&stack.apis[0].url, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 5 * SECOND).await;
    assert!(everything.starts_with("HTTP/1.1 4"), "{everything}");
    assert!(everything.contains("\r\nx-request-id: "), "{everything}");
    assert_eq!(stack.get(&path).await.status, 200, "and the server is well");
    stack.stop().await;
}
