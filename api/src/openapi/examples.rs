//! The examples: one verification on its way, with the same number and ids throughout.

use hulak_common::time::Timestamp;
use serde_json::{Value, json};

/// The moment of the examples: 2026-09-21T14:13:20.123Z.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_123);
/// The verification of the examples.
pub(crate) const ID: &str = "01990000-0000-7000-8000-000000000001";
/// The account of the examples.
pub(crate) const ACCOUNT: &str = "01990000-0000-7000-8000-000000000002";
/// Where a page of a list ends.
pub(crate) const CURSOR: &str = "AZkAAAAAcACAAAAAAAAAAQ";
/// Its number, as it was typed.
pub(crate) const TYPED: &str = "9812345678";
/// What opens the page of the examples, and what it hands over.
pub(crate) const PAGE_TOKEN: &str =
    "pt_AR3B4rkBmQAAAAAAcACAAAAAAAAAAAGZAAAAAABwAIAAAAAAAAAD0bPZ0u9n8m4K3m0aXrT5dA";
/// See [`PAGE_TOKEN`].
pub(crate) const PAGE_CODE: &str =
    "pc_AR3B4rkBmQAAAAAAcACAAAAAAAAAAAGZAAAAAABwAIAAAAAAAAAB0bPZ0u9n8m4K3m0aXrT5dA";
const TOKEN: &str = "vt_AR3B4rkBmQAAAAAAcACAAAAAAAAAAAGZAAAAAABwAIAAAAAAAAAB0bPZ0u9n8m4K3m0aXrT5dA";

pub(crate) fn moment(seconds: u64) -> String {
    (NOW + std::time::Duration::from_secs(seconds)).to_string()
}

fn with(mut object: Value, members: &[(&str, Value)]) -> Value {
    for (name, value) in members {
        object[*name] = value.clone();
    }
    object
}

/// As it is read with the API key, once its message has gone out.
pub(crate) fn sent() -> Value {
    json!({
        "id": ID, "phone": "+9779812345678", "operator": "ncell", "purpose": "sign_up", "status": "pending",
        "delivery": {
            "status": "sent", "messages": 1, "last_sent_at": moment(1), "next_attempt_at": null, "error": null
        },
        "checks_remaining": 5, "resend_after": moment(30), "expires_at": moment(300), "created_at": moment(0),
        "updated_at": moment(1), "version": 3, "metadata": {"order": 7}
    })
}

/// As it is answered when it is asked for.
pub(crate) fn created() -> Value {
    let delivery = json!({
        "status": "queued", "messages": 1, "last_sent_at": null, "next_attempt_at": null, "error": null
    });
    with(
        sent(),
        &[
            ("delivery", delivery),
            ("updated_at", moment(0).into()),
            ("version", 1.into()),
            ("client_token", TOKEN.into()),
        ],
    )
}

/// The live one again, before another message may be asked for.
pub(crate) fn live() -> Value {
    with(sent(), &[("client_token", TOKEN.into())])
}

/// As a phone or a browser reads it.
pub(crate) fn masked() -> Value {
    let mut view = with(sent(), &[("phone", "+97798•••••678".into())]);
    if let Some(members) = view.as_object_mut() {
        members.remove("metadata");
    }
    view
}

/// As it is read after its message was refused.
pub(crate) fn refused() -> Value {
    let delivery = json!({
        "status": "failed", "messages": 1, "last_sent_at": null, "next_attempt_at": null,
        "error": {"code": "invalid-receiver", "gateway_code": "1007"}
    });
    with(sent(), &[("delivery", delivery)])
}

/// With another message on its way.
pub(crate) fn again() -> Value {
    let delivery = json!({
        "status": "queued", "messages": 2, "last_sent_at": moment(1), "next_attempt_at": null, "error": null
    });
    let later = [("resend_after", moment(75)), ("expires_at", moment(345)), ("updated_at", moment(45))];
    let view = with(sent(), &[("delivery", delivery), ("version", 4.into())]);
    with(view, &later.map(|(name, moment)| (name, moment.into())))
}

/// In a final state.
pub(crate) fn ended(status: &str) -> Value {
    with(sent(), &[("status", status.into()), ("updated_at", moment(20).into()), ("version", 4.into())])
}

/// The answer to the right code.
pub(crate) fn approval() -> Value {
    json!({
        "status": "approved",
        "token": "eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSIsImtpZCI6IjFmMmUzZDRjIn0.eyJzdWIiOiIrOTc3OTgxMjM0NTY3OCJ9.c2lnbmF0dXJl",
        "verification": ended("approved")
    })
}

/// A number that was verified.
pub(crate) fn number() -> Value {
    json!({
        "phone": "+9779812345678", "operator": "ncell", "validated": true, "validated_at": moment(20),
        "otp_count": 1, "ambiguous_count": 0, "last_sent_at": moment(1), "checks_failed": 0, "blocked_until": null
    })
}

/// A number that is blocked.
pub(crate) fn blocked() -> Value {
    with(number(), &[("blocked_until", moment(86_400).into())])
}

/// A number never seen.
pub(crate) fn unseen() -> Value {
    json!({
        "phone": "+9779812345678", "operator": "ncell", "validated": false, "validated_at": null,
        "otp_count": 0, "ambiguous_count": 0, "last_sent_at": null, "checks_failed": 0, "blocked_until": null
    })
}

/// An account with a verified number.
pub(crate) fn account() -> Value {
    json!({
        "id": ACCOUNT, "username": "sita", "first_name": "Sita", "last_name": "Devi", "email": "sita@example.com",
        "phone": "+9779812345678", "phone_verified": true, "groups": ["staff"],
        "permissions": ["orders.refund", "orders.view"], "is_active": true, "created_at": moment(0),
        "updated_at": moment(60), "last_login_at": null
    })
}

/// A group.
pub(crate) fn group() -> Value {
    json!({
        "name": "staff", "permissions": ["orders.refund", "orders.view"], "created_at": moment(0),
        "updated_at": moment(0)
    })
}

/// A page that was made.
pub(crate) fn page() -> Value {
    json!({"url": format!("https://verify.example.com/verify#{PAGE_TOKEN}"), "expires_at": moment(900)})
}

/// A page that nothing was typed into yet.
pub(crate) fn page_state() -> Value {
    json!({
        "app_name": "Kirana Shop", "purpose": "verify", "locale": null, "demonstration": false, "inbox": null, "creates_left": 3,
        "expires_at": moment(900), "begun": null
    })
}

/// What a page has begun.
pub(crate) fn begun() -> Value {
    json!({"verification": masked(), "client_token": TOKEN, "code_length": 6})
}
