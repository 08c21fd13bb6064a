//! The documented behaviour of the gateway, over HTTP.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod support;

use serde_json::{Value, json};
use support::{NUMBER, config, good, start, start_with, told, with, without};

fn refusal(code: u16, text: &str) -> (u16, Value) {
    (403, json!({"response_code": code, "response": text}))
}

#[tokio::test]
async fn an_accepted_message_is_answered_as_the_gateway_does() {
    let simulator = start().await;
    let response = simulator.post(&good()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(
        response.text().await.unwrap(),
        r#"{"count":1,"response_code":200,"response":"1 mesages has been queued for delivery","message_id":1,"credit_available":999999.0,"credit_consumed":1}"#
    );
    let message = simulator.sandbox.latest_to(NUMBER).unwrap();
    assert_eq!((message.to.as_str(), message.from.as_str()), (NUMBER, "Hulak"));
    assert_eq!((message.text.as_str(), message.code.as_deref()), ("Your code is 123456.", Some("123456")));
}

#[tokio::test]
async fn every_way_of_sending_fields_is_understood() {
    let simulator = start().await;
    let (client, fields) = (&simulator.client, good());
    let object: Value = fields.iter().map(|(name, value)| (*name, value.clone())).collect();
    let parts = fields.iter().map(|(name, value)| {
        format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    });
    let multipart = parts.collect::<String>() + "--XX--\r\n";
    for path in ["/v2/sms/", "/v2/sms"] {
        let url = simulator.url(path);
        let number = object_with_number(&object);
        let calls = [
            client.get(&url).query(&fields),
            client.post(&url).query(&fields),
            client.post(&url).form(&fields),
            client.post(&url).json(&object),
            client.post(&url).json(&number),
            client
                .post(&url)
                .header("content-type", "multipart/form-data; boundary=XX")
                .body(multipart.clone()),
            client.post(&url).query(&fields[..1]).form(&fields[1..]),
        ];
        for (index, call) in calls.into_iter().enumerate() {
            assert_eq!(told(call.send().await.unwrap()).await.0, 200, "{path} {index}");
        }
    }
    let inbox = simulator.sandbox.inbox();
    assert_eq!(inbox.len(), 14);
    assert!(inbox.iter().all(|message| message.to == NUMBER && message.text == "Your code is 123456."));
}

fn object_with_number(object: &Value) -> Value {
    let mut object = object.clone();
    object["to"] = json!(9_812_345_678_u64);
    object
}

#[tokio::test]
async fn other_methods_send_nothing() {
    let simulator = start().await;
    for method in [reqwest::Method::HEAD, reqwest::Method::PUT, reqwest::Method::DELETE] {
        let call = simulator.client.request(method, simulator.url("/v2/sms/")).query(&good());
        assert_eq!(call.send().await.unwrap().status(), 405);
    }
    assert!(simulator.sandbox.inbox().is_empty());
}

#[tokio::test]
async fn wrong_fields_are_refused_with_their_codes() {
    let strict = hulak_sandbox::SandboxConfig {
        token: Some("t".to_owned()),
        from: Some("Hulak".to_owned()),
        ..config()
    };
    let simulator = start_with(strict).await;
    for field in ["token", "from", "to", "text"] {
        assert_eq!(
            simulator.send(&without(field)).await,
            refusal(1000, "A required field is missing"),
            "{field}"
        );
    }
    for (field, value, code, text) in [
        ("token", "other", 1002, "Invalid Token"),
        ("token", "", 1002, "Invalid Token"),
        ("to", "12345", 1007, "Invalid Receiver"),
        ("to", "9779812345678", 1007, "Invalid Receiver"),
        ("from", "Other", 1008, "Invalid Sender"),
        ("from", "", 1008, "Invalid Sender"),
        ("text", "", 1010, "Text cannot be empty"),
        ("text", " \n", 1010, "Text cannot be empty"),
        ("to", "", 1011, "No valid receiver"),
        ("to", "12345,67890", 1011, "No valid receiver"),
    ] {
        assert_eq!(simulator.send(&with(field, value)).await, refusal(code, text), "{field}={value}");
    }
    assert_eq!(simulator.send(&good()).await.0, 200);
    let stats = simulator.sandbox.stats();
    assert_eq!((stats.requests, stats.accepted, stats.refused), (15, 1, 14));
}

#[tokio::test]
async fn any_token_and_sender_will_do_by_default() {
    let simulator = start().await;
    assert_eq!(simulator.send(&with("token", "whatever")).await.0, 200);
    assert_eq!(simulator.send(&with("from", "whoever")).await.0, 200);
    assert_eq!(simulator.send(&with("token", "")).await, refusal(1002, "Invalid Token"));
    assert_eq!(simulator.send(&with("from", " ")).await, refusal(1008, "Invalid Sender"));
}

#[tokio::test]
async fn every_documented_refusal_can_be_forced() {
    let simulator = start().await;
    for (code, text, on_credit) in [
        (1000, "A required field is missing", false),
        (1001, "Invalid IP Address", true),
        (1002, "Invalid Token", true),
        (1003, "Account Inactive", true),
        (1004, "Account Inactive", true),
        (1005, "Account has been expired", true),
        (1006, "Account has been expired", true),
        (1007, "Invalid Receiver", false),
        (1008, "Invalid Sender", false),
        (1010, "Text cannot be empty", false),
        (1011, "No valid receiver", false),
        (1012, "No Credits Available", true),
        (1013, "Insufficient Credits", false),
    ] {
        assert_eq!(simulator.put_faults(&json!({"response_code": code}).to_string()).await.0, 200);
        assert_eq!(simulator.send(&good()).await, refusal(code, text));
        let credit = simulator.get("/v2/credit/?token=t").await;
        if on_credit {
            assert_eq!(credit, refusal(code, text));
        } else {
            assert_eq!(credit.0, 200, "{code}");
        }
    }
    assert!(simulator.sandbox.inbox().is_empty());
}

#[tokio::test]
async fn each_valid_receiver_gets_a_message() {
    let simulator = start().await;
    let (status, body) = simulator.send(&with("to", "9812345678, 12,9712345678,9612345678")).await;
    assert_eq!(status, 200);
    assert_eq!((&body["count"], &body["credit_consumed"]), (&json!(3), &json!(3)));
    assert_eq!(body["response"], "3 mesages has been queued for delivery");
    let receivers: Vec<_> = simulator.sandbox.inbox().iter().map(|message| message.to.clone()).collect();
    assert_eq!(receivers, ["9612345678", "9712345678", "9812345678"]);
}

#[tokio::test]
async fn credits_run_down_by_parts() {
    let simulator = start_with(hulak_sandbox::SandboxConfig { credits: 4, ..config() }).await;
    let (_, body) = simulator.send(&with("text", &"a".repeat(161))).await;
    assert_eq!((&body["credit_available"], &body["credit_consumed"]), (&json!(2.0), &json!(2)));
    let credit = json!({"credits_available": 2, "credits_consumed": 2, "response_code": 200});
    assert_eq!(simulator.get("/v2/credit/?token=t").await, (200, credit));
    let three_parts = with("text", &"क".repeat(135));
    assert_eq!(simulator.send(&three_parts).await, refusal(1013, "Insufficient Credits"));
    assert_eq!(simulator.send(&with("text", &"क".repeat(134))).await.0, 200);
    assert_eq!(simulator.send(&good()).await, refusal(1012, "No Credits Available"));
    assert_eq!(simulator.get("/v2/credit?token=t").await, refusal(1012, "No Credits Available"));
    assert_eq!(simulator.put_faults(r#"{"credits":1}"#).await.1["credits"], 1);
    assert_eq!(simulator.send(&good()).await.0, 200);
}

#[tokio::test]
async fn the_credit_call_wants_the_token() {
    let strict = hulak_sandbox::SandboxConfig { token: Some("t".to_owned()), ..config() };
    let simulator = start_with(strict).await;
    for query in ["", "?token=", "?token=other"] {
        assert_eq!(simulator.get(&format!("/v2/credit/{query}")).await, refusal(1002, "Invalid Token"));
    }
    let credit = json!({"credits_available": 1_000_000, "credits_consumed": 0, "response_code": 200});
    assert_eq!(simulator.get("/v2/credit/?token=t").await, (200, credit));
}

#[tokio::test]
async fn bodies_are_bounded_and_nonsense_has_no_fields() {
    let simulator = start().await;
    let response = simulator.post(&with("text", &"a".repeat(70_000))).await.unwrap();
    assert_eq!(response.status(), 413);
    for (media_type, body) in [
        ("application/json", "{\"token\":"),
        ("application/json", "[1]"),
        ("application/json", r#"{"token":null,"from":[],"to":{},"text":true}"#),
        ("multipart/form-data", "x"),
        ("multipart/form-data; boundary=XX", "--YY"),
        ("application/x-www-form-urlencoded", "%%%=&&=%ff"),
        ("text/plain", "hello"),
    ] {
        let call =
            simulator.client.post(simulator.url("/v2/sms/")).header("content-type", media_type).body(body);
        let answer = told(call.send().await.unwrap()).await;
        assert_eq!(answer, refusal(1000, "A required field is missing"), "{media_type} {body}");
    }
}
