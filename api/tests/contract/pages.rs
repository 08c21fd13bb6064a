//! Hosted pages: made with a key, used by a browser, exchanged with the key.

use std::time::Duration;

use hulak_api::config::HostedPages;
use hulak_common::api_key::ApiKey;
use hulak_common::client::{Change, SettingsChange};
use hulak_common::hosted_page::{CODE_LIFE, LIFE};
use hulak_common::rate_limit::Quota;
use hulak_common::rules::Quotas;
use hulak_testkit_stack::{Answer, Shape, Stack, StackOptions};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::*;

both_shapes!(
    a_page_leads_from_a_number_to_an_approval,
    a_page_is_made_for_a_listed_address_only,
    a_page_asks_for_three_codes_and_no_more,
    what_sends_nothing_costs_nothing,
    a_page_ends_after_15_minutes_but_its_code_does_not,
    a_page_that_is_loaded_again_goes_on,
    each_credential_keeps_to_its_own_calls,
    a_page_is_its_own_browsers_alone,
    the_same_request_twice_is_one,
    an_exchange_ends_and_is_the_clients_own,
    a_page_counts_by_the_browsers_address,
    a_page_signs_in_and_tells_strangers_nothing,
    where_pages_are_off_there_are_none,
    a_demonstration_leads_nowhere,
    the_document_is_a_page_of_ours,
);

const INBOX: &str = "http://localhost:8081/inbox";
const BACK: &str = "https://shop.example/verified?from=hulak";

/// Lets a client send browsers back to [`BACK`].
async fn may_come_back(stack: &Stack, client: &str) {
    let redirect_uris = Change::To(vec![BACK.parse().unwrap()]);
    let change = SettingsChange { redirect_uris, ..SettingsChange::default() };
    assert!(stack.store.change_client(client, &change).await.unwrap().is_some());
}

async fn with_pages(stack: Stack) -> Stack {
    may_come_back(&stack, "default").await;
    stack
}

fn page(more: Value) -> Value {
    let mut body = json!({"purpose": "verify", "redirect_uri": BACK, "state": "a b&c"});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// The token of a page that was made.
fn token(made: &Answer) -> String {
    assert_eq!(made.status, 201, "{made:?}");
    let (address, token) = made.body["url"].as_str().unwrap().split_once('#').unwrap();
    assert!(address.ends_with("/verify"), "{address}");
    token.to_owned()
}

async fn make(stack: &Stack, more: Value) -> String {
    token(&stack.post("/v1/pages", page(more)).await)
}

/// As the page calls.
async fn on_page(stack: &Stack, token: &str, path: &str, body: Value) -> Answer {
    call(stack, token, Method::POST, &format!("/v1/page{path}"), Some(body)).await
}

async fn look(stack: &Stack, token: &str) -> Answer {
    call(stack, token, Method::GET, "/v1/page", None).await
}

/// Asks for a code on a page, and waits for its message.
async fn begun(stack: &Stack, token: &str, phone: &str) -> (String, String, String) {
    let begun = on_page(stack, token, "/verifications", json!({ "phone": phone })).await;
    assert_eq!(begun.status, 202, "{begun:?}");
    let id = begun.body["verification"]["id"].as_str().unwrap().to_owned();
    sent(stack, &id).await;
    (id, begun.body["client_token"].as_str().unwrap().to_owned(), stack.code(phone))
}

async fn checked(stack: &Stack, token: &str, id: &str, code: &str) -> Answer {
    on_page(stack, token, "/check", json!({"verification": id, "code": code})).await
}

/// What the browser brings back.
fn brought(approved: &Answer) -> String {
    assert_eq!((approved.status, &approved.body["status"]), (200, &json!("approved")), "{approved:?}");
    let redirect = url::Url::parse(approved.body["redirect"].as_str().unwrap()).unwrap();
    let pairs: Vec<_> = redirect.query_pairs().into_owned().collect();
    assert_eq!(pairs[0], ("from".to_owned(), "hulak".to_owned()));
    assert_eq!(pairs[2], ("state".to_owned(), "a b&c".to_owned()));
    assert_eq!((pairs.len(), pairs[1].0.as_str()), (3, "page_code"));
    pairs[1].1.clone()
}

async fn swap(stack: &Stack, code: &str) -> Answer {
    stack.post("/v1/pages/exchange", json!({ "page_code": code })).await
}

async fn a_page_leads_from_a_number_to_an_approval(shape: Shape) {
    let stack = with_pages(start(shape).await).await;
    let token = make(&stack, json!({"locale": "ne"})).await;
    let fresh = look(&stack, &token).await;
    assert_eq!((fresh.status, fresh.header("cache-control")), (200, "no-store"), "{fresh:?}");
    for (name, value) in [
        ("app_name", json!("Hulak")),
        ("purpose", json!("verify")),
        ("locale", json!("ne")),
        ("demonstration", json!(false)),
        ("inbox", Value::Null),
        ("creates_left", json!(3)),
        ("begun", Value::Null),
    ] {
        assert_eq!(fresh.body[name], value, "{name}");
    }
    let begun = on_page(&stack, &token, "/verifications", json!({"phone": "९८१-२३४५६७८"})).await;
    assert_eq!(begun.status, 202, "{begun:?}");
    assert_eq!(begun.body["verification"]["phone"], "+97798•••••678");
    assert_eq!(begun.body["code_length"], 6);
    let id = begun.body["verification"]["id"].as_str().unwrap();
    let follows = begun.body["client_token"].as_str().unwrap();
    sent(&stack, id).await;
    assert!(stack.sandbox.latest_to(PHONE).unwrap().text.contains("कोड"), "in the page's language");
    let seen = call(&stack, follows, Method::GET, &format!("{VERIFICATIONS}/{id}"), None).await;
    assert_eq!(seen.body["delivery"]["status"], "sent");
    let code = stack.code(PHONE);
    let refused = checked(&stack, &token, id, &wrong(&code, 1)).await;
    assert_problem(&refused, 422, "incorrect-code");
    assert_eq!(refused.body["checks_remaining"], 4);
    assert_problem(&checked(&stack, &token, id, "12").await, 422, "malformed-code");
    let approved = checked(&stack, &token, id, &code).await;
    assert!(!format!("{approved:?}").contains(".eyJ"), "the approval token stays here: {approved:?}");
    let page_code = brought(&approved);
    let validated = async || stack.get(&format!("/v1/phones/{PHONE}")).await.body["validated"].clone();
    assert_eq!(validated().await, false, "nobody has compared the state yet");
    let exchanged = swap(&stack, &page_code).await;
    assert_eq!(validated().await, true);
    assert_eq!((exchanged.status, &exchanged.body["status"]), (200, &json!("approved")), "{exchanged:?}");
    assert_eq!(exchanged.body["verification"]["phone"], PHONE);
    assert_eq!(exchanged.body["token"].as_str().unwrap().split('.').count(), 3);
    assert_problem(&swap(&stack, &page_code).await, 422, "invalid-page-code");
    assert_problem(&checked(&stack, &token, id, &code).await, 409, "already-approved");
    stack.stop().await;
}

async fn a_page_is_made_for_a_listed_address_only(shape: Shape) {
    let stack = with_pages(start(shape).await).await;
    for (more, field) in [
        (json!({"redirect_uri": "https://shop.example/verified"}), "redirect_uri"),
        (json!({"redirect_uri": format!("{BACK}&x=1")}), "redirect_uri"),
        (json!({"redirect_uri": "javascript:alert(1)"}), "redirect_uri"),
        (json!({"purpose": "both"}), "purpose"),
        (json!({"state": "x".repeat(513)}), "state"),
        (json!({"state": "a\nb"}), "state"),
        (json!({"locale": "fr"}), "locale"),
        (json!({"account_id": "1"}), "account_id"),
        (json!({"account_id": "01990000-0000-7000-8000-000000000009"}), "account_id"),
        (json!({"phone": PHONE}), "phone"),
    ] {
        let refused = stack.post("/v1/pages", page(more)).await;
        assert_problem(&refused, 422, "invalid-request");
        assert_eq!(fields(&refused), [field]);
    }
    let made = stack.post("/v1/pages", page(json!({"state": ""}))).await;
    assert!(token(&made).starts_with("pt_"));
    // Settings of one client are none of another's.
    let other = another_client(&stack, "other").await;
    let refused = call(&stack, other.expose(), Method::POST, "/v1/pages", Some(page(json!({})))).await;
    assert_eq!(fields(&refused), ["redirect_uri"]);
    stack.stop().await;
}

async fn a_page_asks_for_three_codes_and_no_more(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let stack = with_pages(stack).await;
    let token = make(&stack, json!({})).await;
    for (n, left) in [(1, 2), (2, 1), (3, 0)] {
        begun(&stack, &token, &format!("984000000{n}")).await;
        assert_eq!(look(&stack, &token).await.body["creates_left"], left);
    }
    let another = json!({"phone": "9840000004"});
    assert_problem(&on_page(&stack, &token, "/verifications", another.clone()).await, 410, "page-used-up");
    // What was begun last is found again, by a second click.
    let again = on_page(&stack, &token, "/verifications", json!({"phone": "9840000003"})).await;
    assert_eq!(again.status, 200, "{again:?}");
    clock.advance(LIFE);
    assert_problem(&on_page(&stack, &token, "/verifications", another).await, 410, "page-expired");
    stack.stop().await;
}

async fn what_sends_nothing_costs_nothing(shape: Shape) {
    let (stack, _clock) = frozen(shape).await;
    let stack = with_pages(stack).await;
    let token = make(&stack, json!({})).await;
    for (phone, status, slug) in [("123", 422, "invalid-phone"), ("9512345678", 422, "unsupported-phone")] {
        assert_problem(
            &on_page(&stack, &token, "/verifications", json!({ "phone": phone })).await,
            status,
            slug,
        );
    }
    let path = format!("/v1/phones/{OTHER_PHONE}/block");
    assert_eq!(call(&stack, stack.key.expose(), Method::PUT, &path, Some(json!({}))).await.status, 200);
    let blocked = on_page(&stack, &token, "/verifications", json!({"phone": OTHER_PHONE})).await;
    assert_problem(&blocked, 403, "phone-blocked");
    let first = on_page(&stack, &token, "/verifications", json!({"phone": PHONE})).await;
    assert_eq!(first.status, 202, "{first:?}");
    // A double click finds the live one.
    let again = on_page(&stack, &token, "/verifications", json!({"phone": PHONE})).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(again.body["verification"]["id"], first.body["verification"]["id"]);
    // Another number's limit.
    begin(&stack, json!({"phone": "9860000001"})).await;
    let limited = on_page(&stack, &token, "/verifications", json!({"phone": "9860000001"})).await;
    assert_problem(&limited, 429, "rate-limited");
    assert_eq!(look(&stack, &token).await.body["creates_left"], 2);
    stack.stop().await;
}

async fn a_page_ends_after_15_minutes_but_its_code_does_not(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let stack = with_pages(stack).await;
    let (idle, token) = (make(&stack, json!({})).await, make(&stack, json!({})).await);
    clock.advance(LIFE - SECOND);
    assert_eq!(look(&stack, &idle).await.status, 200);
    let (id, _, code) = begun(&stack, &token, PHONE).await;
    clock.advance(SECOND);
    assert_problem(&look(&stack, &idle).await, 410, "page-expired");
    let late = on_page(&stack, &token, "/verifications", json!({"phone": OTHER_PHONE})).await;
    assert_problem(&late, 410, "page-expired");
    assert_eq!(look(&stack, &token).await.status, 200, "its code is still good");
    brought(&checked(&stack, &token, &id, &code).await);
    assert_problem(&look(&stack, &token).await, 410, "page-expired");
    stack.stop().await;
}

async fn a_page_that_is_loaded_again_goes_on(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let stack = with_pages(stack).await;
    let token = make(&stack, json!({})).await;
    let (id, follows, code) = begun(&stack, &token, PHONE).await;
    let again = look(&stack, &token).await;
    assert_eq!(again.body["begun"]["verification"]["id"], id, "{again:?}");
    assert_eq!(again.body["begun"]["client_token"], follows);
    // A resend by the client token is none of the page's codes.
    clock.advance(COOLDOWN);
    let path = format!("{VERIFICATIONS}/{id}/resend");
    assert_eq!(call(&stack, &follows, Method::POST, &path, None).await.status, 202);
    assert_eq!(look(&stack, &token).await.body["creates_left"], 2);
    brought(&checked(&stack, &token, &id, &code).await);
    assert_eq!(look(&stack, &token).await.body["begun"], Value::Null);
    stack.stop().await;
}

async fn each_credential_keeps_to_its_own_calls(shape: Shape) {
    let stack = with_pages(start(shape).await).await;
    let token = make(&stack, json!({})).await;
    let (id, follows, _) = begun(&stack, &token, PHONE).await;
    let key = stack.key.expose();
    for credential in [key, &follows] {
        assert_problem(&look(&stack, credential).await, 403, "forbidden");
    }
    for (method, path) in [
        (Method::GET, format!("{VERIFICATIONS}/{id}")),
        (Method::POST, format!("{VERIFICATIONS}/{id}/resend")),
        (Method::GET, VERIFICATIONS.to_owned()),
    ] {
        assert_problem(&call(&stack, &token, method, &path, None).await, 403, "forbidden");
    }
    let made = call(&stack, &token, Method::POST, "/v1/pages", Some(page(json!({})))).await;
    assert_problem(&made, 403, "forbidden");
    for bad in ["", "pt_", "pt_AAAA", &format!("{token}A"), &token.replacen("pt_", "pc_", 1)] {
        assert_problem(&look(&stack, bad).await, 401, "unauthorized");
    }
    stack.stop().await;
}

async fn a_page_is_its_own_browsers_alone(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let stack = with_pages(stack).await;
    let mine = make(&stack, json!({})).await;
    let (id, _, code) = begun(&stack, &mine, PHONE).await;
    clock.advance(COOLDOWN);
    // The same number on another page is another verification, with another code.
    let thiefs = make(&stack, json!({})).await;
    let (other, _, _) = begun(&stack, &thiefs, PHONE).await;
    assert_ne!(id, other);
    assert_problem(&checked(&stack, &thiefs, &id, &code).await, 404, "not-found");
    let unknown = "01990000-0000-7000-8000-000000000009";
    assert_problem(&checked(&stack, &thiefs, unknown, &code).await, 404, "not-found");
    let plain = begin(&stack, json!({"phone": OTHER_PHONE})).await.id();
    assert_problem(&checked(&stack, &thiefs, &plain, &code).await, 404, "not-found");
    brought(&checked(&stack, &mine, &id, &code).await);
    stack.stop().await;
}

async fn once(stack: &Stack, credential: &str, path: &str, key: &str, body: Value) -> Answer {
    let request = stack.http.post(format!("{}{path}", stack.apis[0].url)).bearer_auth(credential);
    Answer::of(request.header("idempotency-key", key).json(&body)).await
}

async fn the_same_request_twice_is_one(shape: Shape) {
    let stack = with_pages(start(shape).await).await;
    let key = stack.key.expose();
    let made = once(&stack, key, "/v1/pages", "k1", page(json!({}))).await;
    let again = once(&stack, key, "/v1/pages", "k1", page(json!({}))).await;
    assert_eq!((made.body.clone(), again.header("idempotency-replayed")), (again.body.clone(), "true"));
    let reused = once(&stack, key, "/v1/pages", "k1", page(json!({"state": "z"}))).await;
    assert_problem(&reused, 422, "idempotency-key-reused");

    let token = token(&made);
    let number = json!({"phone": PHONE});
    let first = once(&stack, &token, "/v1/page/verifications", "k2", number.clone()).await;
    let second = once(&stack, &token, "/v1/page/verifications", "k2", number).await;
    assert_eq!((first.status, second.status), (202, 202), "{second:?}");
    assert_eq!(first.body["verification"]["id"], second.body["verification"]["id"]);
    assert_eq!(look(&stack, &token).await.body["creates_left"], 2);

    let id = first.body["verification"]["id"].as_str().unwrap();
    sent(&stack, id).await;
    let right = json!({"verification": id, "code": stack.code(PHONE)});
    let approved = once(&stack, &token, "/v1/page/check", "k3", right.clone()).await;
    let page_code = brought(&approved);
    assert_eq!(brought(&once(&stack, &token, "/v1/page/check", "k3", right).await), page_code);

    let body = json!({ "page_code": page_code });
    let swapped = once(&stack, key, "/v1/pages/exchange", "k4", body.clone()).await;
    let again = once(&stack, key, "/v1/pages/exchange", "k4", body.clone()).await;
    assert_eq!((swapped.status, again.status), (200, 200), "{again:?}");
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(swapped.body, again.body, "the same token, with the same times");
    let late = once(&stack, key, "/v1/pages/exchange", "k5", body).await;
    assert_problem(&late, 422, "invalid-page-code");
    stack.stop().await;
}

async fn an_exchange_ends_and_is_the_clients_own(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let stack = with_pages(stack).await;
    let other: ApiKey = another_client(&stack, "other").await;
    let token = make(&stack, json!({})).await;
    let (id, _, code) = begun(&stack, &token, PHONE).await;
    let page_code = brought(&checked(&stack, &token, &id, &code).await);
    let body = json!({ "page_code": page_code });
    let stolen = call(&stack, other.expose(), Method::POST, "/v1/pages/exchange", Some(body)).await;
    assert_problem(&stolen, 422, "invalid-page-code");
    for bad in ["", "pc_", &token, &format!("{page_code}A")] {
        assert_problem(&swap(&stack, bad).await, 422, "invalid-page-code");
    }
    clock.advance(CODE_LIFE);
    assert_problem(&swap(&stack, &page_code).await, 422, "invalid-page-code");
    stack.stop().await;
}

async fn a_page_counts_by_the_browsers_address(shape: Shape) {
    let mut options = StackOptions::new(shape);
    options.rules.quotas = Quotas { client: None, address: Some(Quota::address(2)) };
    let (stack, _clock) = frozen_with(options).await;
    let stack = with_pages(stack).await;
    for n in 0..2 {
        let token = make(&stack, json!({})).await;
        begun(&stack, &token, &format!("984000000{n}")).await;
    }
    let token = make(&stack, json!({})).await;
    let refused = on_page(&stack, &token, "/verifications", json!({"phone": PHONE})).await;
    assert_eq!(
        (refused.problem(), &refused.body["policy"]),
        ("rate-limited", &json!("address")),
        "{refused:?}"
    );
    stack.stop().await;
}

/// What an answer says apart from what is every page's own.
fn likeness(answer: &Answer) -> (u16, Value) {
    let mut body = answer.body.clone();
    let own = ["id", "phone", "operator"];
    for name in own {
        if let Some(object) = body["verification"].as_object_mut() {
            object.remove(name);
        }
    }
    if let Some(object) = body.as_object_mut() {
        object.remove("client_token");
    }
    (answer.status, body)
}

async fn a_page_signs_in_and_tells_strangers_nothing(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let stack = with_pages(stack).await;
    let account = stack.post("/v1/accounts", json!({"username": "sita"})).await;
    let id = account.id();
    // Signed up on a page.
    let token = make(&stack, json!({"purpose": "sign_up", "account_id": id})).await;
    let (verification, _, code) = begun(&stack, &token, PHONE).await;
    let swapped = swap(&stack, &brought(&checked(&stack, &token, &verification, &code).await)).await;
    assert_eq!(swapped.status, 200, "{swapped:?}");
    // A stranger with the same past.
    let past = begin(&stack, json!({"phone": OTHER_PHONE})).await.id();
    sent(&stack, &past).await;
    clock.advance(Duration::from_secs(3_700));

    let mut seen = Vec::new();
    for phone in [PHONE, OTHER_PHONE] {
        let token = make(&stack, json!({"purpose": "sign_in"})).await;
        let begun = on_page(&stack, &token, "/verifications", json!({ "phone": phone })).await;
        let id = begun.body["verification"]["id"].as_str().unwrap().to_owned();
        sent(&stack, &id).await;
        let guess = wrong(&stack.code(PHONE), if phone == PHONE { 1 } else { 0 });
        let refused = checked(&stack, &token, &id, &guess).await;
        seen.push((likeness(&begun), refused.status, refused.body["checks_remaining"].clone()));
        if phone == PHONE {
            let approved = checked(&stack, &token, &id, &stack.code(PHONE)).await;
            let swapped = swap(&stack, &brought(&approved)).await;
            assert_eq!(swapped.status, 200, "{swapped:?}");
        }
    }
    assert_eq!(seen[0], seen[1]);
    stack.stop().await;
}

async fn where_pages_are_off_there_are_none(shape: Shape) {
    let options = StackOptions { hosted: HostedPages::Off, ..StackOptions::new(shape) };
    let stack = with_pages(Box::pin(Stack::start(options)).await).await;
    assert_problem(&stack.post("/v1/pages", page(json!({}))).await, 404, "not-found");
    assert_problem(&swap(&stack, "pc_x").await, 404, "not-found");
    for path in ["/verify", "/assets/hulak.css", "/v1/page"] {
        assert_problem(&stack.get(path).await, 404, "not-found");
    }
    assert_problem(&on_page(&stack, "pt_x", "/demonstration", json!({})).await, 404, "not-found");
    stack.stop().await;
}

async fn a_demonstration_leads_nowhere(shape: Shape) {
    let stack = start(shape).await;
    assert_problem(&on_page(&stack, "", "/demonstration", json!({})).await, 404, "not-found");
    stack.stop().await;
    let options = StackOptions {
        hosted: HostedPages::Demonstration { inbox: INBOX.to_owned() },
        ..StackOptions::new(shape)
    };
    let stack = Box::pin(Stack::start(options)).await;
    let made = on_page(&stack, "", "/demonstration", json!({})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let token = made.body["token"].as_str().unwrap();
    let seen = look(&stack, token).await.body;
    assert_eq!((&seen["demonstration"], &seen["inbox"]), (&json!(true), &json!(INBOX)));
    let (id, _, code) = begun(&stack, token, PHONE).await;
    let approved = checked(&stack, token, &id, &code).await;
    assert_eq!((approved.status, &approved.body["redirect"]), (200, &Value::Null), "{approved:?}");
    let url = format!("{}/v1/page/demonstration", stack.apis[0].url);
    let strange = stack.http.post(url).header("host", "evil.example").json(&json!({}));
    assert_problem(&Answer::of(strange).await, 421, "misdirected");
    stack.stop().await;
}

async fn the_document_is_a_page_of_ours(shape: Shape) {
    let stack = start(shape).await;
    let open = async |path: &str, host: &str, language: &str| {
        let request = stack.http.get(format!("{}{path}", stack.apis[0].url));
        request.header("host", host).header("accept-language", language).send().await.unwrap()
    };
    for (language, heading) in [("en", "Verify your phone number"), ("ne-NP", "प्रमाणित गर्नुहोस्</h1>")]
    {
        let response = open("/verify", "localhost", language).await;
        assert_eq!(response.status(), 200);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("content-security-policy"), hulak_runtime::html::POLICY);
        let page = response.text().await.unwrap();
        assert!(
            page.contains(heading) && page.contains(&format!("<html lang=\"{}\"", &language[..2])),
            "{page}"
        );
        let files = page.split("\"/assets/").skip(1).map(|rest| rest.split('"').next().unwrap());
        for file in files {
            let response = open(&format!("/assets/{file}"), "127.0.0.1", "").await;
            assert_eq!(response.status(), 200, "{file}");
            assert!(response.headers()["cache-control"].to_str().unwrap().contains("immutable"), "{file}");
        }
    }
    for path in ["/verify", "/assets/verify.js"] {
        assert_eq!(open(path, "evil.example", "").await.status(), 421, "{path}");
    }
    assert_eq!(open("/assets/words.json", "localhost", "").await.status(), 404);
    stack.stop().await;
}
