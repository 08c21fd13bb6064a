//! The operator console and the operator calls on the admin address.

use hulak_common::api_key::{ApiKey, OPERATOR_PREFIX};
use hulak_common::audit::Act;
use hulak_common::rng::Rng;
use hulak_testkit_stack::{Answer, Faults, Shape, Stack, eventually};
use reqwest::{Method, RequestBuilder, redirect};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::*;

both_shapes!(
    only_operators_are_let_in,
    a_session_begins_and_ends,
    a_revoked_key_ends_its_sessions,
    a_page_of_another_site_can_do_nothing,
    wrong_keys_are_bounded,
    half_sent_forms_silence_nothing,
    an_outage_of_the_gateway_is_seen_while_messages_are_retried,
    a_pause_holds_until_an_operator_resumes,
    a_number_is_blocked_for_all_clients,
    a_failed_verification_is_found_by_its_number,
    the_usage_counts_messages_and_parts,
    dead_letters_are_shown_and_deleted,
    every_action_is_in_the_audit_log,
    pages_run_no_foreign_script,
);

/// A stack with an operator, and a client that follows no redirect.
struct Console {
    stack: Stack,
    key: ApiKey,
    http: reqwest::Client,
}

impl Console {
    async fn open(shape: Shape) -> Self {
        let stack = start(shape).await;
        let rng = Rng::system();
        let key = ApiKey::generate(OPERATOR_PREFIX, &rng);
        let now = machine_time();
        stack.store.install_key(&key.to_store("staff"), rng.uuid_v7(now), now).await.unwrap();
        let http = reqwest::Client::builder().redirect(redirect::Policy::none()).build().unwrap();
        Self { stack, key, http }
    }

    fn admin(&self) -> &str {
        &self.stack.apis[0].admin
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.admin()))
    }

    /// An operator call with the key.
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = self.request(method, path).bearer_auth(self.key.expose());
        Answer::of(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.call(Method::GET, path, None).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    /// A form as one of our pages sends it.
    fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.request(Method::POST, path)
            .header("origin", self.admin())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
    }

    /// The cookie of a session, as the browser sends it back.
    async fn sign_in(&self) -> String {
        let answer = Answer::of(self.form("/console/sign-in", &[("key", self.key.expose())])).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/console"), "{answer:?}");
        let cookie = answer.header("set-cookie");
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200"), "{cookie}");
        assert!(!cookie.contains(&self.key.expose()[3..]), "the key itself stays out of the browser");
        cookie.split(';').next().unwrap().to_owned()
    }

    async fn page(&self, path: &str, cookie: &str) -> (u16, String) {
        text(self.request(Method::GET, path).header("cookie", cookie)).await
    }

    /// The actions in the audit log, oldest first.
    async fn acts(&self) -> Vec<(String, String, String)> {
        let record = self.get("/operator/record").await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let entries = record["data"].as_array().unwrap().iter().rev();
        entries.map(|entry| (text(&entry["act"]), text(&entry["who"]), text(&entry["what"]))).collect()
    }

    async fn close(self) {
        self.stack.stop().await;
    }
}

async fn text(request: RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn only_operators_are_let_in(shape: Shape) {
    let console = Console::open(shape).await;
    let calls = [
        (Method::GET, "/operator/status"),
        (Method::GET, "/operator/usage"),
        (Method::GET, "/operator/record"),
        (Method::GET, "/operator/dead"),
        (Method::DELETE, "/operator/dead"),
        (Method::DELETE, "/operator/pause"),
        (Method::GET, "/operator/verifications/01990000-0000-7000-8000-000000000001"),
        (Method::GET, "/console/live"),
        (Method::GET, "/console/bill.csv"),
        (Method::GET, "/console/record"),
        (Method::GET, "/console/dead"),
    ];
    for (method, path) in calls {
        let bare = console.request(method.clone(), path).header("origin", console.admin());
        assert_eq!(Answer::of(bare).await.status, 401, "{path}");
        let clients = console.request(method.clone(), path).bearer_auth(console.stack.key.expose());
        let answer = Answer::of(clients).await;
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
    }
    assert_eq!(console.call(Method::GET, "/operator/status", None).await.status, 200);
    let (status, page) = text(console.request(Method::GET, "/console")).await;
    assert!(status == 200 && page.contains("Operator's key") && !page.contains("id=\"live\""), "{page}");
    console.close().await;
}

async fn a_session_begins_and_ends(shape: Shape) {
    let console = Console::open(shape).await;
    let cookie = console.sign_in().await;
    let (status, page) = console.page("/console", &cookie).await;
    assert!(status == 200 && page.contains("id=\"live\"") && page.contains("staff"), "{page}");
    let live = console.page("/console/live?range=day", &cookie).await;
    assert!(
        live.0 == 200 && live.1.contains("a bar is half an hour")
            || live.1.contains("No verification was requested")
    );
    let out = Answer::of(console.form("/console/sign-out", &[]).header("cookie", &cookie)).await;
    assert_eq!(out.status, 303, "{out:?}");
    assert!(
        out.header("set-cookie").starts_with("hulak_session=; ")
            && out.header("set-cookie").contains("Max-Age=0")
    );
    assert_eq!(console.page("/console/live", &cookie).await.0, 401);
    let (status, page) =
        text(console.form("/console/sign-in", &[("key", "ho_nobodyknowsthiskeyatallatall")])).await;
    assert!(status == 401 && page.contains("not an operator's key"), "{page}");
    console.close().await;
}

async fn a_revoked_key_ends_its_sessions(shape: Shape) {
    let console = Console::open(shape).await;
    let cookie = console.sign_in().await;
    console.stack.store.revoke_key(&console.key.hash(), machine_time()).await.unwrap();
    assert_eq!(console.page("/console/live", &cookie).await.0, 401);
    assert_eq!(console.call(Method::GET, "/operator/status", None).await.status, 401);
    console.close().await;
}

async fn a_page_of_another_site_can_do_nothing(shape: Shape) {
    let console = Console::open(shape).await;
    let cookie = console.sign_in().await;
    let post = || console.request(Method::POST, "/console/pause").header("cookie", &cookie);
    for request in [
        post(),
        post().header("origin", "http://evil.example"),
        post().header("origin", "null"),
        post().header("origin", console.admin()).header("sec-fetch-site", "cross-site"),
        post().header("origin", console.admin()).header("sec-fetch-site", "same-site"),
    ] {
        assert_eq!(Answer::of(request).await.status, 403);
    }
    assert_eq!(console.get("/operator/status").await["pause"], Value::Null);
    let ours = post().header("sec-fetch-site", "same-origin");
    assert_eq!(Answer::of(ours).await.status, 303);
    assert_eq!(console.get("/operator/status").await["pause"]["by"], "staff");
    console.close().await;
}

async fn wrong_keys_are_bounded(shape: Shape) {
    let console = Console::open(shape).await;
    let wrong =
        || console.request(Method::GET, "/operator/status").bearer_auth("ho_nobodyknowsthiskeyatallatall");
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(Answer::of(wrong()).await.status);
    }
    // A new minute may have begun in between.
    assert!(statuses[..5].iter().all(|status| *status == 401), "{statuses:?}");
    let refused = eventually("the bound", || async {
        Some(Answer::of(wrong()).await).filter(|answer| answer.status == 429)
    })
    .await;
    assert_eq!((refused.problem(), refused.body["policy"].as_str()), ("rate-limited", Some("address")));
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    // The right key is let in all the same.
    assert!(console.get("/operator/status").await.is_object());
    console.close().await;
}

/// More forms that never end than the console has places for: health, metrics and a signed-in operator's page still answer.
async fn half_sent_forms_silence_nothing(shape: Shape) {
    let console = Console::open(shape).await;
    let address = console.stack.apis[0].admin.strip_prefix("http://").unwrap().to_owned();
    let mut halves = Vec::new();
    for _ in 0..100 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "POST /console/sign-in HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nContent-Type: \
             application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nkey="
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        halves.push(stream);
    }
    // The last one is beyond the places: its answer says that all forms before it have arrived.
    let mut answer = [0; 12];
    halves.last_mut().unwrap().read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
    for path in ["/healthz", "/readyz", "/metrics"] {
        let request = console.request(Method::GET, path);
        assert_eq!(Answer::of(request).await.status, 200, "{path}");
    }
    drop(halves);
    console.close().await;
}

/// Nothing is final yet, and nothing is late: only the calls tell.
async fn an_outage_of_the_gateway_is_seen_while_messages_are_retried(shape: Shape) {
    let console = Console::open(shape).await;
    console.stack.set_faults(Faults { response_code: Some(503), ..Faults::none() });
    for n in 0..5 {
        let asked = console.stack.post(VERIFICATIONS, json!({"phone": format!("984000001{n}")})).await;
        assert_eq!(asked.status, 202);
    }
    let status = eventually("the outage", || async {
        let status = console.get("/operator/status").await;
        (status["verdict"]["light"] == "bad").then_some(status)
    })
    .await;
    let sentence = status["verdict"]["sentence"].as_str().unwrap();
    assert_eq!(sentence, "Nothing is being sent: every call to the gateway fails.");
    console.close().await;
}

async fn a_pause_holds_until_an_operator_resumes(shape: Shape) {
    let console = Console::open(shape).await;
    let pause = Some(json!({"reason": "the bill is not paid"}));
    assert_eq!(console.call(Method::PUT, "/operator/pause", pause).await.status, 204);
    let status = eventually("a worker that knows of the pause", || async {
        let status = console.get("/operator/status").await;
        (status["workers"][0]["paused"] == true).then_some(status)
    })
    .await;
    assert_eq!(status["verdict"]["light"], "bad");
    assert_eq!(status["verdict"]["sentence"], "Sending is paused.");
    assert_eq!(status["pause"]["reason"], "the bill is not paid");

    let id = begin(&console.stack, json!({ "phone": PHONE })).await.id();
    eventually("a message that waits", || async {
        (console.get("/operator/status").await["queue"]["waiting"] == 1).then_some(())
    })
    .await;
    let resumed: String = console.get("/operator/status").await["at"].as_str().unwrap().to_owned();
    assert_eq!(console.call(Method::DELETE, "/operator/pause", None).await.status, 204);
    sent(&console.stack, &id).await;
    let found = console.get(&format!("/operator/verifications/{id}")).await;
    let claimed = found["history"].as_array().unwrap().iter().find(|entry| entry["event"] == "c1").unwrap();
    assert!(moment(&claimed["at"]) >= moment(&json!(resumed)), "{found}");
    console.close().await;
}

async fn a_number_is_blocked_for_all_clients(shape: Shape) {
    let console = Console::open(shape).await;
    let other = another_client(&console.stack, "other").await;
    let block = Some(json!({"phone": "९८१२३४५६७८", "reason": "fraud"}));
    assert_eq!(console.call(Method::PUT, "/operator/block", block).await.status, 204);
    for key in [&console.stack.key, &other] {
        let answer =
            call(&console.stack, key.expose(), Method::POST, VERIFICATIONS, Some(json!({"phone": PHONE})))
                .await;
        assert_problem(&answer, 403, "phone-blocked");
    }
    let seen = console.stack.get(&format!("/v1/phones/{PHONE}")).await;
    assert_eq!(seen.body["blocked_until"], "9999-12-30T00:00:00.000Z", "{seen:?}");
    // A client lifts only its own blocks.
    let path = format!("/v1/phones/{PHONE}/block");
    call(&console.stack, other.expose(), Method::DELETE, &path, None).await;
    let answer = console.stack.post(VERIFICATIONS, json!({ "phone": PHONE })).await;
    assert_problem(&answer, 403, "phone-blocked");

    let cookie = console.sign_in().await;
    let found = console.form("/console/find", &[("q", PHONE)]).header("cookie", &cookie);
    let (status, page) = text(found).await;
    assert!(status == 200 && page.contains("for good: fraud"), "{page}");
    let lift = console.form("/console/unblock", &[("phone", PHONE)]).header("cookie", &cookie);
    let (status, page) = text(lift).await;
    assert!(status == 200 && page.contains("The number is not blocked."), "{page}");
    begin(&console.stack, json!({ "phone": PHONE })).await;
    let bad = console.call(Method::PUT, "/operator/block", Some(json!({"phone": "12345"}))).await;
    assert_eq!((bad.status, bad.problem()), (422, "invalid-phone"));
    console.close().await;
}

async fn a_failed_verification_is_found_by_its_number(shape: Shape) {
    let console = Console::open(shape).await;
    console.stack.set_faults(Faults { response_code: Some(1007), ..Faults::default() });
    let id = begin(&console.stack, json!({ "phone": PHONE })).await.id();
    console.stack.until(&id, |body| body["delivery"]["status"] == "failed").await;
    for spelling in ["9812345678", "+977 981-2345678", "९८१२३४५६७८", &id] {
        let found = console.call(Method::POST, "/operator/search", Some(json!({ "q": spelling }))).await;
        let row = &found.body["data"][0];
        assert_eq!((row["id"].as_str(), row["client"].as_str()), (Some(&*id), Some("default")), "{found:?}");
        assert_eq!(row["delivery"]["error"], json!({"code": "invalid-receiver", "gateway_code": "1007"}));
    }
    let found = console.get(&format!("/operator/verifications/{id}")).await;
    let events: Vec<_> =
        found["history"].as_array().unwrap().iter().map(|entry| entry["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["n1", "c1", "f1/invalid-receiver/1007"]);
    assert_eq!(found["messages"][0]["state"], "failed");

    let cookie = console.sign_in().await;
    let (status, page) = console.page(&format!("/console/verifications/{id}"), &cookie).await;
    assert!(status == 200 && page.contains("Message 1 failed for good") && page.contains("1007"), "{page}");
    for (path, status) in [
        ("/console/verifications/01990000-0000-7000-8000-000000000001", 404),
        ("/console/verifications/x", 400),
    ] {
        assert_eq!(console.page(path, &cookie).await.0, status, "{path}");
    }
    let nonsense = console.form("/console/find", &[("q", "nonsense")]).header("cookie", &cookie);
    let (status, page) = text(nonsense).await;
    assert!(status == 422 && page.contains("in any spelling"), "{page}");
    console.close().await;
}

async fn the_usage_counts_messages_and_parts(shape: Shape) {
    let console = Console::open(shape).await;
    let (id, _) = begin_sent(&console.stack, json!({ "phone": PHONE })).await;
    let (nepali, _) = begin_sent(&console.stack, json!({ "phone": OTHER_PHONE, "locale": "ne" })).await;
    let parts = |found: &Value| found["messages"][0]["parts"].as_i64().unwrap();
    let sum = parts(&console.get(&format!("/operator/verifications/{id}")).await)
        + parts(&console.get(&format!("/operator/verifications/{nepali}")).await);
    let usage = console.get("/operator/usage?days=2").await;
    let row = &usage["data"][0];
    assert_eq!(
        (row["client"].as_str(), row["messages"].as_i64(), row["parts"].as_i64()),
        (Some("default"), Some(2), Some(sum))
    );
    let csv = console.request(Method::GET, "/console/bill.csv?days=2").bearer_auth(console.key.expose());
    let (status, csv) = text(csv).await;
    assert!(status == 200 && csv.ends_with(&format!(",\"default\",2,{sum},0,0,0\r\n")), "{csv}");
    for days in ["0", "401", "x"] {
        let answer = console.call(Method::GET, &format!("/operator/usage?days={days}"), None).await;
        assert!(matches!(answer.status, 400 | 422), "{answer:?}");
    }
    console.close().await;
}

async fn dead_letters_are_shown_and_deleted(shape: Shape) {
    let console = Console::open(shape).await;
    assert_eq!(console.get("/operator/dead").await, json!({"count": 0, "oldest": []}));
    let cookie = console.sign_in().await;
    let (status, page) = console.page("/console/dead", &cookie).await;
    assert!(status == 200 && page.contains("There are no dead letters."), "{page}");
    let purged = console.call(Method::DELETE, "/operator/dead", None).await;
    assert_eq!((purged.status, purged.body), (200, json!({"purged": 0})));
    console.close().await;
}

/// Only in production shape: in one process no unreadable job gets on the queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_no_worker_can_read_is_shown_and_deleted() {
    let console = Console::open(Shape::Production).await;
    let letters = [r#"{"v":1,"what":"<script>alert(1)</script>"}"#, "rubbish"];
    for letter in letters {
        console.stack.put_on_queue(letter.as_bytes()).await;
    }
    let buried = async || {
        eventually("the dead letters", || async {
            (console.get("/operator/status").await["queue"]["dead"] == 2).then_some(())
        })
        .await;
    };
    buried().await;
    let seen = console.get("/operator/dead").await;
    let mut payloads: Vec<_> = seen["oldest"].as_array().unwrap().iter().map(|one| &one["payload"]).collect();
    payloads.sort_unstable_by_key(|payload| payload.as_str());
    assert_eq!((seen["count"].as_i64(), payloads), (Some(2), vec![&json!(letters[1]), &json!(letters[0])]));
    assert!(seen["oldest"][0]["reason"] == "rejected" && seen["oldest"][0]["died_at"].is_string(), "{seen}");
    // Reading them leaves them in the queue.
    buried().await;
    let cookie = console.sign_in().await;
    let (status, page) = console.page("/console/dead", &cookie).await;
    assert!(status == 200 && page.contains("2 dead letters") && page.contains("rubbish"), "{page}");
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script>alert"), "{page}");

    buried().await;
    let purge = console.form("/console/purge", &[]).header("cookie", &cookie);
    assert_eq!(Answer::of(purge).await.status, 303);
    assert_eq!(console.get("/operator/dead").await, json!({"count": 0, "oldest": []}));
    console.stack.put_on_queue(b"more rubbish").await;
    eventually("another one", || async {
        (console.get("/operator/status").await["queue"]["dead"] == 1).then_some(())
    })
    .await;
    let purged = console.call(Method::DELETE, "/operator/dead", None).await;
    assert_eq!((purged.status, purged.body), (200, json!({"purged": 1})));
    let acts = console.acts().await;
    let names: Vec<_> = acts.iter().map(|(act, ..)| act.as_str()).collect();
    let expected =
        [Act::DeadLetters, Act::SignIn, Act::DeadLetters, Act::Purge, Act::DeadLetters, Act::Purge];
    assert_eq!(names, expected.map(Act::as_str));
    assert!(acts.iter().all(|(_, who, _)| who == "staff"), "{acts:?}");
    // Messages are still sent.
    begin_sent(&console.stack, json!({ "phone": PHONE })).await;
    console.close().await;
}

async fn every_action_is_in_the_audit_log(shape: Shape) {
    let console = Console::open(shape).await;
    let wrong = console.form("/console/sign-in", &[("key", "my-password")]);
    assert_eq!(text(wrong).await.0, 401);
    let cookie = console.sign_in().await;
    let act = async |path: &str, fields: &[(&str, &str)]| {
        let (status, page) = text(console.form(path, fields).header("cookie", &cookie)).await;
        assert!(status == 200 || status == 303, "{path}: {status} {page}");
    };
    act("/console/find", &[("q", PHONE)]).await;
    act("/console/block", &[("phone", PHONE), ("for", "day"), ("reason", "fraud")]).await;
    act("/console/unblock", &[("phone", PHONE)]).await;
    act("/console/pause", &[("reason", "bill")]).await;
    act("/console/resume", &[]).await;
    act("/console/purge", &[]).await;
    assert_eq!(console.page("/console/dead", &cookie).await.0, 200);
    assert_eq!(console.page("/console/bill.csv", &cookie).await.0, 200);
    act("/console/sign-out", &[]).await;
    let acts = console.acts().await;
    let names: Vec<_> = acts.iter().map(|(act, ..)| act.as_str()).collect();
    let expected = [
        Act::SignInRefused,
        Act::SignIn,
        Act::Search,
        Act::Block,
        Act::Unblock,
        Act::Pause,
        Act::Resume,
        Act::Purge,
        Act::DeadLetters,
        Act::Export,
        Act::SignOut,
    ];
    assert_eq!(names, expected.map(Act::as_str));
    assert!(acts[1..].iter().all(|(_, who, _)| who == "staff") && acts[0].1.is_empty(), "{acts:?}");
    assert_eq!(acts[2].2, "+97798•••••678", "a search masks the number");
    assert!(acts[3].2.starts_with(PHONE) && acts[3].2.ends_with(": fraud"), "{acts:?}");
    assert!(!format!("{acts:?}").contains("my-password"));
    console.close().await;
}

async fn pages_run_no_foreign_script(shape: Shape) {
    let console = Console::open(shape).await;
    let cookie = console.sign_in().await;
    let name = "<script>alert(1)</script>";
    let pause = console.form("/console/pause", &[("reason", name)]).header("cookie", &cookie);
    assert_eq!(text(pause).await.0, 303);
    for path in ["/console", "/console/record"] {
        let answer = console.request(Method::GET, path).header("cookie", &cookie).send().await.unwrap();
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let page = answer.text().await.unwrap();
        assert!(!page.contains(name) && page.contains("&lt;script&gt;"), "{page}");
        assert!(
            !page.contains("style=\"") && !page.contains("<style") && !page.contains("onclick"),
            "{page}"
        );
        assert!(page.len() < 100_000, "{} bytes", page.len());
    }
    console.close().await;
}
