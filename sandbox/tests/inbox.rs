//! The inbox and the figures.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod support;

use hulak_sandbox::SandboxConfig;
use reqwest::StatusCode;
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use support::{NUMBER, Simulator, config, good, start, start_with, with};

const OTHER: &str = "9700000001";

fn ids(list: &Value) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|message| message["id"].as_u64().unwrap()).collect()
}

/// Messages 1 and 3 to one number, 2 to another.
async fn with_three() -> Simulator {
    let simulator = start().await;
    for to in [NUMBER, OTHER, NUMBER] {
        assert_eq!(simulator.send(&with("to", to)).await.0, 200);
    }
    simulator
}

async fn delete(simulator: &Simulator, path: &str) -> StatusCode {
    simulator.client.delete(simulator.url(path)).send().await.unwrap().status()
}

#[tokio::test]
async fn messages_are_listed_newest_first() {
    let simulator = with_three().await;
    let (status, list) = simulator.get("/inbox.json").await;
    assert_eq!((status, ids(&list)), (200, vec![3, 2, 1]));
    assert_eq!(
        list[1],
        json!({"id": 2, "to": OTHER, "from": "Hulak", "text": "Your code is 123456.",
            "received_at": "2023-11-14T22:13:20.120Z", "code": "123456"})
    );
    simulator.send(&with("text", "no code in here")).await;
    assert_eq!(simulator.get("/inbox.json?limit=1").await.1[0]["code"], Value::Null);
}

#[tokio::test]
async fn a_number_is_found_in_any_spelling() {
    let simulator = with_three().await;
    for to in ["9812345678", "9779812345678", "%2B9779812345678", "+9779812345678", "977%20981-2345678"] {
        assert_eq!(ids(&simulator.get(&format!("/inbox.json?to={to}")).await.1), [3, 1], "{to}");
    }
    assert_eq!(ids(&simulator.get("/inbox.json?to=9812345678&limit=1").await.1), [3]);
    assert!(ids(&simulator.get("/inbox.json?to=9800000000").await.1).is_empty());
    for query in ["to=98123", "limit=x", "limit=-1"] {
        let (status, problem) = simulator.get(&format!("/inbox.json?{query}")).await;
        assert_eq!(status, 422);
        assert_eq!(problem["errors"][0]["field"], query.split('=').next().unwrap());
    }
}

#[tokio::test]
async fn lists_are_bounded() {
    let simulator = start_with(SandboxConfig { capacity: 1005, ..config() }).await;
    let many = vec![NUMBER; 1010].join(",");
    assert_eq!(simulator.send(&with("to", &many)).await.1["count"], 1010);
    assert_eq!(ids(&simulator.get("/inbox.json").await.1).len(), 100);
    let most = ids(&simulator.get("/inbox.json?limit=5000").await.1);
    assert_eq!((most.len(), most[0]), (1000, 1010));
    let log = ids(&simulator.get("/log.json").await.1);
    assert_eq!((log.len(), log[0]), (1005, 6), "the oldest are forgotten");
}

#[tokio::test]
async fn messages_are_deleted_all_or_by_number() {
    let simulator = with_three().await;
    assert_eq!(delete(&simulator, "/inbox.json?to=x").await, 422);
    assert_eq!(simulator.sandbox.inbox().len(), 3);
    assert_eq!(delete(&simulator, "/inbox.json?to=9779812345678").await, 204);
    assert_eq!(ids(&simulator.get("/inbox.json").await.1), [2]);
    assert_eq!(delete(&simulator, "/inbox.json").await, 204);
    assert!(simulator.sandbox.inbox().is_empty());
    assert_eq!(simulator.sandbox.stats().accepted, 3, "the figures stay");
    assert_eq!(simulator.send(&good()).await.1["message_id"], 4);
}

#[tokio::test]
async fn the_log_tells_what_came_after() {
    let simulator = with_three().await;
    assert_eq!(ids(&simulator.get("/log.json").await.1), [1, 2, 3]);
    let (_, list) = simulator.get("/log.json?since=1").await;
    assert_eq!(ids(&list), [2, 3]);
    assert_eq!(list[0]["received_at"], "2023-11-14T22:13:20.120Z");
    assert!(ids(&simulator.get("/log.json?since=3").await.1).is_empty());
    assert_eq!(simulator.get("/log.json?since=x").await.0, 422);
}

#[tokio::test]
async fn the_figures_add_up() {
    let simulator = with_three().await;
    simulator.send(&with("to", "1")).await;
    let figures =
        json!({"requests": 4, "accepted": 3, "refused": 1, "dropped": 0, "timed_out": 0, "credits": 999_997});
    assert_eq!(simulator.get("/stats.json").await, (200, figures));
}

#[tokio::test]
async fn the_page_shows_messages_and_runs_none_of_their_text() {
    let simulator = start().await;
    simulator.send(&with("text", "<script>alert(1)</script> & 4321 \"कोड\"")).await;
    simulator.send(&with("to", OTHER)).await;
    let response = simulator.client.get(simulator.url("/inbox?to=9779812345678")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let page = response.text().await.unwrap();
    let text = "&lt;script&gt;alert(1)&lt;/script&gt; &amp; <mark>4321</mark> &quot;कोड&quot;";
    assert!(
        page.contains(text) && page.contains("data-copy=\"4321\"") && !page.contains("alert(1)<"),
        "{page}"
    );
    let [price, size] =
        ["1 part, 1 credit", "UCS-2, 38 of 70"].map(|part| format!("<span class=\"nowrap\">{part}</span>"));
    assert!(page.contains(&format!("From Hulak · {price} · {size}")), "{page}");
    assert!(!page.contains(OTHER));
    let files: Vec<_> =
        page.split("\"/assets/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let mut size = page.len();
    for name in ["hulak.css", "inbox.css", "inbox.js", "logo.svg"] {
        let file = files.iter().find(|file| file.starts_with(name)).unwrap();
        let response = simulator.client.get(simulator.url(&format!("/assets/{file}"))).send().await.unwrap();
        assert_eq!(response.headers()["cache-control"], "public, max-age=31536000, immutable", "{name}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        size += response.bytes().await.unwrap().len();
    }
    assert!(size < 100_000, "{size} bytes");
    assert_eq!(simulator.get("/assets/page.rs").await.0, 404);
}

async fn page(simulator: &Simulator, path: &str) -> String {
    simulator.client.get(simulator.url(path)).send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn the_page_groups_by_number_and_finds() {
    let simulator = with_three().await;
    let all = page(&simulator, "/inbox").await;
    let places = [NUMBER, OTHER].map(|to| all.find(&format!("data-key=\"{to}\"")).unwrap());
    assert!(places[0] < places[1], "the newest conversation is first");
    assert_eq!(all.matches("<article").count(), 2);
    assert!(all.contains(">2 messages</span>") && all.contains(">1 message</span>"), "{all}");
    simulator.send(&with("text", "तपाईंको कोड 778899 हो।")).await;
    for (asked, found) in [("700000", 1), ("778899", 1), ("YOUR%20CODE", 3), ("%2B977%20981-2345678", 3)] {
        let found_page = page(&simulator, &format!("/inbox?q={asked}")).await;
        assert_eq!(found_page.matches("class=\"sms\"").count(), found, "{asked}");
    }
    let none = page(&simulator, "/inbox?to=%22%3E%3Cb").await;
    assert!(none.contains("value=\"&quot;&gt;&lt;b\"") && none.contains("Nothing found"), "{none}");
}

#[tokio::test]
async fn an_empty_inbox_tells_how_to_begin() {
    let simulator = start().await;
    let empty = page(&simulator, "/inbox").await;
    assert!(empty.contains("No messages yet"), "{empty}");
    assert!(
        empty.contains(&format!("curl http://{}/v2/sms/", simulator.addr)) && !empty.contains("target="),
        "{empty}"
    );
    let sign_up = Some("http://localhost:1/verify?a=1&b".to_owned());
    let simulator = start_with(SandboxConfig { sign_up, ..config() }).await;
    assert!(page(&simulator, "/inbox").await.contains("href=\"http://localhost:1/verify?a=1&amp;b\""));
}

#[tokio::test]
async fn the_page_says_what_is_wrong_with_the_gateway() {
    let simulator = start().await;
    assert!(!page(&simulator, "/inbox").await.contains("message warn"));
    let put =
        simulator.client.put(simulator.url("/faults")).body("{\"response_code\":1008,\"error_rate\":0.5}");
    assert_eq!(put.send().await.unwrap().status(), 200);
    let wrong = page(&simulator, "/inbox").await;
    assert!(
        wrong.contains("Every call is answered 1008 (Invalid Sender). 50 % of the calls fail"),
        "{wrong}"
    );
    assert!(wrong.contains("<option value=\"1008\" selected>"), "{wrong}");
}

#[tokio::test]
async fn the_root_leads_to_the_inbox() {
    let simulator = start().await;
    let client = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
    let response = client.get(simulator.url("/")).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["location"]),
        (303, &"/inbox".parse().unwrap())
    );
    assert_eq!(simulator.client.get(simulator.url("/nowhere")).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn pages_answer_only_to_known_hosts_and_the_gateway_to_any() {
    let simulator =
        start_with(SandboxConfig { allowed_hosts: vec!["sms.example".to_owned()], ..config() }).await;
    let get = async |path: &str, host: &str| {
        simulator.client.get(simulator.url(path)).header("host", host).send().await.unwrap().status().as_u16()
    };
    for path in ["/", "/inbox", "/inbox.json", "/assets/inbox.js", "/faults", "/stats.json", "/log.json"] {
        assert_eq!(get(path, "rebound.example").await, 421, "{path}");
        assert_eq!(get(path, "localhost:8081").await, 200, "{path}");
        assert_eq!(get(path, "SMS.example:8081").await, 200, "{path}");
    }
    assert_eq!(get("/v2/credit/?token=t", "rebound.example").await, 200);
    let put = simulator
        .client
        .put(simulator.url("/faults"))
        .header("host", "rebound.example")
        .body("{\"credits\":0}");
    assert_eq!(put.send().await.unwrap().status(), 421);
    assert_eq!(simulator.sandbox.stats().credits, 1_000_000);
}
