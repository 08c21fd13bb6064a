//! What is counted on a walk through everything, in both shapes.
#![expect(clippy::unwrap_used, reason = "a test may end where its expectation does")]

use hulak_runtime::metrics::CATALOGUE;
use hulak_testkit::fixtures::wrong;
use hulak_testkit::metrics::Metrics;
use hulak_testkit_stack::steps::{ask, check, until_delivery};
use hulak_testkit_stack::{Faults, Shape, Stack, StackOptions, eventually};

const NCELL: &str = "9812345678";
const NTC: &str = "9841234567";
const STM: &str = "9601234567";

/// One test for both shapes: stacks of one process count together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_is_counted_in_both_shapes() {
    for shape in [Shape::OneProcess, Shape::Production] {
        let mut stack = Box::pin(Stack::start(StackOptions::new(shape))).await;
        let api = stack.apis[0].admin.clone();
        let before = Metrics::of(&stack.http, &api).await;
        walk(&mut stack).await;
        let after = Metrics::of(&stack.http, &api).await;
        counted(&before, &after);
        measured(&before, &after);
        harmless(&after);
        stack.stop().await;
    }
}

async fn walk(stack: &mut Stack) {
    // One goes all the way.
    let id = ask(stack, NCELL).await;
    until_delivery(stack, &id, "sent").await;
    let code = stack.code(NCELL);
    assert_eq!(check(stack, &id, &wrong(&code, 1)).await.status, 422);
    assert_eq!(check(stack, &id, "12").await.status, 422);
    assert_eq!(check(stack, &id, &code).await.status, 200);
    assert_eq!(check(stack, &id, &code).await.status, 409);

    // One is refused by the gateway.
    stack.set_faults(Faults { response_code: Some(1007), ..Faults::none() });
    let id = ask(stack, NTC).await;
    until_delivery(stack, &id, "failed").await;
    stack.set_faults(Faults::none());

    // What the worker alone knows, while there is one.
    let worker = stack.workers[0].admin.clone();
    eventually("what is asked now and then", || async {
        let metrics = Metrics::of(&stack.http, &worker).await;
        let credits = metrics.get("hulak_gateway_credits", &[])?;
        let live = metrics.get("hulak_workers_live", &[])?;
        let queued = metrics.get("hulak_queue_messages", &[("queue", "hulak.send")])?;
        (credits > 1_000.0 && live >= 1.0 && queued == 0.0).then_some(())
    })
    .await;
    let metrics = Metrics::of(&stack.http, &worker).await;
    assert_eq!(metrics.get("hulak_in_flight_messages", &[]), Some(0.0));
    assert_eq!(metrics.get("hulak_circuit_open", &[]), Some(0.0));
    assert_eq!(metrics.get("hulak_queue_messages", &[("queue", "hulak.dead")]), Some(0.0));

    // One is taken back before anybody sends it.
    stack.workers.remove(0).stop().await;
    let id = ask(stack, STM).await;
    let taken_back = stack.request(reqwest::Method::DELETE, &format!("/v1/verifications/{id}"));
    assert_eq!(taken_back.send().await.unwrap().status(), 200);

    // Nothing that callers make up becomes a label.
    assert_eq!(stack.get(&format!("/v1/{NCELL}/{id}")).await.status, 404);
    assert_eq!(stack.get(&format!("/v1/phones/{NCELL}")).await.status, 200);
}

fn counted(before: &Metrics, after: &Metrics) {
    let grown = |name: &str, labels: &[(&str, &str)]| after.since(before, name, labels);
    for operator in ["ncell", "ntc", "stm"] {
        assert_eq!(grown("hulak_verifications_created_total", &[("operator", operator)]), 1.0);
        assert_eq!(grown("hulak_messages_requested_total", &[("operator", operator)]), 1.0);
    }
    assert_eq!(grown("hulak_message_parts_total", &[("operator", "ncell")]), 1.0);
    assert_eq!(grown("hulak_message_parts_total", &[("operator", "ntc")]), 0.0);
    let mut outcomes = 0.0;
    for (outcome, operator) in [("sent", "ncell"), ("failed", "ntc"), ("canceled", "stm")] {
        for of in ["ncell", "ntc", "stm"] {
            let count = grown("hulak_messages_total", &[("outcome", outcome), ("operator", of)]);
            assert_eq!(count, f64::from(u8::from(of == operator)), "{outcome} {of}");
            outcomes += count;
        }
    }
    assert_eq!(outcomes, 3.0);
    for (status, operator) in [("approved", "ncell"), ("canceled", "stm")] {
        assert_eq!(
            grown("hulak_verifications_ended_total", &[("status", status), ("operator", operator)]),
            1.0
        );
    }
    for (result, count) in [
        ("approved", 1.0),
        ("incorrect", 1.0),
        ("malformed", 1.0),
        ("already_approved", 1.0),
        ("expired", 0.0),
    ] {
        assert_eq!(grown("hulak_checks_total", &[("result", result)]), count, "{result}");
    }
    for (reason, count) in [("invalid-receiver", 1.0), ("no-answer", 0.0), ("too-late", 0.0)] {
        assert_eq!(grown("hulak_delivery_failures_total", &[("reason", reason)]), count, "{reason}");
    }
    for (answer, count) in [("accepted", 1.0), ("refused", 1.0), ("unknown", 0.0)] {
        assert_eq!(grown("hulak_gateway_calls_total", &[("answer", answer)]), count, "{answer}");
    }
    let created = [("method", "POST"), ("route", "/v1/verifications"), ("status", "202")];
    assert_eq!(grown("hulak_http_requests_total", &created), 3.0);
    let checked = [("method", "POST"), ("route", "/v1/verifications/{id}/check"), ("status", "422")];
    assert_eq!(grown("hulak_http_requests_total", &checked), 2.0);
    let nowhere = [("method", "GET"), ("route", "-"), ("status", "404")];
    assert_eq!(grown("hulak_http_requests_total", &nowhere), 1.0);
    assert_eq!(after.get("hulak_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), Some(1.0));
    assert_eq!(after.get("hulak_database_up", &[]), Some(1.0));
    assert_eq!(after.get("hulak_broker_up", &[]), Some(1.0));
    assert!(after.get("hulak_store_pool_connections", &[("state", "idle")]).is_some());
}

fn measured(before: &Metrics, after: &Metrics) {
    for (name, operator) in
        [("hulak_request_to_gateway_seconds", "ncell"), ("hulak_request_to_approval_seconds", "ncell")]
    {
        let labels = [("operator", operator)];
        assert_eq!(after.since(before, &format!("{name}_count"), &labels), 1.0, "{name}");
        let took = after.since(before, &format!("{name}_sum"), &labels);
        assert!(took > 0.0 && took < 20.0, "{name}: {took}");
        assert_eq!(after.since(before, &format!("{name}_count"), &[("operator", "ntc")]), 0.0, "{name}");
    }
    let route = [("route", "/v1/verifications")];
    assert_eq!(after.since(before, "hulak_http_request_duration_seconds_count", &route), 3.0);
    assert_eq!(after.since(before, "hulak_gateway_call_duration_seconds_count", &[]), 2.0);
}

/// No label says anything about a person, and there is a bounded number of series.
fn harmless(metrics: &Metrics) {
    for (label, values) in metrics.labels() {
        for value in values.iter().filter(|_| !["le", "version"].contains(&label.as_str())) {
            let digits = value.chars().filter(char::is_ascii_digit).count();
            assert!(digits <= 3 && value.len() <= 64, "{label}={value}");
        }
    }
    let statuses = &metrics.labels()["status"];
    assert!(
        statuses.iter().all(|status| status.len() == 3 || status.parse::<u16>().is_err()),
        "{statuses:?}"
    );
    assert!(metrics.series() < 2_000, "{} series", metrics.series());
    let names: Vec<&str> = metrics.names().collect();
    for metric in CATALOGUE {
        assert!(names.contains(&metric.name), "{} is described, but not exported", metric.name);
    }
    assert_eq!(names.len(), CATALOGUE.len(), "{names:?}");
}
