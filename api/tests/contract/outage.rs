//! The database or the broker is away: production shape only, for the other one has neither to lose. Or there are no
//! workers, in both shapes.

use std::net::SocketAddr;
use std::time::Duration;

use hulak_api::Freshness;
use hulak_common::clock::Stopwatch;
use hulak_testkit::database::TestDatabase;
use hulak_testkit::metrics::Metrics;
use hulak_testkit::proxy::Proxy;
use hulak_testkit_stack::{Answer, Shape, Stack, StackOptions, eventually};
use reqwest::Method;
use serde_json::json;
use url::Url;

use crate::support::*;

both_shapes!(while_nobody_sends_requests_are_refused);

/// An answer that was not waited for: a database is given 2 s to answer.
const AT_ONCE: Duration = Duration::from_secs(1);
/// What a request may take until an outage is noticed.
const NOTICED: Duration = Duration::from_secs(6);

/// Puts a proxy in front of a service: it, and the address that leads through it.
pub(crate) async fn in_front_of(url: &str, default_port: u16) -> (Proxy, String) {
    let mut url = Url::parse(url).unwrap();
    let host = url.host_str().unwrap().parse().unwrap_or([127, 0, 0, 1].into());
    let proxy = Proxy::start(SocketAddr::new(host, url.port().unwrap_or(default_port))).await.unwrap();
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(proxy.addr().port())).unwrap();
    (proxy, url.into())
}

pub(crate) async fn behind_a_proxy(freshness: Freshness) -> (Stack, Proxy, TestDatabase) {
    let database = TestDatabase::create().await;
    let (proxy, url) = in_front_of(&database.url(), 5432).await;
    let options = StackOptions { database_url: Some(url), freshness, ..StackOptions::new(Shape::Production) };
    (Box::pin(Stack::start(options)).await, proxy, database)
}

async fn ready(stack: &Stack) -> Answer {
    Answer::of(stack.http.get(format!("{}/readyz", stack.apis[0].admin))).await
}

async fn timed(request: reqwest::RequestBuilder) -> (Answer, Duration) {
    let watch = Stopwatch::start();
    let answer = Answer::of(request).await;
    (answer, watch.elapsed())
}

/// Every address that needs the database says that it is away, at once, and nothing of the inside.
async fn assert_away(stack: &Stack, id: &str, token: &str) {
    let path = format!("{VERIFICATIONS}/{id}");
    let by_token = stack.http.get(format!("{}{path}", stack.apis[0].url)).bearer_auth(token);
    let by_stranger =
        stack.http.get(format!("{}{path}", stack.apis[0].url)).bearer_auth(format!("hk_{}", "x".repeat(24)));
    for request in [
        stack.request(Method::POST, VERIFICATIONS).json(&json!({"phone": OTHER_PHONE})),
        stack.request(Method::GET, &path),
        stack.request(Method::POST, &format!("{path}/check")).json(&json!({"code": "123456"})),
        stack.request(Method::GET, &format!("/v1/phones/{PHONE}")),
        by_token,
        by_stranger,
    ] {
        let answer = refused_at_once(&request).await;
        let text = answer.body.to_string().to_lowercase();
        for word in ["sql", "postgres", "pool", "connection", "refused", "database", "timed out"] {
            assert!(!text.contains(word), "{text}");
        }
    }
}

/// The machine may be busy, so one answer of three has to be quick.
async fn refused_at_once(request: &reqwest::RequestBuilder) -> Answer {
    let mut times = Vec::new();
    for _ in 0..3 {
        let (answer, took) = timed(request.try_clone().unwrap()).await;
        assert_problem(&answer, 503, "unavailable");
        if took < AT_ONCE {
            return answer;
        }
        times.push(took);
    }
    panic!("not at once: {times:?}");
}

/// What needs no database goes on.
async fn assert_the_rest_works(stack: &Stack, token: &str) {
    let base = &stack.apis[0].url;
    for path in ["/.well-known/jwks.json", "/problems/unavailable"] {
        assert_eq!(Answer::of(stack.http.get(format!("{base}{path}"))).await.status, 200, "{path}");
    }
    let nobody = Answer::of(stack.http.post(format!("{base}{VERIFICATIONS}"))).await;
    assert_problem(&nobody, 401, "unauthorized");
    let by_token = call(stack, token, Method::POST, VERIFICATIONS, Some(json!({"phone": PHONE}))).await;
    assert_problem(&by_token, 403, "forbidden");
    assert_eq!(Answer::of(stack.http.get(format!("{}/healthz", stack.apis[0].admin))).await.status, 200);
}

async fn assert_back(stack: &Stack, id: &str, code: &str) {
    eventually("readiness", || async { (ready(stack).await.status == 200).then_some(()) }).await;
    let created = eventually("a verification", || async {
        let answer = stack.post(VERIFICATIONS, json!({"phone": OTHER_PHONE})).await;
        assert!(matches!(answer.status, 200 | 202 | 503), "{answer:?}");
        (answer.status != 503).then_some(answer)
    })
    .await;
    sent(stack, &created.id()).await;
    let approved = eventually("the approval", || async {
        let answer = check(stack, id, code).await;
        assert!(matches!(answer.status, 200 | 503), "{answer:?}");
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert_eq!(approved.body["status"], "approved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_the_api_says_so_at_once_and_comes_back() {
    let (stack, proxy, database) = behind_a_proxy(Freshness::default()).await;
    let created = begin(&stack, json!({"phone": PHONE})).await;
    let (id, token) = (created.id(), created.body["client_token"].as_str().unwrap().to_owned());
    sent(&stack, &id).await;
    let code = stack.code(PHONE);

    proxy.cut().await.unwrap();
    // Even the one that finds it out is not left waiting. (What was read a moment ago may come from memory.)
    let unseen = format!("{VERIFICATIONS}/{}", uuid::Uuid::nil());
    let (first, took) = timed(stack.request(Method::GET, &unseen)).await;
    assert_problem(&first, 503, "unavailable");
    assert!(took < NOTICED, "{took:?}");
    let away = eventually("the outage", || async {
        let answer = ready(&stack).await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert_eq!((&away.body["status"], &away.body["database"]), (&json!("unavailable"), &json!("down")));
    assert_away(&stack, &id, &token).await;
    assert_the_rest_works(&stack, &token).await;

    proxy.heal().await.unwrap();
    assert_back(&stack, &id, &code).await;
    stack.stop().await;
    database.drop_now().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_database_is_noticed_too() {
    let (stack, proxy, database) = behind_a_proxy(Freshness::default()).await;
    let created = begin(&stack, json!({"phone": PHONE})).await;
    let (id, token) = (created.id(), created.body["client_token"].as_str().unwrap().to_owned());
    sent(&stack, &id).await;
    let code = stack.code(PHONE);

    proxy.stall();
    let watch = Stopwatch::start();
    eventually("the outage", || async { (ready(&stack).await.status == 503).then_some(()) }).await;
    assert!(watch.elapsed() < NOTICED, "{:?}", watch.elapsed());
    assert_away(&stack, &id, &token).await;
    assert_the_rest_works(&stack, &token).await;

    proxy.heal().await.unwrap();
    assert_back(&stack, &id, &code).await;
    stack.stop().await;
    database.drop_now().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_changes_nothing_for_callers() {
    let url = std::env::var("HULAK_TEST_BROKER_URL")
        .expect("HULAK_TEST_BROKER_URL: run the tests with `make test`");
    let (proxy, url) = in_front_of(&url, 5672).await;
    let options = StackOptions { broker_url: Some(url), ..StackOptions::new(Shape::Production) };
    let stack = Box::pin(Stack::start(options)).await;

    proxy.cut().await.unwrap();
    let degraded = eventually("the outage", || async {
        let answer = ready(&stack).await;
        (answer.body["broker"] == "degraded").then_some(answer)
    })
    .await;
    assert_eq!((degraded.status, &degraded.body["status"]), (200, &json!("ready")));
    let (created, took) =
        timed(stack.request(Method::POST, VERIFICATIONS).json(&json!({"phone": PHONE}))).await;
    assert_eq!((created.status, &created.body["status"]), (202, &json!("pending")), "{created:?}");
    assert!(took < NOTICED, "{took:?}");
    let read = stack.get(created.header("location")).await;
    assert_eq!((read.status, &read.body["delivery"]["status"]), (200, &json!("queued")));
    assert_eq!(stack.sandbox.stats().requests, 0);

    proxy.heal().await.unwrap();
    sent(&stack, &created.id()).await;
    assert_eq!(check(&stack, &created.id(), &stack.code(PHONE)).await.status, 200);
    assert_eq!(stack.sandbox.stats().accepted, 1);
    stack.stop().await;
}

async fn while_nobody_sends_requests_are_refused(shape: Shape) {
    let (mut stack, clock) = frozen_with(StackOptions { workers: 0, ..StackOptions::new(shape) }).await;
    let first = begin(&stack, json!({"phone": PHONE})).await;
    // The stacks of this process share their metrics, so each shape has an age that no other test has.
    let age = 60 * SECOND - if shape == Shape::Production { 3 * MILLISECOND } else { 4 * MILLISECOND };
    clock.advance(age);
    eventually("a look at the backlog", || async {
        let metrics = Metrics::of(&stack.http, &stack.apis[0].admin).await;
        (metrics.get("hulak_backlog_age_seconds", &[]) == Some(age.as_secs_f64())).then_some(())
    })
    .await;
    // What is not too late yet is still accepted.
    begin(&stack, json!({"phone": OTHER_PHONE})).await;
    clock.advance(SECOND);
    let refused = eventually("the backlog to be noticed", || async {
        let answer = stack.post(VERIFICATIONS, json!({"phone": "9860000001"})).await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert_problem(&refused, 503, "overloaded");
    // Nothing was accepted since, and what needs no message goes on.
    assert_problem(&stack.post(VERIFICATIONS, json!({"phone": "1"})).await, 422, "invalid-phone");
    let read = stack.get(&format!("{VERIFICATIONS}/{}", first.id())).await;
    assert_eq!((read.status, &read.body["delivery"]["status"]), (200, &json!("queued")));
    assert_problem(&check(&stack, &first.id(), "no code").await, 422, "malformed-code");

    stack.add_worker().await;
    sent(&stack, &first.id()).await;
    eventually("room", || async {
        let answer = stack.post(VERIFICATIONS, json!({"phone": "9860000002"})).await;
        assert!(matches!(answer.status, 202 | 503), "{answer:?}");
        (answer.status == 202).then_some(())
    })
    .await;
    assert_eq!(check(&stack, &first.id(), &stack.code(PHONE)).await.status, 200);
    stack.stop().await;
}
