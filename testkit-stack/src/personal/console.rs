//! The operator console, as a browser uses it, and the operator calls.

use reqwest::{Client, Method, RequestBuilder, Response, redirect};
use serde_json::{Value, json};

use super::{DEVANAGARI, Ground, NUMBERS, Secrets};
use hulak_testkit::answer::Answer;

const NO_KEY: &str = "ho_nobody-has-such-a-key-at-all-0001";
const NO_COOKIE: &str = "nobody-has-such-a-session-at-all-0001";

/// A browser before it is signed in, and after.
struct Browser<'a> {
    ground: &'a Ground,
    http: Client,
    cookie: String,
}

impl Browser<'_> {
    fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.ground.admin)).header("cookie", &self.cookie)
    }

    async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.http.post(format!("{}{path}", self.ground.admin)).header("cookie", &self.cookie);
        let request = request
            .header("origin", &self.ground.admin)
            .header("content-type", "application/x-www-form-urlencoded");
        request.body(body).send().await.expect("an answer")
    }

    /// An operator call with a key.
    async fn call(&self, key: &str, method: Method, path: &str, body: &Value) -> Answer {
        let request = self.http.request(method, format!("{}{path}", self.ground.admin)).bearer_auth(key);
        Answer::of(if body.is_null() { request } else { request.json(body) }).await
    }
}

pub(super) async fn walk(ground: &Ground, secrets: &mut Secrets) {
    secrets.add("the operator's key", &ground.operator_key);
    secrets.add("a wrong operator's key", NO_KEY);
    secrets.add("a cookie that is none", NO_COOKIE);
    let http = Client::builder().redirect(redirect::Policy::none()).build().expect("a client");
    let mut browser = Browser { ground, http, cookie: format!("hulak_session={NO_COOKIE}") };
    signed_in(&mut browser, secrets).await;
    looked_up(&browser).await;
    blocked(&browser).await;
    strayed(&browser).await;
    calls(&browser).await;
    let out = browser.form("/console/sign-out", &[]).await;
    assert_eq!(out.status(), 303);
    assert_eq!(Answer::of(browser.get("/console/live")).await.status, 401);
}

/// With nothing, with keys that are none, and with the operator's.
async fn signed_in(browser: &mut Browser<'_>, secrets: &mut Secrets) {
    assert_eq!(Answer::of(browser.get("/console")).await.status, 200);
    assert_eq!(Answer::of(browser.get("/console/live")).await.status, 401);
    let (key, client) = (browser.ground.operator_key.clone(), browser.ground.key.clone());
    for (key, status) in [(NO_KEY, 401), (client.as_str(), 401), (NUMBERS[0], 401), (&key, 303)] {
        let answer = browser.form("/console/sign-in", &[("key", key)]).await;
        assert_eq!(answer.status(), status, "{answer:?}");
        if status == 303 {
            let set = answer.headers()["set-cookie"].to_str().expect("a cookie");
            let (cookie, _) = set.split_once(';').expect("a cookie's attributes");
            let (_, value) = cookie.split_once('=').expect("a cookie's value");
            secrets.add("the session's cookie", value);
            cookie.clone_into(&mut browser.cookie);
        }
    }
    for path in
        ["/console", "/console/live?range=day", "/console/record", "/console/dead", "/console/bill.csv"]
    {
        assert_eq!(Answer::of(browser.get(path)).await.status, 200, "{path}");
    }
}

/// A number in every spelling, and a verification of it.
async fn looked_up(browser: &Browser<'_>) {
    let phone = NUMBERS[7];
    let nepali: String = phone.bytes().map(|digit| DEVANAGARI[usize::from(digit - b'0')]).collect();
    for spelling in [phone, &nepali, &format!("+977 {}-{}", &phone[..3], &phone[3..])] {
        let found = browser.form("/console/find", &[("q", spelling)]).await;
        assert_eq!(found.status(), 200);
        let page = found.text().await.expect("a page");
        assert!(page.contains(phone), "{page}");
    }
    let found = browser.form("/console/find", &[("q", &format!("{phone}0"))]).await;
    assert_eq!(found.status(), 422);
    let found = browser.ground.request(Method::GET, &format!("/v1/verifications?phone={phone}"));
    let id = Answer::of(found).await.body["data"][0]["id"].as_str().expect("an id").to_owned();
    for (path, status) in
        [(format!("/console/verifications/{id}"), 200), (format!("/console/verifications/{phone}"), 400)]
    {
        assert_eq!(Answer::of(browser.get(&path)).await.status, status, "{path}");
    }
}

/// Blocks with the number in the reason, too; and a pause that names one.
async fn blocked(browser: &Browser<'_>) {
    let phone = NUMBERS[7];
    let why = format!("called from {phone}");
    for (path, fields, status) in [
        ("/console/block", &[("phone", phone), ("for", "day"), ("reason", &why)][..], 200),
        ("/console/unblock", &[("phone", phone)], 200),
        ("/console/block", &[("phone", "12"), ("reason", &why)], 422),
        ("/console/pause", &[("reason", &why)], 303),
        ("/console/resume", &[], 303),
        ("/console/purge", &[], 303),
    ] {
        assert_eq!(browser.form(path, fields).await.status(), status, "{path}");
    }
    assert_eq!(Answer::of(browser.get("/console/record")).await.status, 200);
}

/// Secrets where none belong: in addresses, in fields, from another site's page.
async fn strayed(browser: &Browser<'_>) {
    let (phone, key) = (NUMBERS[7], &browser.ground.operator_key);
    for path in [
        format!("/console?key={key}"),
        format!("/console/find?q={phone}"),
        format!("/console/{key}"),
        format!("/operator/record?before={phone}"),
        format!("/operator/{phone}?key={key}"),
    ] {
        let status = Answer::of(browser.get(&path)).await.status;
        assert!(status == 200 || (400..=422).contains(&status), "{path}: {status}");
    }
    let foreign = browser.http.post(format!("{}/console/block", browser.ground.admin));
    let foreign =
        foreign.header("cookie", &browser.cookie).header("origin", format!("http://{phone}.example"));
    assert_eq!(Answer::of(foreign.body(format!("phone={phone}"))).await.status, 403);
}

async fn calls(browser: &Browser<'_>) {
    let (phone, key) = (NUMBERS[7], browser.ground.operator_key.as_str());
    let why = format!("called from {phone}");
    for (key, method, path, body, status) in [
        (NO_KEY, Method::GET, "/operator/status", Value::Null, 401),
        (browser.ground.key.as_str(), Method::GET, "/operator/status", Value::Null, 403),
        (key, Method::GET, "/operator/status", Value::Null, 200),
        (key, Method::POST, "/operator/search", json!({ "q": phone }), 200),
        (key, Method::POST, "/operator/search", json!({ "q": format!("{phone}0") }), 422),
        (key, Method::POST, "/operator/search", json!({ phone: phone }), 422),
        (key, Method::PUT, "/operator/block", json!({ "phone": phone, "reason": why }), 204),
        (key, Method::DELETE, "/operator/block", json!({ "phone": phone }), 204),
        (key, Method::GET, "/operator/record", Value::Null, 200),
        (key, Method::GET, "/operator/dead", Value::Null, 200),
    ] {
        let answer = browser.call(key, method, path, &body).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
}
