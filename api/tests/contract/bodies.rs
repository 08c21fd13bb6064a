//! Bodies: media types, JSON that is none, size, and patience.

use std::time::Duration;

use hulak_testkit_stack::{Answer, Shape, Stack};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Method};
use serde_json::json;

use crate::support::*;

both_shapes!(
    what_is_no_json_is_malformed,
    other_media_types_are_not_read,
    bodies_have_sixteen_kibibytes,
    a_body_that_does_not_arrive_is_not_waited_for,
    an_empty_body_may_be_written_in_any_way,
);

const KIB_16: usize = 16 * 1024;
const CHECK: &str = "/v1/verifications/01990000-0000-7000-8000-000000000000/check";

async fn send(stack: &Stack, path: &str, media: Option<&str>, body: impl Into<Body>) -> Answer {
    let request = stack.request(Method::POST, path).body(body.into());
    Answer::of(match media {
        Some(media) => request.header(CONTENT_TYPE, media),
        None => request,
    })
    .await
}

async fn what_is_no_json_is_malformed(shape: Shape) {
    let stack = start(shape).await;
    let good = format!("{{\"phone\":\"{PHONE}\"}}");
    let (trailing, twice) = (format!("{good} x"), format!("{good}{good}"));
    let (cut, deep) = (&good[..good.len() - 1], "[".repeat(16_000));
    let bad: [&[u8]; 16] = [
        b"",
        b" ",
        b"{",
        b"[",
        b"[1,",
        b"nonsense",
        b"\"",
        b"{'phone':'9812345678'}",
        b"{\"phone\":}",
        // Wrong fields of what is no JSON are not told.
        b"{\"phone\":1,",
        b"{\"colour\":1,}",
        b"{\"phone\":\"\xff\xfe\"}",
        cut.as_bytes(),
        trailing.as_bytes(),
        twice.as_bytes(),
        deep.as_bytes(),
    ];
    for path in [VERIFICATIONS, CHECK] {
        for body in bad {
            let answer = send(&stack, path, Some("application/json"), body.to_vec()).await;
            assert_problem(&answer, 400, "malformed-json");
        }
    }
    // What only its reader minds: half a character, and more brackets in each other than anybody means.
    let brackets = "[".repeat(500) + &"]".repeat(500);
    for body in ["{\"phone\":\"\\ud800\"}", &format!("{{\"phone\":\"1\",\"metadata\":{{\"a\":{brackets}}}}}")]
    {
        let answer = send(&stack, VERIFICATIONS, Some("application/json"), body.to_owned()).await;
        assert_problem(&answer, 400, "malformed-json");
    }
    assert_eq!(send(&stack, VERIFICATIONS, Some("application/json"), good).await.status, 202);
    stack.stop().await;
}

async fn other_media_types_are_not_read(shape: Shape) {
    let stack = start(shape).await;
    let body = json!({"phone": PHONE}).to_string();
    for media in [
        None,
        Some(""),
        Some("text/plain"),
        Some("text/json"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
        Some("application/jsonp"),
        Some("application/json-seq"),
        Some("application/json+zip"),
        Some("json"),
    ] {
        for path in [VERIFICATIONS, CHECK] {
            let answer = send(&stack, path, media, body.clone()).await;
            assert_problem(&answer, 415, "unsupported-media-type");
        }
    }
    for media in
        ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/x+json"]
    {
        let answer = send(&stack, VERIFICATIONS, Some(media), body.clone()).await;
        assert!(matches!(answer.status, 200 | 202), "{media}: {answer:?}");
    }
    stack.stop().await;
}

/// A good body of exactly this many bytes.
fn padded(bytes: usize) -> String {
    let empty = json!({"phone": PHONE, "metadata": {"pad": ""}}).to_string();
    json!({"phone": PHONE, "metadata": {"pad": "x".repeat(bytes - empty.len())}}).to_string()
}

async fn bodies_have_sixteen_kibibytes(shape: Shape) {
    let stack = start(shape).await;
    for bytes in [KIB_16 + 1, 2 * KIB_16] {
        let answer = send(&stack, VERIFICATIONS, Some("application/json"), padded(bytes)).await;
        assert_problem(&answer, 413, "body-too-large");
    }
    // Without a length: in chunks.
    let raw = format!(
        "POST {VERIFICATIONS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        stack.key.expose(),
        KIB_16 + 1,
        padded(KIB_16 + 1),
    );
    let answer = raw_request(&stack.apis[0].url, &raw, SECOND * 5).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("/problems/body-too-large\""), "{answer}");

    let largest = padded(KIB_16);
    assert_eq!(largest.len(), KIB_16);
    let answer = send(&stack, VERIFICATIONS, Some("application/json"), largest.clone()).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let read = stack.get(answer.header("location")).await;
    let sent: serde_json::Value = serde_json::from_str(&largest).unwrap();
    assert_eq!(read.body["metadata"], sent["metadata"]);
    stack.stop().await;
}

async fn a_body_that_does_not_arrive_is_not_waited_for(shape: Shape) {
    let stack = start(shape).await;
    let raw = format!(
        "POST {VERIFICATIONS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: 100\r\n\r\n{{\"phone\"",
        stack.key.expose(),
    );
    let answer = raw_request(&stack.apis[0].url, &raw, Duration::from_secs(15)).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("/problems/request-timeout\""), "{answer}");
    stack.stop().await;
}

/// Where no body is needed: some HTTP clients send an empty one in chunks, and most send its media type.
async fn an_empty_body_may_be_written_in_any_way(shape: Shape) {
    let stack = start(shape).await;
    let id = begin(&stack, json!({"phone": PHONE})).await.id();
    let path = format!("{VERIFICATIONS}/{id}/resend");
    for media in [None, Some("application/json"), Some("text/plain")] {
        // Too soon, which the store says: the body was taken.
        assert_problem(&send(&stack, &path, media, "").await, 429, "resend-cooldown");
        let media = media.map(|media| format!("Content-Type: {media}\r\n")).unwrap_or_default();
        let raw = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n{media}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            stack.key.expose(),
        );
        let answer = raw_request(&stack.apis[0].url, &raw, SECOND * 5).await;
        assert!(answer.starts_with("HTTP/1.1 429 "), "{media}: {answer}");
    }
    stack.stop().await;
}
