//! The hosted page: made by an application, used in a browser, exchanged by the application.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{BACK, Ground, NUMBERS, Secrets, off_by_one};
use hulak_testkit::answer::{Answer, eventually};

/// A token that nobody made.
const NO_TOKEN: &str = "pt_nobody-has-such-a-page-at-all-0001";
const NO_CODE: &str = "pc_nobody-has-such-a-code-at-all-0001";

/// What the page does in a browser.
async fn on_page(ground: &Ground, secrets: &mut Secrets, token: &str, path: &str, body: &Value) -> Answer {
    let request = ground.http.post(format!("{}/v1/page{path}", ground.api)).bearer_auth(token);
    ground.send(secrets, request.header("idempotency-key", format!("page-{path}-{body}")).json(body)).await
}

/// A page's own token.
async fn make(ground: &Ground, secrets: &mut Secrets, state: &str) -> String {
    let body = json!({ "purpose": "sign_up", "redirect_uri": BACK, "state": state, "locale": "ne" });
    let request = ground.request(Method::POST, "/v1/pages").json(&body);
    let made = ground.send(secrets, request.header("idempotency-key", format!("page-{state}"))).await;
    assert_eq!(made.status, 201, "{made:?}");
    let (_, token) = made.body["url"].as_str().and_then(|url| url.split_once('#')).expect("a page's token");
    assert!(token.starts_with("pt_"), "{token}");
    secrets.add("a page's token", token);
    token.to_owned()
}

pub(super) async fn walk(ground: &Ground, secrets: &mut Secrets) {
    let phone = NUMBERS[7];
    let token = make(ground, secrets, phone).await;
    assert_eq!(make(ground, secrets, phone).await, token, "the same request gets the same page");
    loaded(ground, secrets, &token).await;

    let begun = on_page(ground, secrets, &token, "/verifications", &json!({ "phone": phone })).await;
    assert_eq!(begun.status, 202, "{begun:?}");
    let id = begun.body["verification"]["id"].as_str().expect("an id").to_owned();
    let follower = begun.body["client_token"].as_str().expect("a client token").to_owned();
    ground.until_delivery(&id, &["sent"]).await;
    let code = ground.code(secrets, phone).await;
    let wrong = off_by_one(&code);
    secrets.add("a wrong code", &wrong);
    for (typed, status) in [(wrong.as_str(), 422), (phone, 422), ("12", 422)] {
        let answer =
            on_page(ground, secrets, &token, "/check", &json!({ "verification": id, "code": typed })).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    eventually("another message", || async {
        let url = format!("{}/v1/verifications/{id}/resend", ground.api);
        let answer = Answer::of(ground.http.post(url).bearer_auth(&follower)).await;
        (answer.status == 202).then_some(())
    })
    .await;
    ground.until_delivery(&id, &["sent"]).await;
    let code = ground.code(secrets, phone).await;
    let right = json!({ "verification": id, "code": code });
    let mut page_code = String::new();
    // Asked twice, as after an answer that was lost: the answer is made again.
    for _ in 0..2 {
        let approved = on_page(ground, secrets, &token, "/check", &right).await;
        let onward = approved.body["redirect"].as_str().unwrap_or_else(|| panic!("{approved:?}"));
        let onward = url::Url::parse(onward).expect("an address");
        let found = onward.query_pairs().find(|(name, _)| name == "page_code");
        page_code = found.expect("a page code").1.into_owned();
    }
    assert!(page_code.starts_with("pc_"), "{page_code}");
    secrets.add("a page code", &page_code);
    let events = ground.http.get(format!("{}/v1/verifications/{id}/events", ground.api));
    assert_eq!(events.bearer_auth(&follower).send().await.expect("an answer").status(), StatusCode::OK);
    exchanged(ground, secrets, &page_code, &token).await;
}

/// The document, also by those who put the token where it does not belong; and with tokens that are none.
async fn loaded(ground: &Ground, secrets: &mut Secrets, token: &str) {
    for (path, status) in [
        ("/verify".to_owned(), 200),
        (format!("/verify?token={token}&phone={}", NUMBERS[7]), 200),
        (format!("/verify/{token}"), 404),
    ] {
        let answer = Answer::of(ground.http.get(format!("{}{path}", ground.api))).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    secrets.add("a token that is none", NO_TOKEN);
    for (token, status) in [(token, 200), (NO_TOKEN, 401), (ground.key.as_str(), 403)] {
        let answer = Answer::of(ground.http.get(format!("{}/v1/page", ground.api)).bearer_auth(token)).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

/// What the browser brought is exchanged once, and not with anything else.
async fn exchanged(ground: &Ground, secrets: &mut Secrets, page_code: &str, token: &str) {
    secrets.add("a page code that is none", NO_CODE);
    for (page_code, status) in [(NO_CODE, 422), (token, 422), (page_code, 200), (page_code, 422)] {
        let answer = ground.post(secrets, "/v1/pages/exchange", json!({ "page_code": page_code })).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(status != 200 || answer.body["token"].is_string(), "{answer:?}");
    }
}
