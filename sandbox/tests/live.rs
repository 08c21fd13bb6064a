//! The inbox as it happens: server-sent events.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking")]

mod support;

use std::time::Duration;

use hulak_sandbox::Faults;
use reqwest::Response;
use serde_json::Value;
use support::{NUMBER, Simulator, good, start, with};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);

/// One who listens.
struct Listener {
    response: Response,
    text: String,
}

impl Listener {
    async fn new(simulator: &Simulator, query: &str, last: Option<&str>) -> Self {
        let mut request = simulator.client.get(simulator.url(&format!("/inbox/events{query}")));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self { response, text: String::new() }
    }

    /// The next event: its name, its id and its data. `None` at the end.
    async fn next(&mut self) -> Option<(String, Option<String>, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let line = |name: &str| {
                    event.lines().find_map(|line| line.strip_prefix(name)).map(|text| text.trim().to_owned())
                };
                let found = line("data:")
                    .map(|data| (line("event:").unwrap(), line("id:"), serde_json::from_str(&data).unwrap()));
                self.text = rest.to_owned();
                if found.is_some() {
                    return found;
                }
                continue;
            }
            let chunk = timeout(SOON, self.response.chunk()).await.expect("something happens").unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn message(&mut self) -> Value {
        loop {
            let (event, id, data) = self.next().await.expect("a message");
            if event == "message" {
                assert_eq!(id.unwrap(), data["id"].to_string());
                return data;
            }
        }
    }

    /// The state of things once it is as wanted.
    async fn change(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let (event, _, data) = self.next().await.expect("a change");
            if event == "change" && wanted(&data) {
                return data;
            }
        }
    }
}

#[tokio::test]
async fn messages_come_as_they_are_taken() {
    let simulator = start().await;
    simulator.send(&good()).await;
    let mut listener = Listener::new(&simulator, "", None).await;
    let first = listener.change(|_| true).await;
    assert_eq!((&first["stats"]["accepted"], &first["cleared"]), (&1.into(), &0.into()));
    simulator.send(&with("text", "तपाईंको कोड 778899 हो।")).await;
    let message = listener.message().await;
    assert_eq!(
        (&message["id"], &message["to"], &message["code"]),
        (&2.into(), &NUMBER.into(), &"778899".into())
    );
    assert_eq!(
        (&message["encoding"], &message["units"], &message["parts"]),
        (&"UCS-2".into(), &22.into(), &1.into())
    );
    listener.change(|change| change["stats"]["accepted"] == 2).await;
}

#[tokio::test]
async fn a_listener_goes_on_where_it_was() {
    let simulator = start().await;
    for _ in 0..3 {
        simulator.send(&good()).await;
    }
    assert_eq!(Listener::new(&simulator, "", Some("1")).await.message().await["id"], 2);
    assert_eq!(Listener::new(&simulator, "?since=2", None).await.message().await["id"], 3);
    assert_eq!(Listener::new(&simulator, "?since=0", Some("2")).await.message().await["id"], 3);
    // As if the simulator had been started anew.
    assert_eq!(Listener::new(&simulator, "", Some("99")).await.message().await["id"], 1);
    let refused = simulator.client.get(simulator.url("/inbox/events?since=x")).send().await.unwrap();
    assert_eq!(refused.status(), 400);
}

#[tokio::test]
async fn what_else_changes_is_told() {
    let simulator = start().await;
    let mut listener = Listener::new(&simulator, "", None).await;
    simulator.sandbox.set_faults(Faults { error_rate: 0.5, ..Faults::none() });
    listener.change(|change| change["faults"]["error_rate"] == 0.5).await;
    simulator.sandbox.set_credits(7);
    listener.change(|change| change["stats"]["credits"] == 7).await;
    simulator.send(&with("to", "1")).await;
    listener.change(|change| change["stats"]["refused"] == 1).await;
    simulator.client.delete(simulator.url("/inbox.json?to=9812345678")).send().await.unwrap();
    listener.change(|change| change["cleared"] == 1).await;
    simulator.client.put(simulator.url("/faults")).body("{\"error_rate\":0}").send().await.unwrap();
    listener.change(|change| change["faults"]["error_rate"] == 0.0).await;
}

#[tokio::test]
async fn of_a_flood_the_newest_are_told() {
    let simulator = start().await;
    let many = vec![NUMBER; 500].join(",");
    simulator.send(&with("to", &many)).await;
    let mut listener = Listener::new(&simulator, "?since=0", None).await;
    assert_eq!(listener.message().await["id"], 301);
}

#[tokio::test]
async fn listeners_are_bounded_and_places_come_back() {
    let simulator = start().await;
    let mut listeners = Vec::new();
    for _ in 0..64 {
        listeners.push(Listener::new(&simulator, "", None).await);
    }
    let one_more = async || simulator.client.get(simulator.url("/inbox/events")).send().await.unwrap();
    let refused = one_more().await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "5");
    listeners.pop();
    // The simulator notices a listener's leaving when it next has something to say.
    timeout(SOON, async {
        while one_more().await.status() != 200 {
            simulator.send(&good()).await;
        }
    })
    .await
    .expect("its place is free");
}

#[tokio::test]
async fn a_stop_ends_the_stream() {
    let simulator = start().await;
    let mut listener = Listener::new(&simulator, "", None).await;
    listener.change(|_| true).await;
    simulator.shutdown.begin();
    assert!(listener.next().await.is_none());
    timeout(Duration::from_secs(3), simulator.task).await.expect("it waits for nobody").unwrap().unwrap();
}
