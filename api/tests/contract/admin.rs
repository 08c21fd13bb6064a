//! The admin address: alive, ready, and for operators only.

use hulak_testkit_stack::{Answer, Shape, Stack};
use serde_json::{Value, json};

use crate::support::*;

both_shapes!(
    api_and_worker_are_alive_and_ready,
    a_strangers_name_is_not_answered,
    callers_have_nothing_to_do_here,
    the_look_of_pages_is_here,
);

async fn get(stack: &Stack, admin: &str, path: &str, host: Option<&str>) -> Answer {
    let request = stack.http.get(format!("{admin}{path}"));
    Answer::of(match host {
        Some(host) => request.header("host", host),
        None => request,
    })
    .await
}

async fn api_and_worker_are_alive_and_ready(shape: Shape) {
    let stack = start(shape).await;
    for node in [&stack.apis[0], &stack.workers[0]] {
        assert_eq!(get(&stack, &node.admin, "/healthz", None).await.status, 200);
        let ready = get(&stack, &node.admin, "/readyz", None).await;
        let body = json!({"status": "ready", "database": "up", "broker": "up"});
        assert_eq!((ready.status, ready.body), (200, body));
    }
    stack.stop().await;
}

async fn a_strangers_name_is_not_answered(shape: Shape) {
    let stack = start(shape).await;
    let strangers =
        ["evil.example", "evil.example:9090", "127.0.0.1.evil.example", "localhost.evil.example:80"];
    let admin = &stack.apis[0].admin;
    for path in ["/healthz", "/readyz"] {
        for host in strangers {
            let answer = get(&stack, admin, path, Some(host)).await;
            assert_eq!((answer.status, answer.body), (421, Value::Null), "{host}");
        }
        for host in ["localhost", "LOCALHOST:9090", "127.0.0.1:9090", "[::1]:9090", "hulak-api", "10.0.0.7"] {
            assert_eq!(get(&stack, admin, path, Some(host)).await.status, 200, "{host}");
        }
        let unnamed = raw_request(admin, &format!("GET {path} HTTP/1.0\r\n\r\n"), 5 * SECOND).await;
        assert!(unnamed.starts_with("HTTP/1.0 421 "), "{unnamed}");
    }
    stack.stop().await;
}

async fn callers_have_nothing_to_do_here(shape: Shape) {
    let stack = start(shape).await;
    let admin = &stack.apis[0].admin;
    for path in ["/v1/phones/9812345678", "/.well-known/jwks.json", "/problems/not-found", "/"] {
        let request = stack.http.get(format!("{admin}{path}")).bearer_auth(stack.key.expose());
        assert_eq!(Answer::of(request).await.status, 404, "{path}");
    }
    stack.stop().await;
}

async fn the_look_of_pages_is_here(shape: Shape) {
    let stack = start(shape).await;
    let admin = &stack.apis[0].admin;
    let style = get(&stack, admin, "/assets/hulak.css", None).await;
    assert_eq!((style.status, style.header("content-type")), (200, "text/css; charset=utf-8"));
    assert_eq!(get(&stack, admin, "/assets/hulak.css", Some("evil.example")).await.status, 421);
    assert_eq!(get(&stack, admin, "/assets/nothing.css", None).await.status, 404);
    stack.stop().await;
}
