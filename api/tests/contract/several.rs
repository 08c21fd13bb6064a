//! Two APIs on one database are one service. Production shape only: the other one is one process.

use std::time::Duration;

use hulak_common::clock::Stopwatch;
use hulak_testkit_stack::{Answer, Shape, Stack, StackOptions, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::*;
use crate::waiting::Events;

async fn pair() -> Stack {
    let options = StackOptions { apis: 2, workers: 2, ..StackOptions::new(Shape::Production) };
    Box::pin(Stack::start(options)).await
}

async fn at(stack: &Stack, api: usize, method: Method, path: &str, body: Option<Value>) -> Answer {
    call_at(stack, &stack.apis[api].url, stack.key.expose(), method, path, body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_has_made_the_other_sees() {
    let stack = pair().await;
    let body = Some(json!({"phone": PHONE}));
    let created = at(&stack, 0, Method::POST, VERIFICATIONS, body.clone()).await;
    assert_eq!(created.status, 202, "{created:?}");
    let (id, path) = (created.id(), format!("{VERIFICATIONS}/{}", created.id()));

    let read = at(&stack, 1, Method::GET, &path, None).await;
    assert_eq!((read.status, read.id()), (200, id.clone()));
    let token = created.body["client_token"].as_str().unwrap();
    let by_token = call_at(&stack, &stack.apis[1].url, token, Method::GET, &path, None).await;
    assert_eq!((by_token.status, by_token.id()), (200, id.clone()));
    let again = at(&stack, 1, Method::POST, VERIFICATIONS, body).await;
    assert_eq!((again.status, again.id()), (200, id.clone()));
    let limited =
        at(&stack, 1, Method::POST, VERIFICATIONS, Some(json!({"phone": PHONE, "session": "x"}))).await;
    assert_problem(&limited, 429, "rate-limited");

    sent(&stack, &id).await;
    let code = stack.code(PHONE);
    let check = format!("{path}/check");
    let wrong = at(&stack, 0, Method::POST, &check, Some(json!({"code": wrong(&code, 1)}))).await;
    assert_eq!(wrong.body["checks_remaining"], 4, "{wrong:?}");
    let body = Some(json!({ "code": code }));
    assert_eq!(at(&stack, 1, Method::POST, &check, body.clone()).await.status, 200);
    assert_problem(&at(&stack, 0, Method::POST, &check, body).await, 409, "already-approved");
    // Within a second, if the event was lost.
    let seen = stack.until(&id, |body| body["status"] == "approved").await;
    assert_eq!(seen["checks_remaining"], 4);
    let keys = "/.well-known/jwks.json";
    let (one, two) =
        (at(&stack, 0, Method::GET, keys, None).await, at(&stack, 1, Method::GET, keys, None).await);
    assert_eq!(one.body, two.body);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn races_between_them_have_one_winner() {
    let stack = pair().await;
    let both = async |path: &str, body: Value| {
        let mut requests = JoinSet::new();
        for n in 0..24 {
            let request =
                stack.http.post(format!("{}{path}", stack.apis[n % 2].url)).bearer_auth(stack.key.expose());
            requests.spawn(Answer::of(request.json(&body)));
        }
        requests.join_all().await
    };
    let answers = both(VERIFICATIONS, json!({"phone": PHONE})).await;
    let id = answers[0].id();
    assert!(answers.iter().all(|answer| answer.id() == id), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer.status == 202).count(), 1, "{answers:?}");
    sent(&stack, &id).await;
    assert_eq!(stack.sandbox.stats().accepted, 1);

    let path = format!("{VERIFICATIONS}/{id}/check");
    let answers = both(&path, json!({"code": stack.code(PHONE)})).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:?}");
    assert_eq!(
        answers.iter().filter(|answer| answer.problem() == "already-approved").count(),
        23,
        "{answers:?}"
    );
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_codes_at_both_are_counted_once_each() {
    let stack = pair().await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    let mut requests = JoinSet::new();
    for n in 0..20 {
        let url = format!("{}{VERIFICATIONS}/{id}/check", stack.apis[n % 2].url);
        let body = json!({"code": wrong(&code, 1 + n as u64)});
        requests.spawn(Answer::of(stack.http.post(url).bearer_auth(stack.key.expose()).json(&body)));
    }
    let answers = requests.join_all().await;
    let mut left: Vec<_> =
        answers.iter().filter_map(|answer| answer.body["checks_remaining"].as_i64()).collect();
    left.sort_unstable();
    assert_eq!(left, [0, 1, 2, 3, 4], "{answers:?}");
    assert_eq!(
        answers.iter().filter(|answer| answer.problem() == "too-many-checks").count(),
        15,
        "{answers:?}"
    );
    let number = stack.get(&format!("/v1/phones/{PHONE}")).await;
    assert_eq!(number.body["checks_failed"], 5);
    assert_problem(&check(&stack, &id, &code).await, 429, "too-many-checks");
    stack.stop().await;
}

/// From the answer to a check at one API to the answer to who waits at the other. The best of several, because this
/// machine may be doing something else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_at_one_wakes_who_waits_at_the_other() {
    let stack = pair().await;
    let (mut waits, mut streams) = (Vec::new(), Vec::new());
    for n in 0..5 {
        let phone = format!("+97798412345{n:02}");
        let (id, code) = begin_sent(&stack, json!({ "phone": phone })).await;
        let path = format!("{VERIFICATIONS}/{id}");
        let tag = at(&stack, 0, Method::GET, &path, None).await.header("etag").to_owned();
        let wait = stack.request(Method::GET, &format!("{path}?wait=30")).header("if-none-match", tag);
        let waiting = tokio::spawn(Answer::of(wait));
        let mut events = Events::open(&stack, stack.key.expose(), &id).await;
        assert_eq!(events.next().await.unwrap().1["status"], "pending");
        // Both hold a place of their own, in one entry.
        eventually("a waiter", || async { (stack.apis[0].changes.waiters() == 2).then_some(()) }).await;
        let checked =
            at(&stack, 1, Method::POST, &format!("{path}/check"), Some(json!({ "code": code }))).await;
        assert_eq!(checked.status, 200, "{checked:?}");
        let watch = Stopwatch::start();
        let waited = async {
            let answer = waiting.await.unwrap();
            assert_eq!((answer.status, &answer.body["status"]), (200, &json!("approved")));
            watch.elapsed()
        };
        let streamed = async {
            assert_eq!(events.next().await.unwrap().1["status"], "approved");
            watch.elapsed()
        };
        let (waited, streamed) = tokio::join!(waited, streamed);
        waits.push(waited);
        streams.push(streamed);
    }
    let best = |times: Vec<Duration>| times.into_iter().min().unwrap();
    let (waited, streamed) = (best(waits), best(streams));
    assert!(waited < Duration::from_millis(100), "{waited:?}");
    assert!(streamed < Duration::from_millis(100), "{streamed:?}");
    stack.stop().await;
}
