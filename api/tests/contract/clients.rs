//! What is set for one client application, and its keys: what callers notice of it.

use hulak_common::api_key::ApiKey;
use hulak_common::client::{Change, SettingsChange};
use hulak_common::rate_limit::{Amount, Quota};
use hulak_common::rules::Quotas;
use hulak_testkit_stack::{Answer, Shape, Stack, StackOptions, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::*;

both_shapes!(
    a_client_has_a_rate_of_its_own,
    a_resend_by_token_goes_by_its_clients_quota,
    a_key_is_replaced_without_a_pause,
);

async fn set(stack: &Stack, name: &str, rate: Change<Amount>, address_hourly: Change<Amount>) {
    let change = SettingsChange { rate, address_hourly, ..SettingsChange::default() };
    assert!(stack.store.change_client(name, &change).await.unwrap().is_some());
}

async fn create(stack: &Stack, key: &ApiKey, body: Value) -> Answer {
    call(stack, key.expose(), Method::POST, VERIFICATIONS, Some(body)).await
}

async fn a_client_has_a_rate_of_its_own(shape: Shape) {
    let mut options = StackOptions::new(shape);
    options.rules.quotas = Quotas { client: Some(Quota::client(1)), address: Some(Quota::address(1)) };
    let (stack, clock) = frozen_with(options).await;
    let own = another_client(&stack, "own").await;
    set(&stack, "own", Change::To(Amount(Some(2))), Change::To(Amount(None))).await;
    let body = |n: u32| json!({"phone": format!("98400000{n:02}"), "end_user_ip": "192.0.2.1"});
    for n in 0..2 {
        assert_eq!(create(&stack, &own, body(n)).await.status, 202);
    }
    let refused = create(&stack, &own, body(2)).await;
    assert_limited(&refused, "rate-limited", "client", (2, 1), 1);
    // The others go by the common limits.
    assert_eq!(create(&stack, &stack.key, body(10)).await.status, 202);
    let refused = create(&stack, &stack.key, body(11)).await;
    assert_limited(&refused, "rate-limited", "client", (1, 1), 2);
    clock.advance(2 * SECOND);
    let refused = create(&stack, &stack.key, body(11)).await;
    assert_eq!(refused.body["policy"], "address", "{refused:?}");
    // Off, and back to what is common.
    set(&stack, "own", Change::To(Amount(None)), Change::Keep).await;
    for n in 20..30 {
        assert_eq!(create(&stack, &own, body(n)).await.status, 202);
    }
    set(&stack, "own", Change::Reset, Change::Keep).await;
    assert_eq!(create(&stack, &own, body(30)).await.status, 202);
    let refused = create(&stack, &own, body(31)).await;
    assert_limited(&refused, "rate-limited", "client", (1, 1), 2);
    stack.stop().await;
}

async fn a_resend_by_token_goes_by_its_clients_quota(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let own = another_client(&stack, "own").await;
    set(&stack, "own", Change::Keep, Change::To(Amount(Some(1)))).await;
    let mut begun = Vec::new();
    for (key, phone) in
        [(&own, PHONE), (&own, OTHER_PHONE), (&stack.key, "9860000001"), (&stack.key, "9860000002")]
    {
        let answer = create(&stack, key, json!({ "phone": phone })).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let (id, token) = (answer.id(), answer.body["client_token"].as_str().unwrap().to_owned());
        eventually("the message", || async {
            let path = format!("{VERIFICATIONS}/{id}");
            let answer = call(&stack, &token, Method::GET, &path, None).await;
            (answer.body["delivery"]["status"] == "sent").then_some(())
        })
        .await;
        begun.push((id, token));
    }
    clock.advance(COOLDOWN);
    let mut answers = Vec::new();
    for (id, token) in &begun {
        let path = format!("{VERIFICATIONS}/{id}/resend");
        answers.push(call(&stack, token, Method::POST, &path, Some(json!({}))).await);
    }
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [202, 429, 202, 202]);
    assert_limited(&answers[1], "rate-limited", "address", (1, 3_600), 3_601);
    stack.stop().await;
}

async fn a_key_is_replaced_without_a_pause(shape: Shape) {
    let options = StackOptions { freshness: FRESH, ..StackOptions::new(shape) };
    let stack = Box::pin(Stack::start(options)).await;
    let path = format!("/v1/phones/{PHONE}");
    let status = async |key: &ApiKey| call(&stack, key.expose(), Method::GET, &path, None).await.status;
    let (old, new) = (another_client(&stack, "shop").await, another_client(&stack, "shop").await);
    let other = another_client(&stack, "other").await;
    assert_eq!((status(&old).await, status(&new).await), (200, 200), "two live keys");
    stack.store.revoke_key(&old.hash(), machine_time()).await.unwrap();
    let refused = eventually("the refusal", || async {
        let answer = call(&stack, old.expose(), Method::GET, &path, None).await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_problem(&refused, 401, "unauthorized");
    assert_eq!((status(&new).await, status(&other).await), (200, 200));
    stack.stop().await;
}
