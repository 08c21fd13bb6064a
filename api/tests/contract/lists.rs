//! Lists of verifications, and what limits a client and an address.

use std::time::Duration;

use hulak_common::limits::Policy;
use hulak_common::rate_limit::Quota;
use hulak_common::rules::Quotas;
use hulak_testkit_stack::{Shape, StackOptions};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::*;

both_shapes!(
    a_list_is_paged,
    a_list_is_filtered,
    a_list_shows_what_is_the_clients_own,
    bad_parameters_are_named,
    a_client_has_a_rate,
    an_address_has_an_hour,
    a_client_tokens_address_is_its_peers,
);

fn ids(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

async fn a_list_is_paged(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let mut made = Vec::new();
    for n in 0..5 {
        made.push(begin(&stack, json!({"phone": format!("984000000{n}")})).await.id());
        clock.advance(SECOND);
    }
    made.reverse();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for _ in 0..3 {
        let page = stack.get(&format!("{VERIFICATIONS}?limit=2{cursor}")).await;
        assert_eq!((page.status, page.header("cache-control")), (200, "no-store"), "{page:?}");
        seen.extend(ids(&page.body).into_iter().map(str::to_owned));
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, made);
    let whole = stack.get(VERIFICATIONS).await.body;
    assert_eq!((ids(&whole).len(), &whole["next_cursor"]), (5, &Value::Null));
    assert!(whole["data"][0].get("client_token").is_none());
    stack.stop().await;
}

async fn a_list_is_filtered(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let (first, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    check(&stack, &first, &code).await;
    let (second, _) = begin_sent(&stack, json!({"phone": OTHER_PHONE})).await;
    let list = async |query: &str| {
        let page = stack.get(&format!("{VERIFICATIONS}?{query}")).await;
        ids(&page.body).join(" ")
    };
    assert_eq!(list("phone=%2B9779812345678").await, first);
    assert_eq!(list("phone=+977+981-2345678").await, first, "a bare plus is a space");
    assert_eq!(list("status=approved").await, first);
    assert_eq!(list("status=pending").await, second);
    assert_eq!(list("delivery=failed").await, "");
    assert_eq!(list("delivery=sent&phone=9841234567").await, second);
    clock.advance(CODE_TTL);
    assert_eq!(list("status=expired").await, second);
    stack.stop().await;
}

async fn a_list_shows_what_is_the_clients_own(shape: Shape) {
    let (stack, _) = frozen(shape).await;
    let answer = begin(&stack, json!({"phone": PHONE})).await;
    let other = another_client(&stack, "other").await;
    let theirs = call(&stack, other.expose(), Method::GET, VERIFICATIONS, None).await;
    assert_eq!(theirs.body, json!({"data": [], "next_cursor": null}));
    let token = answer.body["client_token"].as_str().unwrap();
    assert_problem(&call(&stack, token, Method::GET, VERIFICATIONS, None).await, 403, "forbidden");
    stack.stop().await;
}

async fn bad_parameters_are_named(shape: Shape) {
    let (stack, _) = frozen(shape).await;
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("status=open", "status"),
        ("delivery=gone", "delivery"),
        ("cursor=xyz", "cursor"),
        ("colour=red", "colour"),
        ("limit=1&limit=2", "limit"),
    ] {
        let refused = stack.get(&format!("{VERIFICATIONS}?{query}")).await;
        assert_problem(&refused, 422, "invalid-request");
        assert_eq!(fields(&refused), [field], "{query}");
    }
    let refused = stack.get(&format!("{VERIFICATIONS}?phone=123")).await;
    assert_problem(&refused, 422, "invalid-phone");
    stack.stop().await;
}

fn limited(shape: Shape, client: Option<u32>, address: Option<u32>) -> StackOptions {
    let mut options = StackOptions::new(shape);
    let second = Duration::from_secs(1);
    let hour = Duration::from_secs(3_600);
    options.rules.quotas = Quotas {
        client: client.map(|amount| Quota { policy: Policy::Client, amount, window: second }),
        address: address.map(|amount| Quota { policy: Policy::Address, amount, window: hour }),
    };
    options
}

async fn a_client_has_a_rate(shape: Shape) {
    let (stack, clock) = frozen_with(limited(shape, Some(2), None)).await;
    for n in 0..2 {
        begin(&stack, json!({"phone": format!("984000000{n}")})).await;
    }
    let refused = stack.post(VERIFICATIONS, json!({"phone": "9840000002"})).await;
    assert_limited(&refused, "rate-limited", "client", (2, 1), 1);
    // The others are not made to pay for it.
    let other = another_client(&stack, "other").await;
    let body = Some(json!({"phone": "9840000002"}));
    assert_eq!(call(&stack, other.expose(), Method::POST, VERIFICATIONS, body).await.status, 202);
    clock.advance(SECOND);
    begin(&stack, json!({"phone": "9840000003"})).await;
    stack.stop().await;
}

async fn an_address_has_an_hour(shape: Shape) {
    let (stack, _) = frozen_with(limited(shape, None, Some(1))).await;
    begin(&stack, json!({"phone": "9840000000", "end_user_ip": "2001:db8::1"})).await;
    let body = json!({"phone": "9840000001", "end_user_ip": "2001:db8::2"});
    let refused = stack.post(VERIFICATIONS, body).await;
    assert_limited(&refused, "rate-limited", "address", (1, 3_600), 3_601);
    begin(&stack, json!({"phone": "9840000001", "end_user_ip": "192.0.2.1"})).await;
    // A backend that does not say where its user is has no address to charge.
    for n in 2..5 {
        begin(&stack, json!({"phone": format!("984000000{n}")})).await;
    }
    stack.stop().await;
}

async fn a_client_tokens_address_is_its_peers(shape: Shape) {
    let options = StackOptions { proxies: "127.0.0.1".parse().unwrap(), ..limited(shape, None, Some(1)) };
    let (stack, clock) = frozen_with(options).await;
    let (first, second) =
        (begin(&stack, json!({"phone": PHONE})).await, begin(&stack, json!({"phone": OTHER_PHONE})).await);
    for answer in [&first, &second] {
        sent(&stack, &answer.id()).await;
    }
    clock.advance(COOLDOWN);
    let resend = async |answer: &hulak_testkit_stack::Answer, forwarded: &str| {
        let url = format!("{}{VERIFICATIONS}/{}/resend", stack.apis[0].url, answer.id());
        let token = answer.body["client_token"].as_str().unwrap();
        let request = stack.http.post(url).bearer_auth(token).header("X-Forwarded-For", forwarded);
        hulak_testkit_stack::Answer::of(request).await
    };
    // What stands left of the proxy's own word was written by the caller.
    assert_eq!(resend(&first, "203.0.113.1, 198.51.100.7").await.status, 202);
    let refused = resend(&second, "203.0.113.2, 198.51.100.7").await;
    assert_problem(&refused, 429, "rate-limited");
    assert_eq!(refused.body["policy"], "address");
    assert_eq!(resend(&second, "198.51.100.8").await.status, 202);
    stack.stop().await;
}
