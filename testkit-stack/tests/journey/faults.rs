//! The broker, the database and the workers go away, and come back.

use std::sync::atomic::{AtomicUsize, Ordering};

use hulak_common::clock::Stopwatch;
use hulak_testkit::proxy::Proxy;
use hulak_testkit::services::RabbitMq;
use hulak_testkit_stack::{Answer, Shape, Stack, StackOptions, eventually, rules};
use std::time::Duration;

use super::*;

/// An address with another host and port.
fn through(proxy: &Proxy, url: &str) -> String {
    let mut url = url::Url::parse(url).unwrap();
    url.set_host(Some(&proxy.addr().ip().to_string())).unwrap();
    url.set_port(Some(proxy.addr().port())).unwrap();
    url.into()
}

async fn proxy_to(url: &str) -> Proxy {
    let url = url::Url::parse(url).unwrap();
    let address = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    Proxy::start(address.parse().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_requests_are_accepted_and_go_out_when_it_is_back() {
    let url = std::env::var("HULAK_TEST_BROKER_URL").expect("run the tests with `make test`");
    let proxy = proxy_to(&url).await;
    let broker_url = Some(through(&proxy, &url));
    let stack =
        Stack::start(StackOptions { broker_url, workers: 2, ..StackOptions::new(Shape::Production) }).await;
    proxy.cut().await.unwrap();
    let admin = format!("{}/readyz", stack.apis[0].admin);
    eventually("the API to see it", || async {
        let answer = Answer::of(stack.http.get(&admin)).await;
        assert_eq!(answer.status, 200, "without a broker the API is still ready");
        (answer.body["broker"] == "degraded").then_some(())
    })
    .await;
    let ids = ask_many(&stack, 0..30).await;
    for id in &ids {
        assert_eq!(delivery(&stack.get(&format!("/v1/verifications/{id}")).await.body), "queued");
    }
    proxy.heal().await.unwrap();
    for id in &ids {
        until_delivery(&stack, id, "sent").await;
    }
    assert_eq!(received(&stack).values().filter(|count| **count == 1).count(), 30);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_while_sending_leaves_an_unknown_outcome_that_is_repeated_once() {
    let mut rules = rules();
    rules.limits.cooldown = Duration::from_secs(1).into();
    rules.claim_lease = Duration::from_secs(11);
    let mut stack = Stack::start(StackOptions { rules, ..StackOptions::new(Shape::Production) }).await;
    // Taken, and no answer for a long time.
    stack.set_faults(hulak_sandbox::Faults { timeout_rate: 1.0, ..hulak_sandbox::Faults::none() });
    let id = ask(&stack, "9812345678").await;
    eventually("the call", || async { (stack.sandbox.inbox().len() == 1).then_some(()) }).await;
    stack.workers.remove(0).kill().await;
    stack.set_faults(hulak_sandbox::Faults::none());
    stack.add_worker().await;
    let sent = until_delivery(&stack, &id, "sent").await;
    assert_eq!(sent["delivery"]["messages"], 1);
    let number = number(&stack, "9812345678").await;
    assert_eq!((&number["otp_count"], &number["ambiguous_count"]), (&json!(1), &json!(1)));
    assert_eq!(stack.sandbox.inbox().len(), 2);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_is_kept_while_the_database_is_away() {
    let server = std::env::var("HULAK_TEST_DATABASE_URL").expect("run the tests with `make test`");
    let proxy = proxy_to(&server).await;
    let database = hulak_testkit::database::TestDatabase::create().await;
    let database_url = Some(through(&proxy, &database.url()));
    let stack = Stack::start(StackOptions { database_url, ..StackOptions::new(Shape::Production) }).await;
    stack.set_faults(hulak_sandbox::Faults { latency_ms: 300, ..hulak_sandbox::Faults::none() });
    let id = ask(&stack, "9812345678").await;
    eventually("the call", || async { (stack.sandbox.inbox().len() == 1).then_some(()) }).await;
    proxy.cut().await.unwrap();
    let refused = eventually("a refusal", || async {
        let answer = stack.post("/v1/verifications", json!({ "phone": "9812345679" })).await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert_eq!(refused.problem(), "unavailable");
    assert!(!refused.header("retry-after").is_empty());
    proxy.heal().await.unwrap();
    eventually("recovery", || async {
        let answer = stack.get(&format!("/v1/verifications/{id}")).await;
        (answer.status == 200 && delivery(&answer.body) == "sent").then_some(())
    })
    .await;
    assert_eq!(number(&stack, "9812345678").await["otp_count"], 1);
    assert_eq!(received(&stack).get("9812345678"), Some(&1));
    stack.stop().await;
    database.drop_now().await;
}

/// Short of disk the broker keeps its connections and takes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_out_of_disk_holds_up_no_caller() {
    let directory = tempfile::tempdir().unwrap();
    let rabbit = RabbitMq::start(directory.path()).await.unwrap();
    let broker_url = Some(rabbit.url());
    let stack = Stack::start(StackOptions { broker_url, ..StackOptions::new(Shape::Production) }).await;
    let first = ask(&stack, "9812345678").await;
    until_delivery(&stack, &first, "sent").await;

    rabbit.ctl(&["set_disk_free_limit", "1000000GB"]).await.unwrap();
    let admins = [&stack.apis[0].admin, &stack.workers[0].admin];
    for admin in admins {
        eventually("everybody to see it", || async {
            // A connection is blocked when it publishes next.
            ask_any(&stack).await;
            let answer = Answer::of(stack.http.get(format!("{admin}/readyz"))).await;
            assert_eq!(answer.status, 200, "without a broker they are still ready");
            (answer.body["broker"] == "degraded").then_some(())
        })
        .await;
    }
    let watch = Stopwatch::start();
    let waiting = ask(&stack, "9840000000").await;
    assert!(watch.elapsed() < Duration::from_secs(5), "{:?}", watch.elapsed());
    assert_eq!(delivery(&stack.get(&format!("/v1/verifications/{waiting}")).await.body), "queued");

    rabbit.ctl(&["set_disk_free_limit", "50MB"]).await.unwrap();
    until_delivery(&stack, &waiting, "sent").await;
    assert_eq!(received(&stack).get("9840000000"), Some(&1));
    stack.stop().await;
}

/// Asks for the code of some number, so that there is something to publish.
async fn ask_any(stack: &Stack) {
    static NUMBERS: AtomicUsize = AtomicUsize::new(0);
    ask(stack, &phone(NUMBERS.fetch_add(1, Ordering::Relaxed))).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
}
