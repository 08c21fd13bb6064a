//! Who may call: API keys, and everything that is none.

use hulak_common::api_key::{ApiKey, CLIENT_PREFIX, OPERATOR_PREFIX};
use hulak_common::rng::Rng;
use hulak_testkit_stack::{Answer, Shape, Stack};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde_json::{Value, json};

use crate::support::*;

both_shapes!(
    without_a_good_credential_nothing_is_answered,
    operator_keys_are_of_the_wrong_kind,
    a_key_is_taken_in_any_case_of_its_scheme,
    keys_of_one_client_share_their_things,
    the_public_addresses_need_no_credential,
);

const ID: &str = "01990000-0000-7000-8000-000000000000";

/// Every address that asks who is calling, with a body that would be refused too: who calls is asked first.
fn addresses() -> [(Method, String, Option<Value>); 4] {
    [
        (Method::POST, VERIFICATIONS.to_owned(), Some(json!({"phone": "nonsense"}))),
        (Method::GET, format!("{VERIFICATIONS}/{ID}"), None),
        (Method::POST, format!("{VERIFICATIONS}/{ID}/check"), Some(json!({"code": 1}))),
        (Method::GET, "/v1/phones/nonsense".to_owned(), None),
    ]
}

async fn send(
    stack: &Stack,
    authorization: Option<HeaderValue>,
    address: &(Method, String, Option<Value>),
) -> Answer {
    let (method, path, body) = address;
    let mut request = stack.http.request(method.clone(), format!("{}{path}", stack.apis[0].url));
    if let Some(value) = authorization {
        request = request.header(AUTHORIZATION, value);
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    Answer::of(request).await
}

async fn without_a_good_credential_nothing_is_answered(shape: Shape) {
    let stack = start(shape).await;
    let key = stack.key.expose();
    let unknown = ApiKey::generate(CLIENT_PREFIX, &Rng::system());
    let nobodys = ApiKey::generate(OPERATOR_PREFIX, &Rng::system());
    let mut bad: Vec<Option<HeaderValue>> = vec![None, HeaderValue::from_bytes(b"Bearer hk_\xff\xfe").ok()];
    bad.extend(
        [
            "",
            "Bearer",
            "Bearer ",
            "Bearer hk_",
            "Bearer hk_short",
            "Bearer nonsense",
            "Bearer vt_",
            "Bearer vt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            &format!("Bearer {}", unknown.expose()),
            &format!("Bearer {}", nobodys.expose()),
            &format!("Bearer {key}A"),
            &format!("Bearer {}", &key[..key.len() - 1]),
            &format!("Bearer {}", key.to_uppercase()),
            &format!("Bearer {key} {key}"),
            &format!("Basic {key}"),
            &format!("Token {key}"),
            key,
        ]
        .map(|text| HeaderValue::from_str(text).ok()),
    );
    assert!(bad.iter().skip(1).all(Option::is_some));
    for address in &addresses() {
        for authorization in &bad {
            let answer = send(&stack, authorization.clone(), address).await;
            assert_problem(&answer, 401, "unauthorized");
            assert!(!format!("{:?}", answer.body).contains(key), "{answer:?}");
        }
    }
    stack.stop().await;
}

async fn operator_keys_are_of_the_wrong_kind(shape: Shape) {
    let stack = start(shape).await;
    let operator = ApiKey::generate(OPERATOR_PREFIX, &Rng::system());
    stack.store.install_key(&operator.to_store("staff"), Rng::system().uuid(), machine_time()).await.unwrap();
    for address in &addresses() {
        let value = HeaderValue::from_str(&format!("Bearer {}", operator.expose())).ok();
        assert_problem(&send(&stack, value, address).await, 403, "forbidden");
    }
    stack.stop().await;
}

async fn a_key_is_taken_in_any_case_of_its_scheme(shape: Shape) {
    let stack = start(shape).await;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let value = HeaderValue::from_str(&format!("{scheme} {}", stack.key.expose())).ok();
        let answer = send(&stack, value, &(Method::GET, format!("/v1/phones/{PHONE}"), None)).await;
        assert_eq!(answer.status, 200, "{scheme}: {answer:?}");
    }
    stack.stop().await;
}

async fn keys_of_one_client_share_their_things(shape: Shape) {
    let (stack, _clock) = frozen(shape).await;
    let second = another_client(&stack, "default").await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE})).await;
    let path = format!("{VERIFICATIONS}/{id}");
    assert_eq!(call(&stack, second.expose(), Method::GET, &path, None).await.id(), id);
    let again =
        call(&stack, second.expose(), Method::POST, VERIFICATIONS, Some(json!({"phone": PHONE}))).await;
    assert_eq!((again.status, again.id()), (200, id));
    let body = Some(json!({ "code": code }));
    let approved = call(&stack, second.expose(), Method::POST, &format!("{path}/check"), body).await;
    assert_eq!(approved.status, 200, "{approved:?}");
    stack.stop().await;
}

async fn the_public_addresses_need_no_credential(shape: Shape) {
    let stack = start(shape).await;
    for path in ["/.well-known/jwks.json", "/problems/unauthorized"] {
        let answer = send(&stack, None, &(Method::GET, path.to_owned(), None)).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(answer.header("cache-control").starts_with("public, max-age="), "{answer:?}");
    }
    stack.stop().await;
}
