//! The approval token: checked here as a stranger would, with nothing but the published keys.

use hulak_common::code::{Keyring, Secret};
use hulak_testkit_stack::{Answer, Shape, Stack, StackOptions};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

use crate::support::*;

both_shapes!(
    a_token_proves_what_the_contract_says,
    the_published_keys_hold_nothing_secret,
    a_rotated_secret_still_proves,
);

/// Checks a token as a client's backend does, and answers its claims.
fn verify(token: &str, jwks: &Value, issuer: &str, audience: &str) -> Result<Value, String> {
    let jwks: JwkSet = serde_json::from_value(jwks.clone()).map_err(|error| error.to_string())?;
    let header = decode_header(token).map_err(|error| error.to_string())?;
    let jwk = header.kid.as_deref().and_then(|kid| jwks.find(kid)).ok_or("no such key")?;
    let key = DecodingKey::from_jwk(jwk).map_err(|error| error.to_string())?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
    decode::<Value>(token, &key, &validation).map(|data| data.claims).map_err(|error| error.to_string())
}

async fn jwks(stack: &Stack) -> Answer {
    let answer = Answer::of(stack.http.get(format!("{}/.well-known/jwks.json", stack.apis[0].url))).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{answer:?}");
    answer
}

async fn audience(stack: &Stack) -> String {
    stack.store.find_key(&stack.key.hash()).await.unwrap().expect("the stack's own key").client.to_string()
}

/// An approval: the verification's id and the token.
async fn approve(stack: &Stack, body: Value) -> (String, String) {
    let (id, code) = begin_sent(stack, body).await;
    let approved = check(stack, &id, &code).await;
    assert_eq!(approved.status, 200, "{approved:?}");
    (id, approved.body["token"].as_str().expect("a token").to_owned())
}

async fn a_token_proves_what_the_contract_says(shape: Shape) {
    let stack = start(shape).await;
    let before = machine_time().as_millis() / 1_000;
    let (id, token) = approve(&stack, json!({"phone": PHONE, "purpose": "sign_up"})).await;
    let (issuer, audience, jwks) = (&stack.apis[0].url, audience(&stack).await, jwks(&stack).await.body);

    let claims = verify(&token, &jwks, issuer, &audience).expect("a good token");
    let issued = claims["iat"].as_i64().expect("whole seconds");
    assert!((before - 1..=before + 30).contains(&issued), "{issued} is not close to {before}");
    assert_eq!(
        claims,
        json!({
            "iss": issuer, "aud": audience, "sub": PHONE, "iat": issued, "exp": issued + 600, "jti": id,
            "purpose": "sign_up",
        })
    );
    let header = decode_header(&token).unwrap();
    assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::EdDSA, Some("JWT")));

    // Not for somebody else's ears, and not with a comma changed.
    let stranger = uuid::Uuid::from_u128(1).to_string();
    assert!(verify(&token, &jwks, issuer, &stranger).is_err());
    assert!(verify(&token, &jwks, "https://elsewhere.example", &audience).is_err());
    let mut parts: Vec<&str> = token.split('.').collect();
    let (_, other) = approve(&stack, json!({"phone": OTHER_PHONE})).await;
    parts[1] = other.split('.').nth(1).unwrap();
    assert!(verify(&parts.join("."), &jwks, issuer, &audience).is_err());
    stack.stop().await;
}

async fn the_published_keys_hold_nothing_secret(shape: Shape) {
    let stack = start(shape).await;
    let body = jwks(&stack).await.body;
    let keys = body["keys"].as_array().expect("keys");
    assert_eq!(keys.len(), 1, "{body}");
    let key = keys[0].as_object().expect("a key");
    for (member, value) in [("kty", "OKP"), ("crv", "Ed25519"), ("use", "sig"), ("alg", "EdDSA")] {
        assert_eq!(key[member], value, "{body}");
    }
    assert!(key["kid"].as_str().is_some_and(|kid| !kid.is_empty()));
    assert_eq!(key["x"].as_str().map(str::len), Some(43), "32 bytes in base64");
    assert_eq!(key.len(), 6, "{body}");
    stack.stop().await;
}

async fn a_rotated_secret_still_proves(shape: Shape) {
    let secret = |fill| Secret::from_bytes(vec![fill; 32]).unwrap();
    let with = async |keyring| {
        let mut options = StackOptions::new(shape);
        options.rules.keyring = keyring;
        Box::pin(Stack::start(options)).await
    };
    let before = with(Keyring::new(secret(1), None)).await;
    let (_, old) = approve(&before, json!({"phone": PHONE})).await;
    let (issuer, client) = (before.apis[0].url.clone(), audience(&before).await);

    let after = with(Keyring::new(secret(2), Some(secret(1)))).await;
    let keys = jwks(&after).await.body;
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(2));
    assert!(verify(&old, &keys, &issuer, &client).is_ok());
    let (_, new) = approve(&after, json!({"phone": PHONE})).await;
    assert!(verify(&new, &keys, &after.apis[0].url, &audience(&after).await).is_ok());
    assert_ne!(decode_header(&old).unwrap().kid, decode_header(&new).unwrap().kid);
    assert!(verify(&new, &jwks(&before).await.body, &after.apis[0].url, &audience(&after).await).is_err());
    before.stop().await;
    after.stop().await;
}
