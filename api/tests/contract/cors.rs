//! Web pages with client tokens: what browsers are told.

use hulak_testkit_stack::{Answer, Shape, Stack, StackOptions, eventually};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use hulak_common::client::{Change, SettingsChange};
use hulak_common::clock::Stopwatch;
use hulak_common::origin::list;

use crate::outage::behind_a_proxy;
use crate::support::*;

both_shapes!(
    a_preflight_is_answered,
    a_page_can_read_every_answer,
    a_page_can_read_that_it_is_limited_or_too_much,
    a_star_allows_every_page,
    nobody_is_allowed_unless_told,
    the_clients_origins_are_followed,
);

const PAGE: &str = "https://app.example.com";
const STRANGER: &str = "https://app.example.com.evil.example";

const ALLOW_ORIGIN: &str = "access-control-allow-origin";

async fn serving(shape: Shape, origins: &str) -> Stack {
    Box::pin(Stack::start(with_origins(shape, origins))).await
}

fn with_origins(shape: Shape, origins: &str) -> StackOptions {
    StackOptions { cors: origins.parse().unwrap(), ..StackOptions::new(shape) }
}

/// What a browser asks before it lets a page do `method`.
async fn preflight(stack: &Stack, origin: &str, method: &str, path: &str) -> Answer {
    let request = stack.http.request(Method::OPTIONS, format!("{}{path}", stack.apis[0].url));
    let request = request
        .header("Origin", origin)
        .header("Access-Control-Request-Method", method)
        .header("Access-Control-Request-Headers", "authorization,content-type,idempotency-key");
    Answer::of(request).await
}

fn words(answer: &Answer, name: &str) -> Vec<String> {
    let all = answer.header(name).split(',').map(|word| word.trim().to_ascii_lowercase());
    let mut all: Vec<_> = all.filter(|word| !word.is_empty()).collect();
    all.sort();
    all
}

async fn a_preflight_is_answered(shape: Shape) {
    let stack = serving(shape, &format!("http://localhost:3000,{PAGE}")).await;
    let one = format!("{VERIFICATIONS}/01990000-0000-7000-8000-000000000000");
    for path in [VERIFICATIONS, &one, &format!("{one}/check"), "/v1/phones/9812345678/block", "/nothing"] {
        for (origin, allowed) in
            [(PAGE, PAGE), ("http://localhost:3000", "http://localhost:3000"), (STRANGER, "")]
        {
            let answer = preflight(&stack, origin, "POST", path).await;
            assert!((200..300).contains(&answer.status), "{path}: {answer:?}");
            assert_eq!(answer.header(ALLOW_ORIGIN), allowed, "{path} from {origin}: {answer:?}");
            assert_eq!(words(&answer, "vary"), ["origin"], "{answer:?}");
            assert_eq!(
                words(&answer, "access-control-allow-methods"),
                ["delete", "get", "patch", "post", "put"]
            );
            let headers = [
                "authorization",
                "baggage",
                "content-type",
                "idempotency-key",
                "if-none-match",
                "last-event-id",
                "sentry-trace",
                "traceparent",
                "tracestate",
                "x-request-id",
                "x-requested-with",
            ];
            assert_eq!(words(&answer, "access-control-allow-headers"), headers);
            assert_eq!(answer.header("access-control-max-age"), "600");
            assert!(!answer.headers.contains_key("access-control-allow-credentials"), "{answer:?}");
            assert!(!answer.header("x-request-id").is_empty(), "{answer:?}");
        }
    }
    stack.stop().await;
}

#[track_caller]
fn assert_readable(answer: &Answer) {
    assert_eq!(answer.header(ALLOW_ORIGIN), PAGE, "{answer:?}");
    assert_eq!(words(answer, "vary"), ["origin"], "{answer:?}");
    let exposed = [
        "date",
        "etag",
        "idempotency-replayed",
        "location",
        "ratelimit",
        "ratelimit-policy",
        "retry-after",
        "www-authenticate",
        "x-request-id",
    ];
    assert_eq!(words(answer, "access-control-expose-headers"), exposed, "{answer:?}");
    assert!(!answer.headers.contains_key("access-control-allow-credentials"), "{answer:?}");
}

async fn from_page(request: RequestBuilder) -> Answer {
    Answer::of(request.header("Origin", PAGE)).await
}

async fn a_page_can_read_every_answer(shape: Shape) {
    let stack = serving(shape, PAGE).await;
    let created = begin(&stack, json!({"phone": PHONE})).await;
    let token = created.body["client_token"].as_str().unwrap();
    let base = &stack.apis[0].url;
    let one = format!("{base}{VERIFICATIONS}/{}", created.id());
    let by_token = |method, url: &str| stack.http.request(method, url).bearer_auth(token);
    for (status, request) in [
        (200, by_token(Method::GET, &one)),
        (200, stack.http.get(format!("{base}/.well-known/jwks.json"))),
        (304, by_token(Method::GET, &one).header("If-None-Match", "*")),
        (
            400,
            by_token(Method::POST, &format!("{one}/check"))
                .header("content-type", "application/json")
                .body("{"),
        ),
        (401, stack.http.get(&one)),
        (403, by_token(Method::POST, &format!("{base}{VERIFICATIONS}")).json(&json!({"phone": PHONE}))),
        (404, by_token(Method::GET, &format!("{base}/nothing"))),
        (404, by_token(Method::GET, &format!("{one}0"))),
        (405, by_token(Method::PATCH, &one)),
        (413, by_token(Method::POST, &format!("{one}/check")).json(&json!({"code": "x".repeat(20_000)}))),
        (415, by_token(Method::POST, &format!("{one}/check")).body("code=1")),
        (422, by_token(Method::POST, &format!("{one}/check")).json(&json!({"code": "no code"}))),
        (200, by_token(Method::DELETE, &one)),
    ] {
        let answer = from_page(request.try_clone().unwrap()).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_readable(&answer);
        if !status_may_repeat(status) {
            continue;
        }
        let stranger = Answer::of(request.header("Origin", STRANGER)).await;
        assert_eq!(stranger.header(ALLOW_ORIGIN), "", "{stranger:?}");
        assert_eq!(words(&stranger, "vary"), ["origin"], "{stranger:?}");
    }
    // Neither page nor preflight: as if there were no browsers.
    let answer = Answer::of(stack.http.request(Method::OPTIONS, &one)).await;
    assert_problem(&answer, 405, "method-not-allowed");
    assert_eq!(stack.get("/.well-known/jwks.json").await.header(ALLOW_ORIGIN), "");
    stack.stop().await;
}

/// The size of a body that is refused may have closed the connection; all else is asked twice.
const fn status_may_repeat(status: u16) -> bool {
    status != 413
}

async fn a_page_can_read_that_it_is_limited_or_too_much(shape: Shape) {
    let options = StackOptions { workers: 0, ..with_origins(shape, PAGE) };
    let (stack, clock) = frozen_with(options).await;
    let created = begin(&stack, json!({"phone": PHONE})).await;
    let token = created.body["client_token"].as_str().unwrap();
    let resend = format!("{}{VERIFICATIONS}/{}/resend", stack.apis[0].url, created.id());
    let limited = from_page(stack.http.post(&resend).bearer_auth(token).json(&json!({}))).await;
    assert_problem(&limited, 429, "resend-cooldown");
    assert_readable(&limited);
    clock.advance(61 * SECOND);
    let overloaded = eventually("the backlog to be noticed", || async {
        let answer = from_page(stack.http.post(&resend).bearer_auth(token).json(&json!({}))).await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert_problem(&overloaded, 503, "overloaded");
    assert_readable(&overloaded);
    stack.stop().await;
}

async fn a_star_allows_every_page(shape: Shape) {
    let stack = serving(shape, "*").await;
    for origin in [PAGE, STRANGER, "null"] {
        let asked = preflight(&stack, origin, "POST", VERIFICATIONS).await;
        let request = stack.http.get(format!("{}{VERIFICATIONS}", stack.apis[0].url));
        let answer = Answer::of(request.header("Origin", origin)).await;
        assert_problem(&answer, 401, "unauthorized");
        for answer in [asked, answer] {
            assert_eq!((answer.header(ALLOW_ORIGIN), answer.header("vary")), ("*", "origin"), "{answer:?}");
            assert!(!answer.headers.contains_key("access-control-allow-credentials"), "{answer:?}");
        }
    }
    stack.stop().await;
}

async fn nobody_is_allowed_unless_told(shape: Shape) {
    let stack = start(shape).await;
    for origin in [PAGE, "null", "http://127.0.0.1", &stack.apis[0].url] {
        let asked = preflight(&stack, origin, "POST", VERIFICATIONS).await;
        assert_eq!(asked.header(ALLOW_ORIGIN), "", "{asked:?}");
    }
    stack.stop().await;
}

/// Sets the origins of the client `default`.
async fn set_origins(stack: &Stack, cors_origins: Change<&str>) {
    let cors_origins = match cors_origins {
        Change::To(text) => Change::To(list(text).unwrap()),
        Change::Reset => Change::Reset,
        Change::Keep => Change::Keep,
    };
    let change = SettingsChange { cors_origins, ..SettingsChange::default() };
    // After an outage the first few find connections that have died.
    let changed =
        eventually("the change", || async { stack.store.change_client("default", &change).await.ok() }).await;
    assert!(changed.is_some());
}

async fn until_allowed(stack: &Stack, origin: &str, allowed: bool) {
    eventually(&format!("{origin} to be allowed: {allowed}"), || async {
        let answer = preflight(stack, origin, "GET", VERIFICATIONS).await;
        (answer.header(ALLOW_ORIGIN) == if allowed { origin } else { "" }).then_some(())
    })
    .await;
}

async fn the_clients_origins_are_followed(shape: Shape) {
    let options = StackOptions { freshness: FRESH, ..with_origins(shape, PAGE) };
    let stack = Box::pin(Stack::start(options)).await;
    let shop = "https://shop.example";
    until_allowed(&stack, shop, false).await;
    set_origins(&stack, Change::To("https://shop.example:443, http://localhost:5173")).await;
    until_allowed(&stack, shop, true).await;
    for (origin, allowed) in [("http://localhost:5173", true), ("http://localhost", false), (PAGE, true)] {
        until_allowed(&stack, origin, allowed).await;
    }
    set_origins(&stack, Change::Reset).await;
    until_allowed(&stack, shop, false).await;
    until_allowed(&stack, PAGE, true).await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_what_was_known_stands() {
    let (stack, proxy, database) = behind_a_proxy(FRESH).await;
    set_origins(&stack, Change::To(PAGE)).await;
    until_allowed(&stack, PAGE, true).await;

    proxy.cut().await.unwrap();
    let away = eventually("the outage", || async {
        let answer = from_page(stack.request(Method::GET, &format!("/v1/phones/{PHONE}"))).await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert_problem(&away, 503, "unavailable");
    assert_readable(&away);
    // Several times as long as the pause between two reads of the origins.
    let watch = Stopwatch::start();
    while watch.elapsed() < 20 * FRESH.origins {
        assert_eq!(preflight(&stack, PAGE, "POST", VERIFICATIONS).await.header(ALLOW_ORIGIN), PAGE);
    }

    proxy.heal().await.unwrap();
    stack.ready(&stack.apis[0].admin).await;
    set_origins(&stack, Change::Reset).await;
    until_allowed(&stack, PAGE, false).await;
    stack.stop().await;
    database.drop_now().await;
}
