//! `?wait=` and the event stream: whoever waits hears of a change at once, whichever process made it.

use std::time::Duration;

use hulak_common::clock::Stopwatch;
use hulak_testkit_stack::{Answer, Shape, Stack, StackOptions, eventually, rules};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::outage::in_front_of;
use crate::support::*;

both_shapes!(
    a_wait_ends_with_the_change,
    a_wait_without_a_change_ends_in_time,
    a_wait_ends_when_the_verification_expires,
    a_wait_is_asked_for_properly,
    a_stream_tells_every_change_and_ends,
    a_stream_is_for_those_who_may_read,
    a_reader_who_saw_it_pending_is_shown_its_end,
    a_silent_stream_is_kept_open_by_comments,
    a_stop_sends_waiters_home,
);

/// Well below the time after which a waiter looks without having heard anything (7.5 s at least).
const HEARD: Duration = Duration::from_secs(5);

/// Two APIs, no worker: nothing changes but what a test changes.
fn quiet(shape: Shape) -> StackOptions {
    // In one process there is one API, and its database is one file with one writer.
    let apis = if shape == Shape::Production { 2 } else { 1 };
    StackOptions { apis, workers: 0, ..StackOptions::new(shape) }
}

async fn quiet_stack(shape: Shape) -> Stack {
    Box::pin(Stack::start(quiet(shape))).await
}

async fn wait(stack: &Stack, id: &str, tag: &str, seconds: u32) -> Answer {
    let path = format!("{VERIFICATIONS}/{id}?wait={seconds}");
    Answer::of(stack.request(Method::GET, &path).header("if-none-match", tag)).await
}

/// Takes a verification back through the last API, which is another one than the first where there are two.
async fn cancel(stack: &Stack, id: &str) -> Answer {
    let last = &stack.apis[stack.apis.len() - 1].url;
    call_at(stack, last, stack.key.expose(), Method::DELETE, &format!("{VERIFICATIONS}/{id}"), None).await
}

/// Waits until somebody waits at the first API, by a wait or by a stream: open one before the other to tell.
async fn somebody_waits(stack: &Stack) {
    eventually("a waiter", || async { (stack.apis[0].changes.watched() == 1).then_some(()) }).await;
}

async fn a_wait_ends_with_the_change(shape: Shape) {
    let stack = quiet_stack(shape).await;
    let created = begin(&stack, json!({"phone": PHONE})).await;
    let (id, tag) = (created.id(), created.header("etag").to_owned());
    let watch = Stopwatch::start();
    let canceling = async {
        somebody_waits(&stack).await;
        assert_eq!(cancel(&stack, &id).await.status, 200);
    };
    let (answer, ()) = tokio::join!(wait(&stack, &id, &tag, 30), canceling);
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("canceled")), "{answer:?}");
    assert_ne!(answer.header("etag"), tag);
    assert!(watch.elapsed() < HEARD, "{:?}", watch.elapsed());
    // A tag of another version is no reason to wait, and neither is none at all.
    for tag in ["\"1\"", "\"9\""] {
        assert_eq!(wait(&stack, &id, tag, 30).await.status, 200);
    }
    assert_eq!(stack.get(&format!("{VERIFICATIONS}/{id}?wait=30")).await.status, 200);
    assert!(watch.elapsed() < HEARD, "{:?}", watch.elapsed());
    stack.stop().await;
}

async fn a_wait_without_a_change_ends_in_time(shape: Shape) {
    let stack = quiet_stack(shape).await;
    let created = begin(&stack, json!({"phone": PHONE})).await;
    let tag = created.header("etag");
    let watch = Stopwatch::start();
    let answer = wait(&stack, &created.id(), tag, 1).await;
    let took = watch.elapsed();
    assert_eq!((answer.status, answer.header("etag")), (304, tag));
    assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
    assert!((Duration::from_secs(1)..HEARD).contains(&took), "{took:?}");
    assert_eq!(wait(&stack, &created.id(), tag, 0).await.status, 304);
    stack.stop().await;
}

async fn a_wait_ends_when_the_verification_expires(shape: Shape) {
    let mut options = quiet(shape);
    options.rules.code_ttl = Duration::from_secs(2);
    let stack = Box::pin(Stack::start(options)).await;
    let created = begin(&stack, json!({"phone": PHONE})).await;
    let watch = Stopwatch::start();
    let answer = wait(&stack, &created.id(), created.header("etag"), 30).await;
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("expired")), "{answer:?}");
    assert!(watch.elapsed() < HEARD, "{:?}", watch.elapsed());
    stack.stop().await;
}

async fn a_wait_is_asked_for_properly(shape: Shape) {
    let stack = quiet_stack(shape).await;
    let id = begin(&stack, json!({"phone": PHONE})).await.id();
    for query in ["wait=31", "wait=-1", "wait=", "wait=1.5", "wait=x", "wait=1&wait=2"] {
        let answer = stack.get(&format!("{VERIFICATIONS}/{id}?{query}")).await;
        assert_problem(&answer, 422, "invalid-request");
        assert_eq!(fields(&answer), ["wait"], "{query}");
    }
    let stranger = another_client(&stack, "stranger").await;
    let path = format!("{VERIFICATIONS}/{id}?wait=30");
    let request = stack.http.get(format!("{}{path}", stack.apis[0].url)).bearer_auth(stranger.expose());
    assert_problem(&Answer::of(request.header("if-none-match", "\"1\"")).await, 404, "not-found");
    stack.stop().await;
}

/// A stream of events, as it comes.
pub(crate) struct Events {
    response: Response,
    text: String,
    /// Comments so far.
    comments: usize,
}

impl Events {
    pub(crate) async fn open(stack: &Stack, credential: &str, id: &str) -> Self {
        let url = format!("{}{VERIFICATIONS}/{id}/events", stack.apis[0].url);
        Self::of(stack.http.get(url).bearer_auth(credential)).await
    }

    async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "text/event-stream");
        assert_eq!(header("cache-control"), "no-store");
        Self { response, text: String::new(), comments: 0 }
    }

    /// The next event: its id and its data. `None`: the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<(i64, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                let read = field("id: ").map(|id| {
                    let data = serde_json::from_str(field("data: ").expect("data")).unwrap();
                    (id.parse().unwrap(), data)
                });
                self.comments += usize::from(event.starts_with(':'));
                self.text = rest.to_owned();
                if read.is_some() {
                    return read;
                }
                continue; // a comment
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

async fn a_stream_tells_every_change_and_ends(shape: Shape) {
    let stack = start(shape).await;
    let created = begin(&stack, json!({"phone": PHONE, "metadata": {"order": 7}})).await;
    let (id, token) = (created.id(), created.body["client_token"].as_str().unwrap().to_owned());
    let mut mine = Events::open(&stack, stack.key.expose(), &id).await;
    let mut theirs = Events::open(&stack, &token, &id).await;
    let (mut version, mut state) = mine.next().await.unwrap();
    assert_eq!((&state["phone"], &state["metadata"]["order"]), (&json!(PHONE), &json!(7)));
    let masked = theirs.next().await.unwrap().1;
    assert_eq!((&masked["phone"], masked.get("metadata")), (&json!("+97798•••••678"), None));
    while state["delivery"]["status"] != "sent" {
        let (next, changed) = mine.next().await.expect("the stream goes on");
        assert!(next > version, "{next} after {version}");
        (version, state) = (next, changed);
    }
    assert_eq!(check(&stack, &id, &stack.code(PHONE)).await.status, 200);
    let (last, state) = mine.next().await.expect("the approval");
    assert_eq!((last > version, &state["status"]), (true, &json!("approved")));
    assert_eq!(mine.next().await, None, "it ends after a final state");
    while theirs.next().await.is_some() {}

    // A browser that comes back is told to stay away; one that has not seen the end is shown it.
    let again = |seen: i64| {
        let request = stack.request(Method::GET, &format!("{VERIFICATIONS}/{id}/events"));
        request.header("last-event-id", seen.to_string()).send()
    };
    assert_eq!(again(last).await.unwrap().status(), 204);
    assert_eq!(again(last - 1).await.unwrap().status(), 200);
    stack.stop().await;
}

async fn a_stream_is_for_those_who_may_read(shape: Shape) {
    let stack = quiet_stack(shape).await;
    let one = begin(&stack, json!({"phone": PHONE})).await;
    let other = begin(&stack, json!({"phone": OTHER_PHONE})).await;
    let path = format!("{VERIFICATIONS}/{}/events", one.id());
    let stranger = another_client(&stack, "stranger").await;
    let token = other.body["client_token"].as_str().unwrap();
    for credential in [stranger.expose(), token] {
        assert_problem(&call(&stack, credential, Method::GET, &path, None).await, 404, "not-found");
    }
    assert_problem(&call(&stack, "vt_x", Method::GET, &path, None).await, 401, "unauthorized");
    let nothing = stack.get(&format!("{VERIFICATIONS}/nonsense/events")).await;
    assert_problem(&nothing, 404, "not-found");
    stack.stop().await;
}

async fn a_reader_who_saw_it_pending_is_shown_its_end(shape: Shape) {
    let (stack, clock) = frozen_with(quiet(shape)).await;
    let id = begin(&stack, json!({"phone": PHONE})).await.id();
    let (seen, _) = Events::open(&stack, stack.key.expose(), &id).await.next().await.unwrap();
    // Past its time, and nobody there to write that down: the version is still the one that was seen.
    clock.advance(CODE_TTL);
    let request = stack.request(Method::GET, &format!("{VERIFICATIONS}/{id}/events"));
    let mut events = Events::of(request.header("last-event-id", seen.to_string())).await;
    let (version, state) = events.next().await.unwrap();
    assert_eq!((version, &state["status"]), (seen, &json!("expired")));
    assert_eq!(events.next().await, None);
    stack.stop().await;
}

async fn a_silent_stream_is_kept_open_by_comments(shape: Shape) {
    let stack = quiet_stack(shape).await;
    let id = begin(&stack, json!({"phone": PHONE})).await.id();
    let mut events = Events::open(&stack, stack.key.expose(), &id).await;
    assert!(events.next().await.is_some());
    let watch = Stopwatch::start();
    let nothing = tokio::time::timeout(Duration::from_secs(17), events.next()).await;
    assert!(nothing.is_err(), "{nothing:?} after {:?}", watch.elapsed());
    assert_eq!(events.comments, 1);
    stack.stop().await;
}

async fn a_stop_sends_waiters_home(shape: Shape) {
    let mut stack = quiet_stack(shape).await;
    let created = begin(&stack, json!({"phone": PHONE})).await;
    let (id, tag) = (created.id(), created.header("etag").to_owned());
    let request = stack.request(Method::GET, &format!("{VERIFICATIONS}/{id}?wait=30"));
    let waiting = tokio::spawn(Answer::of(request.header("if-none-match", tag)));
    // Before the stream, which counts as the same waiter: a request that has not arrived is not sent home.
    somebody_waits(&stack).await;
    let mut events = Events::open(&stack, stack.key.expose(), &id).await;
    assert!(events.next().await.is_some());
    let watch = Stopwatch::start();
    stack.apis.remove(0).stop().await;
    assert_eq!(waiting.await.unwrap().status, 304);
    assert_eq!(events.next().await, None);
    assert!(watch.elapsed() < HEARD, "{:?}", watch.elapsed());
    stack.stop().await;
}

/// The broker is away for the first API: it hears nothing, and looks more often.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_nobody_waits_in_vain() {
    let broker = std::env::var("HULAK_TEST_BROKER_URL").expect("make test sets it");
    let (proxy, url) = in_front_of(&broker, 5672).await;
    let options = StackOptions { broker_url: Some(url), rules: rules(), ..quiet(Shape::Production) };
    let stack = Box::pin(Stack::start(options)).await;
    let created = begin(&stack, json!({"phone": PHONE})).await;
    let (id, tag) = (created.id(), created.header("etag").to_owned());
    proxy.cut().await.unwrap();
    let canceling = async {
        somebody_waits(&stack).await;
        let mut events = Events::open(&stack, stack.key.expose(), &id).await;
        assert!(events.next().await.is_some());
        assert_eq!(cancel(&stack, &id).await.status, 200);
        events
    };
    let (answer, mut events) = tokio::join!(wait(&stack, &id, &tag, 30), canceling);
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("canceled")), "{answer:?}");
    assert_eq!(events.next().await.unwrap().1["status"], "canceled");
    assert_eq!(events.next().await, None);
    proxy.heal().await.unwrap();
    stack.stop().await;
}
