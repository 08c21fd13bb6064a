//! Request ids: the caller's when it is sane, ours when not, on every answer.

use std::collections::HashSet;

use hulak_testkit_stack::{Answer, Shape, Stack};
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::json;

use crate::support::*;

both_shapes!(a_sane_id_comes_back, another_is_replaced, every_answer_has_one);

async fn ask(stack: &Stack, path: &str, id: HeaderValue) -> String {
    let answer = Answer::of(stack.request(Method::GET, path).header("x-request-id", id)).await;
    assert_eq!(answer.headers.get_all("x-request-id").iter().count(), 1, "{answer:?}");
    answer.header("x-request-id").to_owned()
}

async fn a_sane_id_comes_back(shape: Shape) {
    let stack = start(shape).await;
    let longest = "x".repeat(128);
    for id in ["1", "01990000-0000-7000-8000-000000000000", "trace.A_1:2/3+4=", &longest] {
        for path in ["/v1/phones/9812345678", "/v1/phones/nonsense", "/nothing", "/problems/not-found"] {
            assert_eq!(ask(&stack, path, HeaderValue::from_str(id).unwrap()).await, id, "{path}");
        }
    }
    stack.stop().await;
}

async fn another_is_replaced(shape: Shape) {
    let stack = start(shape).await;
    let too_long = "x".repeat(129);
    let insane =
        ["", " ", "two words", "a\tb", "\"quoted\"", "<b>", "a;b", "a,b", "%0d%0a", "a=\\b", &too_long];
    let mut values: Vec<_> = insane.iter().map(|id| HeaderValue::from_str(id).unwrap()).collect();
    values.push(HeaderValue::from_bytes("नेपाल".as_bytes()).unwrap());
    values.push(HeaderValue::from_bytes(b"\xff").unwrap());
    let mut ours = HashSet::new();
    for value in values {
        let id = ask(&stack, "/v1/phones/9812345678", value.clone()).await;
        assert!(id.parse::<uuid::Uuid>().is_ok(), "{value:?} became {id:?}");
        assert!(ours.insert(id), "ids are not used twice");
    }
    stack.stop().await;
}

async fn every_answer_has_one(shape: Shape) {
    let stack = start(shape).await;
    let mut ids = HashSet::new();
    let created = begin(&stack, json!({"phone": PHONE})).await;
    let path = format!("{VERIFICATIONS}/{}", created.id());
    let etag = stack.get(&path).await.header("etag").to_owned();
    let post = |body: &str| stack.request(Method::POST, VERIFICATIONS).body(body.to_owned());
    let requests = [
        (202..=202, None),
        (200..=304, Some(stack.request(Method::GET, &path).header("if-none-match", etag))),
        (400..=400, Some(post("{").header("content-type", "application/json"))),
        (401..=401, Some(stack.http.get(format!("{}{path}", stack.apis[0].url)))),
        (404..=404, Some(stack.request(Method::GET, "/nothing"))),
        (405..=405, Some(stack.request(Method::PUT, VERIFICATIONS))),
        (413..=413, Some(post(&" ".repeat(20_000)).header("content-type", "application/json"))),
        (415..=415, Some(post("{}"))),
        (422..=422, Some(post("{}").header("content-type", "application/json"))),
        (
            429..=429,
            Some(stack.request(Method::POST, VERIFICATIONS).json(&json!({"phone": PHONE, "session": "x"}))),
        ),
        (200..=200, Some(stack.request(Method::GET, "/.well-known/jwks.json"))),
    ];
    for (statuses, request) in requests {
        let (status, id) = match request {
            None => (created.status, created.header("x-request-id").to_owned()),
            Some(request) => {
                let answer = Answer::of(request).await;
                (answer.status, answer.header("x-request-id").to_owned())
            }
        };
        assert!(statuses.contains(&status), "{status} instead of {statuses:?}");
        assert!(id.parse::<uuid::Uuid>().is_ok(), "{status}: {id:?}");
        assert!(ids.insert(id), "{status}");
    }
    stack.stop().await;
}
