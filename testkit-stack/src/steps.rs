//! The steps of a verification, by HTTP on the first API of a stack.

use serde_json::{Value, json};

use crate::{Answer, Stack};

/// Where verifications are made.
pub const VERIFICATIONS: &str = "/v1/verifications";

/// Begins a verification; it must be a new one, or a new message.
///
/// # Panics
/// When it is refused.
pub async fn begin(stack: &Stack, body: Value) -> Answer {
    let answer = stack.post(VERIFICATIONS, body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer
}

/// Begins the verification of a number and answers its id.
///
/// # Panics
/// When it is refused.
pub async fn ask(stack: &Stack, phone: &str) -> String {
    begin(stack, json!({ "phone": phone })).await.id()
}

/// Begins a verification and waits for its message: its id and its code.
///
/// # Panics
/// When it is refused, or the message does not go out within 20 s.
pub async fn begin_sent(stack: &Stack, body: Value) -> (String, String) {
    let answer = begin(stack, body).await;
    let id = answer.id();
    sent(stack, &id).await;
    let phone = answer.body["phone"].as_str().expect("the number");
    (id, stack.code(phone))
}

/// Waits until the newest message of a verification has gone out.
///
/// # Panics
/// When that takes more than 20 s.
pub async fn sent(stack: &Stack, id: &str) -> Value {
    until_delivery(stack, id, "sent").await
}

/// Waits until the newest message of a verification has this status.
///
/// # Panics
/// When that takes more than 20 s.
pub async fn until_delivery(stack: &Stack, id: &str, status: &str) -> Value {
    stack.until(id, |body| body["delivery"]["status"] == status).await
}

/// Checks a code.
pub async fn check(stack: &Stack, id: &str, code: &str) -> Answer {
    stack.post(&format!("{VERIFICATIONS}/{id}/check"), json!({ "code": code })).await
}
