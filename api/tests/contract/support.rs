//! What the tests share.

use std::sync::Arc;
use std::time::Duration;

use hulak_api::Freshness;
use hulak_common::api_key::{ApiKey, CLIENT_PREFIX};
use hulak_common::clock::{Clock as _, DatabaseClock, FrozenClock};
use hulak_common::rng::Rng;
use hulak_common::time::Timestamp;
pub(crate) use hulak_testkit::fixtures::wrong;
pub(crate) use hulak_testkit_stack::steps::{VERIFICATIONS, begin, begin_sent, check, sent};
use hulak_testkit_stack::{Answer, Shape, Stack, StackOptions};
use reqwest::Method;
use serde_json::Value;

/// A number of Ncell's.
pub(crate) const PHONE: &str = "+9779812345678";
/// A number of NTC's.
pub(crate) const OTHER_PHONE: &str = "+9779841234567";

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);
/// The time between two messages to one number.
pub(crate) const COOLDOWN: Duration = Duration::from_secs(30);
/// How long a code lives.
pub(crate) const CODE_TTL: Duration = Duration::from_secs(300);

/// A stack with the defaults of the house.
pub(crate) async fn start(shape: Shape) -> Stack {
    Box::pin(Stack::start(StackOptions::new(shape))).await
}

/// A stack whose time stands still.
pub(crate) async fn frozen(shape: Shape) -> (Stack, Arc<FrozenClock>) {
    frozen_with(StackOptions::new(shape)).await
}

/// The same with other options.
pub(crate) async fn frozen_with(options: StackOptions) -> (Stack, Arc<FrozenClock>) {
    // Not on a full second, so that a rounding mistake shows.
    let clock = Arc::new(FrozenClock::at(Timestamp::from_millis(1_790_000_000_123)));
    let options = StackOptions { clock: Arc::clone(&clock) as _, ..options };
    (Box::pin(Stack::start(options)).await, clock)
}

/// Nearly nothing: what is set for clients and keys is noticed almost at once.
pub(crate) const FRESH: Freshness = Freshness { keys: MILLISECOND, origins: Duration::from_millis(10) };

/// The machine's own time, for comparing with what a stack that is not frozen answers.
pub(crate) fn machine_time() -> Timestamp {
    DatabaseClock::new().now()
}

/// A moment in an answer.
pub(crate) fn moment(value: &Value) -> Timestamp {
    value.as_str().unwrap_or_else(|| panic!("no moment: {value}")).parse().unwrap()
}

/// A request to the first API with another credential than the key of the stack.
pub(crate) async fn call(
    stack: &Stack,
    credential: &str,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Answer {
    call_at(stack, &stack.apis[0].url, credential, method, path, body).await
}

/// A request to a named address.
pub(crate) async fn call_at(
    stack: &Stack,
    base: &str,
    credential: &str,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Answer {
    let request = stack.http.request(method, format!("{base}{path}")).bearer_auth(credential);
    Answer::of(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

/// Installs the key of one more client.
pub(crate) async fn another_client(stack: &Stack, name: &str) -> ApiKey {
    let rng = Rng::system();
    let key = ApiKey::generate(CLIENT_PREFIX, &rng);
    let now = machine_time();
    stack.store.install_key(&key.to_store(name), rng.uuid_v7(now), now).await.unwrap();
    key
}

/// Fails unless this is a problem as RFC 9457 and the contract want it, with all that its status asks for.
#[track_caller]
pub(crate) fn assert_problem(answer: &Answer, status: u16, slug: &str) {
    assert_eq!((answer.status, answer.problem()), (status, slug), "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store", "{answer:?}");
    assert!(!answer.header("x-request-id").is_empty(), "{answer:?}");
    assert_eq!(answer.body["status"], status, "{answer:?}");
    for member in ["title", "detail"] {
        assert!(answer.body[member].as_str().is_some_and(|text| text.len() > 5), "{member}: {answer:?}");
    }
    let seconds = |name: &str| answer.header(name).parse::<u64>().unwrap_or_default();
    match status {
        401 => assert_eq!(answer.header("www-authenticate"), "Bearer", "{answer:?}"),
        405 => assert!(!answer.header("allow").is_empty(), "{answer:?}"),
        429 => {
            assert!(seconds("retry-after") >= 1, "{answer:?}");
            let policy = answer.body["policy"].as_str().expect("a policy");
            for name in ["ratelimit", "ratelimit-policy"] {
                assert!(answer.header(name).starts_with(&format!("\"{policy}\";")), "{name}: {answer:?}");
            }
        }
        503 => assert!(seconds("retry-after") >= 1, "{answer:?}"),
        _ => assert_eq!(answer.header("retry-after"), "", "{answer:?}"),
    }
}

/// Fails unless this 429 names the limit with its numbers, in the body and in all three headers.
#[track_caller]
pub(crate) fn assert_limited(
    answer: &Answer,
    slug: &str,
    policy: &str,
    (quota, window): (u32, u64),
    wait: u64,
) {
    assert_problem(answer, 429, slug);
    assert_eq!(answer.body["policy"], policy, "{answer:?}");
    assert_eq!(answer.header("ratelimit-policy"), format!("\"{policy}\";q={quota};w={window}"));
    assert_eq!(answer.header("ratelimit"), format!("\"{policy}\";r=0;t={wait}"));
    assert_eq!(answer.header("retry-after"), wait.to_string());
}

/// The fields that a problem names.
pub(crate) fn fields(answer: &Answer) -> Vec<&str> {
    let errors = answer.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    errors.iter().filter_map(|error| error["field"].as_str()).collect()
}

/// Sends bytes as they are, and reads until a whole head and something of a body have come.
pub(crate) async fn raw_request(base: &str, request: &str, patience: Duration) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let address = base.strip_prefix("http://").expect("a plain address");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = async {
        let whole = |answer: &[u8]| {
            let text = String::from_utf8_lossy(answer);
            text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.ends_with(['}', '\n']))
        };
        while !whole(&answer) && stream.read_buf(&mut answer).await.unwrap() > 0 {}
    };
    let _in_time = tokio::time::timeout(patience, reading).await;
    String::from_utf8(answer).unwrap()
}
