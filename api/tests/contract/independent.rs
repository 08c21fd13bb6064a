//! The approval token under the eyes of another library than ours, through a rotation of the secret.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use hulak_common::code::{Keyring, Secret};
use hulak_testkit_stack::{Shape, Stack, StackOptions};
use serde_json::{Value, json};

use crate::accounts::sign_up;
use crate::python::Python;
use crate::support::*;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pyjwt").join(name)
}

/// What PyJWT makes of a token with the keys that this API publishes now.
async fn verify(stack: &Stack, token: &Token) -> Result<Value, String> {
    let arguments = [
        format!("{}/.well-known/jwks.json", stack.apis[0].url),
        token.audience.clone(),
        token.issuer.clone(),
    ];
    let text = token.text.clone();
    let run = move || {
        let mut command = Python::with("pyjwt", &file("requirements.txt")).program();
        command.arg(file("verify.py")).args(arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

struct Token {
    text: String,
    issuer: String,
    audience: String,
}

/// One step of a rotation: what every process is given as its secret, and as the one before.
async fn step(present: u8, other: Option<u8>) -> (Stack, Token) {
    let secret = |fill| Secret::from_bytes(vec![fill; 32]).unwrap();
    let mut options = StackOptions::new(Shape::OneProcess);
    options.rules.keyring = Keyring::new(secret(present), other.map(secret));
    let stack = Box::pin(Stack::start(options)).await;
    let account = sign_up(&stack, json!({"username": "sita"})).await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE, "account_id": account})).await;
    let approved = check(&stack, &id, &code).await;
    let token = Token {
        text: approved.body["token"].as_str().expect("a token").to_owned(),
        issuer: stack.apis[0].url.clone(),
        audience: stack.store.find_key(&stack.key.hash()).await.unwrap().unwrap().client.to_string(),
    };
    (stack, token)
}

/// The steps of docs/operations.md. Whichever step a process is at, it publishes the keys of every token that may still
/// be good: those of the step before, and those that processes a step further make already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: needs packages from PyPI"]
async fn a_rotation_leaves_no_gap() {
    let steps = [step(1, None).await, step(1, Some(2)).await, step(2, Some(1)).await, step(2, None).await];
    for (n, (stack, _)) in steps.iter().enumerate() {
        for (m, (_, token)) in steps.iter().enumerate() {
            let verified = verify(stack, token).await;
            if n.abs_diff(m) <= 1 {
                let claims = verified.unwrap_or_else(|error| panic!("step {n}, token of step {m}: {error}"));
                assert_eq!((&claims["sub"], &claims["username"]), (&json!(PHONE), &json!("sita")));
            }
        }
    }
    // The test itself must be able to fail: keys that are gone prove nothing, nor does a token for somebody else.
    let (first, last) = (&steps[0], &steps[3]);
    assert!(verify(&last.0, &first.1).await.is_err_and(|error| error.contains("PyJWKClientError")));
    let stolen = Token {
        text: first.1.text.clone(),
        issuer: first.1.issuer.clone(),
        audience: "01990000-0000-7000-8000-000000000001".to_owned(),
    };
    assert!(verify(&first.0, &stolen).await.is_err_and(|error| error.contains("InvalidAudienceError")));
    for (stack, _) in steps {
        stack.stop().await;
    }
}
