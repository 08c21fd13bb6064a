//! The examples, run as their readers run them, against a `hulak` of each test's own.
#![expect(clippy::unwrap_used, reason = "a test may end where its expectation does")]

mod example;
mod readme;
mod started;

use std::path::Path;
use std::process::Command;

use hulak_testkit::fixtures::wrong;
use hulak_testkit::services::free_port;
use hulak_testkit::services::install::node;
use hulak_testkit_stack::{Answer, eventually};
use reqwest::{Method, redirect};
use serde_json::{Value, json};

use crate::example::{Example, ROOT, claims, python, tampered};
use crate::started::Hulak;

const PHONE: &str = "9812345678";
/// A number with a code that is known beforehand, and without limits.
const TEST_NUMBER: &str = "9800000001";
const TEST_CODE: &str = "123456";
const TEST_NUMBERS: (&str, &str) = ("HULAK_TEST_NUMBERS", "+9779800000001=123456");

fn devanagari(code: &str) -> String {
    code.chars()
        .map(|digit| "०१२३४५६७८९".chars().nth(digit.to_digit(10).unwrap() as usize).unwrap())
        .collect()
}

/// The code of the newest message to a number, as soon as there is one.
async fn code(hulak: &Hulak, phone: &str) -> String {
    eventually("a message", || async {
        let inbox = hulak.inbox().await;
        let to_it = |message: &&Value| message["to"] == phone;
        inbox.as_array()?.iter().find(to_it)?["code"].as_str().map(str::to_owned)
    })
    .await
}

/// Approves a number that has a fixed code, for the application itself: the token.
async fn approval(hulak: &Hulak) -> String {
    let begun = hulak.post("/v1/verifications", json!({ "phone": TEST_NUMBER })).await;
    let check = format!("/v1/verifications/{}/check", begun.id());
    let approved = hulak.post(&check, json!({ "code": TEST_CODE })).await;
    approved.body["token"].as_str().unwrap_or_else(|| panic!("{approved:?}")).to_owned()
}

/// Who the application is: the audience of its tokens.
async fn client_id(hulak: &Hulak) -> String {
    claims(&approval(hulak).await)["aud"].as_str().unwrap().to_owned()
}

/// Walks through a verification on the command line.
async fn walk(interpreter: Command) {
    let directory = tempfile::tempdir().unwrap();
    let hulak = Hulak::start(&directory.path().join("data"), &[]);
    let mut walk = Example::start(interpreter, &["९८१-२३४५६७८"], &hulak, &[]);
    assert_eq!(walk.line("Verifying "), "+9779812345678 (ncell)");
    assert_eq!(walk.line("Message: "), "sent");
    let code = code(&hulak, PHONE).await;
    walk.write(&wrong(&code, 1));
    assert!(walk.line("incorrect-code: ").contains("4 more tries"));
    walk.write("12");
    walk.line("malformed-code: ");
    walk.write("");
    walk.line("resend-cooldown: ");
    walk.write(&devanagari(&code));
    assert_eq!(walk.line("Verified: "), "+9779812345678");
    let application = walk.line("Application: ");
    assert_eq!(claims(&walk.line("Token: "))["aud"], application);
    assert_eq!(walk.end(), (Some(0), String::new()));
    let number = hulak.get(&format!("/v1/phones/{PHONE}")).await.body;
    assert_eq!(number["validated"], true);
}

/// What is said when it does not work out.
async fn refusals(interpreter: impl Fn() -> Command) {
    let directory = tempfile::tempdir().unwrap();
    let hulak = Hulak::start(&directory.path().join("data"), &[TEST_NUMBERS]);
    let (status, words) = Example::start(interpreter(), &["123"], &hulak, &[]).end();
    assert_eq!(status, Some(1));
    assert!(words.starts_with("invalid-phone: "), "{words}");
    let (status, words) =
        Example::start(interpreter(), &[PHONE], &hulak, &[("HULAK_API_KEY", "hk_no_key_that_anybody_knows")])
            .end();
    assert_eq!(status, Some(1));
    assert!(words.starts_with("unauthorized: "), "{words}");
    // The application's id is given, and it is not that of the token.
    let stranger = [("HULAK_CLIENT_ID", "01990000-0000-7000-8000-000000000000")];
    let mut walk = Example::start(interpreter(), &[TEST_NUMBER], &hulak, &stranger);
    walk.line("Message: ");
    walk.write(TEST_CODE);
    let (status, words) = walk.end();
    assert_eq!(status, Some(1), "{words}");
    assert!(words.to_lowercase().contains("audience") || words.contains("another application"), "{words}");
}

fn script(interpreter: &Path, file: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(Path::new(ROOT).join("examples").join(file));
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: needs Node.js and packages from PyPI"]
async fn the_walk_in_node_verifies_a_number() {
    let node = node().await.unwrap();
    walk(script(&node, "node/verify.mjs")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: needs Node.js and packages from PyPI"]
async fn the_walk_in_node_says_what_is_wrong() {
    let node = node().await.unwrap();
    refusals(|| script(&node, "node/verify.mjs")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: needs Node.js and packages from PyPI"]
async fn the_walk_in_python_verifies_a_number() {
    walk(python("verify.py").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: needs Node.js and packages from PyPI"]
async fn the_walk_in_python_says_what_is_wrong() {
    let python = python("verify.py").await;
    refusals(|| example::again(&python)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: needs Node.js and packages from PyPI"]
async fn every_script_parses() {
    let node = node().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    for file in ["browser/app.js", "node/hulak.mjs", "node/server.mjs", "node/verify.mjs"] {
        // The page loads its script as a module, which Node tells by the name.
        let module = directory.path().join("module.mjs");
        std::fs::copy(Path::new(ROOT).join("examples").join(file), &module).unwrap();
        let output = Command::new(&node).arg("--check").arg(&module).output().unwrap();
        assert!(output.status.success(), "{file}: {output:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lines_of_the_guide_work_when_pasted() {
    let directory = tempfile::tempdir().unwrap();
    let hulak = Hulak::start(&directory.path().join("data"), &[]);
    let guide = std::fs::read_to_string(Path::new(ROOT).join("docs/api.md")).unwrap();
    let blocks = guide.split("\n```sh\n").skip(1).map(|rest| rest.split_once("\n```").unwrap().0);
    let lines = blocks.collect::<Vec<_>>().join("\n");
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &lines])
        .env("API", hulak.address("API"))
        .env("INBOX", hulak.address("SMS inbox").replace("/inbox", "/inbox.json"))
        .env("KEY", hulak.key())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for expected in [
        r#"{"status":"approved","token":"#,
        r#""status":"sent""#,
        r#""status":"canceled""#,
        "id: 4\ndata: {",
        r#""purpose":"sign_up""#,
        r#""purpose":"sign_in""#,
    ] {
        assert!(said.contains(expected), "{expected} is missing in {said}");
    }
    // As announced, a resend is too soon; nothing else goes wrong.
    let problems = said.split("/problems/").skip(1).map(|rest| rest.split('"').next().unwrap());
    assert_eq!(problems.collect::<Vec<_>>(), ["resend-cooldown"], "{said}");
}

/// A visitor of an example's backend.
struct Visitor<'a> {
    http: &'a reqwest::Client,
    url: &'a str,
    cookie: String,
}

impl<'a> Visitor<'a> {
    fn new(http: &'a reqwest::Client, url: &'a str) -> Self {
        Self { http, url, cookie: String::new() }
    }

    async fn send(&mut self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        request = request.header("cookie", &self.cookie).header("origin", self.url);
        let answer = Answer::of(body.into_iter().fold(request, |request, body| request.json(&body))).await;
        if let Some(cookie) =
            answer.header("set-cookie").split(';').next().filter(|cookie| !cookie.is_empty())
        {
            self.cookie = cookie.to_owned();
            let (line, always) = (answer.header("set-cookie"), ["HttpOnly", "SameSite=Lax", "Path=/"]);
            assert!(always.iter().all(|attribute| line.contains(attribute)), "{line}");
        }
        answer
    }

    async fn post(&mut self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }
}

fn refused(answer: &Answer, status: u16, problem: &str) {
    assert_eq!((answer.status, &answer.body["problem"]), (status, &json!(problem)), "{answer:?}");
}

async fn wall(hulak: &Hulak) -> (Example, String) {
    let client = client_id(hulak).await;
    let mut wall = Example::start(
        python("sign_in_wall.py").await,
        &[],
        hulak,
        &[("HULAK_CLIENT_ID", &client), ("PORT", "0")],
    );
    let url = wall.line("Listening on ");
    (wall, url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: needs Node.js and packages from PyPI"]
async fn the_wall_lets_in_who_proves_a_number() {
    let directory = tempfile::tempdir().unwrap();
    let hulak = Hulak::start(&directory.path().join("data"), &[TEST_NUMBERS]);
    let (_wall, url) = wall(&hulak).await;
    let mut sita = Visitor::new(&hulak.http, &url);
    refused(&sita.get("/me").await, 401, "not-signed-in");
    refused(&sita.post("/login/code", json!({"code": "123456"})).await, 400, "login-not-begun");
    refused(&sita.post("/login", json!({"phone": "12"})).await, 422, "invalid-phone");

    let begun = sita.post("/login", json!({"phone": PHONE, "username": "sita"})).await;
    assert_eq!(begun.status, 202, "{begun:?}");
    let before = sita.cookie.clone();
    let code = code(&hulak, PHONE).await;
    let no = sita.post("/login/code", json!({ "code": wrong(&code, 1) })).await;
    refused(&no, 422, "incorrect-code");
    assert_eq!(no.body["checks_remaining"], 4);
    refused(&sita.get("/me").await, 401, "not-signed-in");
    let user = sita.post("/login/code", json!({ "code": devanagari(&code) })).await;
    assert_eq!((user.status, &user.body["username"]), (200, &json!("sita")), "{user:?}");
    assert_eq!(user.body["phone"], "+9779812345678");
    assert_eq!(sita.get("/me").await.body, user.body);

    // The cookie from before the proof is worth nothing.
    assert_ne!(sita.cookie, before);
    let mut old = Visitor { cookie: before, ..Visitor::new(&hulak.http, &url) };
    refused(&old.get("/me").await, 401, "not-signed-in");
    refused(&old.post("/login/code", json!({ "code": code })).await, 409, "already-approved");

    // Her number is hers, and the name that somebody else wanted with it is free again.
    let mut other = Visitor::new(&hulak.http, &url);
    refused(&other.post("/login", json!({"phone": PHONE, "username": "gita"})).await, 409, "phone-taken");
    refused(
        &other.post("/login", json!({"phone": TEST_NUMBER, "username": "SITA"})).await,
        409,
        "username-taken",
    );
    assert_eq!(hulak.get("/v1/accounts?username=gita").await.body["data"], json!([]));

    assert_eq!(sita.post("/logout", json!({})).await.status, 200);
    refused(&sita.get("/me").await, 401, "not-signed-in");
    // Nobody is told that a number has no account; no code is right for it.
    assert_eq!(other.post("/login", json!({"phone": "9841000001"})).await.status, 202);
    refused(&other.post("/login/code", json!({"code": "123456"})).await, 422, "incorrect-code");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: needs Node.js and packages from PyPI"]
async fn the_wall_takes_a_token_once_and_from_its_own_visitor() {
    let directory = tempfile::tempdir().unwrap();
    let hulak = Hulak::start(&directory.path().join("data"), &[TEST_NUMBERS]);
    let (_wall, url) = wall(&hulak).await;
    let mut hari = Visitor::new(&hulak.http, &url);
    hari.post("/login", json!({"phone": TEST_NUMBER, "username": "hari"})).await;
    assert_eq!(hari.post("/login/code", json!({"code": TEST_CODE})).await.status, 200);
    assert_eq!(hari.post("/logout", json!({})).await.status, 200);

    // He comes back, and his page checks the code itself.
    let begun = hari.post("/login", json!({ "phone": TEST_NUMBER })).await;
    let check = format!("{}/v1/verifications/{}/check", hulak.address("API"), begun.id());
    let request = hulak.http.post(check).bearer_auth(begun.body["client_token"].as_str().unwrap());
    let approved = Answer::of(request.json(&json!({"code": TEST_CODE}))).await;
    let token = approved.body["token"].as_str().unwrap();

    let mut thief = Visitor::new(&hulak.http, &url);
    thief.post("/login", json!({"phone": PHONE})).await;
    refused(&thief.post("/login/token", json!({ "token": token })).await, 401, "token-of-another");
    for bad in [tampered(token), "a.b.c".to_owned(), token.replace('.', "")] {
        refused(&hari.post("/login/token", json!({ "token": bad })).await, 401, "token-invalid");
    }
    // Proof of a number alone is no sign-in.
    let alone = approval(&hulak).await;
    refused(&hari.post("/login/token", json!({ "token": alone })).await, 401, "token-of-another");

    let cookie = hari.cookie.clone();
    let user = hari.post("/login/token", json!({ "token": token })).await;
    assert_eq!((user.status, &user.body["username"]), (200, &json!("hari")), "{user:?}");
    let mut replay = Visitor { cookie, ..Visitor::new(&hulak.http, &url) };
    refused(&replay.post("/login/token", json!({ "token": token })).await, 401, "token-used");
    let form = hulak.http.post(format!("{url}/login")).header("content-type", "text/plain").body("{}");
    refused(&Answer::of(form).await, 400, "json-only");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: needs Node.js and packages from PyPI"]
async fn the_pages_backend_serves_it_and_believes_a_token_once() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port().unwrap().to_string();
    let page = format!("http://localhost:{port}");
    let settings = [TEST_NUMBERS, ("HULAK_CORS_ORIGINS", &page)];
    let hulak = Hulak::start(&directory.path().join("data"), &settings);
    let (api, client) = (hulak.address("API"), client_id(&hulak).await);
    let server = script(&node().await.unwrap(), "node/server.mjs");
    let mut server = Example::start(server, &[], &hulak, &[("HULAK_CLIENT_ID", &client), ("PORT", &port)]);
    assert_eq!(server.line("Listening on "), page);
    serves_the_page(&page, &port, &api).await;

    let mut visitor = Visitor::new(&hulak.http, &page);
    assert_eq!(visitor.get("/session").await.problem(), "unauthorized");
    let bad = visitor.post("/verifications", json!({"phone": "12"})).await;
    assert_eq!((bad.status, bad.problem()), (422, "invalid-phone"), "{bad:?}");
    let begun = visitor.post("/verifications", json!({ "phone": PHONE })).await;
    assert_eq!((begun.status, &begun.body["api"]), (202, &json!(api)), "{begun:?}");
    assert!(!format!("{begun:?}").contains("hk_"), "the key stays here");
    let verification = begun.body["verification"]["id"].as_str().unwrap();
    let url = format!("{api}/v1/verifications/{verification}/check");

    // As the browser: asks first whether its page may, then checks with the client token.
    let asking = hulak.http.request(Method::OPTIONS, &url).header("origin", &page);
    let asking = asking
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    assert_eq!(Answer::of(asking).await.header("access-control-allow-origin"), page);
    let check = |code: String| {
        let request = hulak.http.post(&url).header("origin", &page);
        Answer::of(
            request.bearer_auth(begun.body["client_token"].as_str().unwrap()).json(&json!({ "code": code })),
        )
    };
    let code = code(&hulak, PHONE).await;
    assert_eq!(check(wrong(&code, 1)).await.problem(), "incorrect-code");
    let approved = check(code).await;
    let token = approved.body["token"].as_str().unwrap();

    let mut thief = Visitor::new(&hulak.http, &page);
    for _ in ["without a verification", "with another one"] {
        let answer = thief.post("/session", json!({ "token": token })).await;
        assert_eq!((answer.status, answer.problem()), (401, "token-refused"), "{answer:?}");
        thief.post("/verifications", json!({ "phone": TEST_NUMBER })).await;
    }
    let alone = approval(&hulak).await;
    for bad in [json!(tampered(token)), json!("a.b.c"), json!(alone), Value::Null] {
        let answer = visitor.post("/session", json!({ "token": bad })).await;
        assert_eq!((answer.status, answer.problem()), (401, "token-refused"), "{answer:?}");
    }
    let cookie = visitor.cookie.clone();
    let user = visitor.post("/session", json!({ "token": token })).await;
    assert_eq!((user.status, &user.body), (200, &json!({"phone": "+9779812345678"})), "{user:?}");
    assert_eq!(visitor.get("/session").await.body, user.body);
    let mut replay = Visitor { cookie, ..Visitor::new(&hulak.http, &page) };
    let answer = replay.post("/session", json!({ "token": token })).await;
    assert_eq!((answer.status, answer.problem()), (401, "token-refused"), "{answer:?}");
    assert!(answer.body["detail"].as_str().unwrap().contains("used already"), "{answer:?}");
    let stranger = hulak.http.post(format!("{page}/verifications")).header("origin", "https://evil.example");
    assert_eq!(Answer::of(stranger.json(&json!({ "phone": PHONE }))).await.status, 403);
}

async fn serves_the_page(page: &str, port: &str, api: &str) {
    let http = reqwest::Client::builder().redirect(redirect::Policy::none()).build().unwrap();
    for (path, kind) in [("/", "text/html"), ("/app.js", "text/javascript"), ("/style.css", "text/css")] {
        let answer = Answer::of(http.get(format!("{page}{path}"))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), format!("{kind}; charset=utf-8"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let policy = answer.header("content-security-policy");
        for part in ["default-src 'none'", "script-src 'self'", &format!("connect-src 'self' {api}")] {
            assert!(policy.split("; ").any(|given| given == part), "{part} is missing in {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    }
    for path in ["/nothing", "/index.html/../../node/server.mjs", "/../node/server.mjs", "/constructor"] {
        assert_eq!(Answer::of(http.get(format!("{page}{path}"))).await.status, 404, "{path}");
    }
    let elsewhere = Answer::of(http.get(format!("http://127.0.0.1:{port}/"))).await;
    assert_eq!((elsewhere.status, elsewhere.header("location")), (307, &format!("{page}/")[..]));
}
