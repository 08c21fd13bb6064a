//! Polling: `ETag`, `If-None-Match`, `Retry-After`.

use hulak_testkit_stack::{Answer, Shape, Stack};
use reqwest::Method;
use serde_json::json;

use crate::support::*;

both_shapes!(
    an_unchanged_verification_is_not_sent_again,
    a_tag_changes_with_every_change,
    retry_after_is_there_while_pending,
);

async fn read(stack: &Stack, id: &str, tags: &[&str]) -> Answer {
    let mut request = stack.request(Method::GET, &format!("{VERIFICATIONS}/{id}"));
    for tag in tags {
        request = request.header("if-none-match", *tag);
    }
    Answer::of(request).await
}

async fn an_unchanged_verification_is_not_sent_again(shape: Shape) {
    let stack = start(shape).await;
    let id = begin(&stack, json!({"phone": PHONE})).await.id();
    sent(&stack, &id).await;
    let first = read(&stack, &id, &[]).await;
    assert_eq!((first.status, first.header("cache-control")), (200, "no-store"));
    let tag = first.header("etag").to_owned();
    assert_eq!(tag, format!("\"{}\"", first.body["version"]));
    let (weak, list) = (format!("W/{tag}"), format!("\"0\", {tag} ,\"x\""));
    let zipped = tag.replace("\"", "-gzip\"").replacen("-gzip\"", "\"", 1);
    for tags in [&[&tag[..]][..], &[&weak], &[&list], &["\"0\"", &tag], &["*"], &[&zipped]] {
        let again = read(&stack, &id, tags).await;
        assert_eq!((again.status, again.header("etag")), (304, &tag[..]), "{tags:?}");
        assert_eq!(again.body, json!(null), "{tags:?}");
        assert_eq!(again.header("cache-control"), "no-store");
        assert!(!again.header("x-request-id").is_empty());
    }
    for tags in [&["\"0\""][..], &["\"\""], &["", "x"], &[tag.trim_matches('"')]] {
        let again = read(&stack, &id, tags).await;
        assert_eq!((again.status, again.id()), (200, id.clone()), "{tags:?}");
    }
    stack.stop().await;
}

async fn a_tag_changes_with_every_change(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let created = begin(&stack, json!({"phone": PHONE})).await;
    let mut tags = vec![created.header("etag").to_owned()];
    assert_eq!(tags[0], "\"1\"");
    let id = created.id();
    sent(&stack, &id).await;
    let code = stack.code(PHONE);
    tags.push(read(&stack, &id, &[&tags[0]]).await.header("etag").to_owned());
    check(&stack, &id, &wrong(&code, 1)).await;
    tags.push(read(&stack, &id, &[&tags[1]]).await.header("etag").to_owned());
    // From the first millisecond on, whether or not the end has been written down yet.
    clock.advance(CODE_TTL);
    let expired = read(&stack, &id, &[&tags[2]]).await;
    assert_eq!((expired.status, &expired.body["status"]), (200, &json!("expired")));
    tags.push(expired.header("etag").to_owned());
    let distinct: std::collections::HashSet<_> = tags.iter().collect();
    assert_eq!(distinct.len(), 4, "{tags:?}");
    stack.stop().await;
}

async fn retry_after_is_there_while_pending(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    let pending = read(&stack, &id, &[]).await;
    assert_eq!(pending.header("retry-after"), "1", "while the message goes out");
    let unchanged = read(&stack, &id, &[pending.header("etag")]).await;
    assert_eq!((unchanged.status, unchanged.header("retry-after")), (304, "1"));
    clock.advance(60 * SECOND);
    let later: u32 = read(&stack, &id, &[]).await.header("retry-after").parse().unwrap();
    assert!((2..=30).contains(&later), "less often while a person types: {later}");
    check(&stack, &id, &code).await;
    let approved = read(&stack, &id, &[]).await;
    assert_eq!((&approved.body["status"], approved.header("retry-after")), (&json!("approved"), ""));
    stack.stop().await;
}
