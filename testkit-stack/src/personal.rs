//! Nothing personal: a walk through everything that can go right and wrong, and a search for what it must not leave behind.

mod console;
mod hosted;

use std::collections::BTreeMap;

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use hulak_testkit::answer::{Answer, eventually};

/// What nobody may find in a log, a trace or a metric.
#[derive(Debug, Clone, Default)]
pub struct Secrets(BTreeMap<String, String>);

/// Devanagari's digits, in order.
const DEVANAGARI: [char; 10] = ['०', '१', '२', '३', '४', '५', '६', '७', '८', '९'];

impl Secrets {
    /// Adds one, and what it is. A number is added by its ten digits, which every spelling of it ends in.
    ///
    /// # Panics
    /// When it is so short that it would be found by chance.
    pub fn add(&mut self, what: &str, secret: &str) {
        assert!(secret.len() >= 9, "{what} is too short to be looked for");
        self.0.insert(secret.to_owned(), what.to_owned());
    }

    /// Adds every token and number in an answer.
    fn add_answer(&mut self, answer: &Answer) {
        for name in ["client_token", "token"] {
            if let Some(token) = answer.body[name].as_str() {
                self.add(name, token);
            }
        }
    }

    /// Whether there is one of this kind.
    #[must_use]
    pub fn holds(&self, what: &str) -> bool {
        self.0.values().any(|kind| kind == what)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The lines in which one of them stands, whole, in whatever digits; each with what it is.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<String> {
        let plain: String = text
            .chars()
            .map(|c| {
                let digit = DEVANAGARI.iter().position(|digit| *digit == c);
                digit.and_then(|digit| char::from_digit(u32::try_from(digit).ok()?, 10)).unwrap_or(c)
            })
            .collect();
        let mut found = Vec::new();
        for line in plain.lines() {
            // Numbers are also written in groups.
            let joined: String = line.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
            for (secret, what) in &self.0 {
                let grouped = secret.bytes().all(|byte| byte.is_ascii_digit()) && joined.contains(secret);
                if line.contains(secret) || grouped {
                    found.push(format!("{what}: {line}"));
                }
            }
        }
        found
    }
}

/// Where to walk.
#[derive(Debug)]
pub struct Ground {
    /// The API's public address.
    pub api: String,
    /// The simulator's.
    pub sandbox: String,
    /// The API's admin address.
    pub admin: String,
    /// An API key, of a client that may send browsers back to [`BACK`].
    pub key: String,
    /// An operator's key.
    pub operator_key: String,
    /// Calls both.
    pub http: Client,
}

/// The numbers that are walked with, national; one of each operator, so that their endings differ.
const NUMBERS: [&str; 8] = [
    "9812345678",
    "9841234567",
    "9851098765",
    "9867772221",
    "9611223344",
    "9700011122",
    "9888123450",
    "9823344556",
];

/// Where hosted pages send the browser at their end.
pub const BACK: &str = "https://shop.example/verified";

/// A code that is wrong in every digit.
fn off_by_one(code: &str) -> String {
    code.bytes().map(|digit| char::from(b'0' + (digit - b'0' + 1) % 10)).collect()
}

impl Ground {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.api)).bearer_auth(&self.key)
    }

    async fn send(&self, secrets: &mut Secrets, request: RequestBuilder) -> Answer {
        let answer = Answer::of(request).await;
        secrets.add_answer(&answer);
        answer
    }

    async fn post(&self, secrets: &mut Secrets, path: &str, body: Value) -> Answer {
        self.send(secrets, self.request(Method::POST, path).json(&body)).await
    }

    async fn faults(&self, faults: Value) {
        let put = self.http.put(format!("{}/faults", self.sandbox)).json(&faults).send().await;
        assert_eq!(put.expect("the simulator answers").status(), StatusCode::OK);
    }

    /// The code of the newest message to a number.
    async fn code(&self, secrets: &mut Secrets, phone: &str) -> String {
        let url = format!("{}/inbox.json?to={phone}&limit=1", self.sandbox);
        let code = eventually("the code", || async {
            let inbox = Answer::of(self.http.get(&url)).await.body;
            inbox[0]["code"].as_str().map(str::to_owned)
        })
        .await;
        secrets.add("a code", &code);
        code
    }

    async fn until_delivery(&self, id: &str, wanted: &[&str]) {
        eventually(id, || async {
            let answer = Answer::of(self.request(Method::GET, &format!("/v1/verifications/{id}"))).await;
            let status = answer.body["delivery"]["status"].as_str()?.to_owned();
            wanted.contains(&status.as_str()).then_some(())
        })
        .await;
    }
}

/// Walks, and answers what must not be found afterwards. Codes must have ten digits: shorter ones would be found by chance.
///
/// # Panics
/// When something does not go as it should.
pub async fn walk(ground: &Ground) -> Secrets {
    let mut secrets = Secrets::default();
    secrets.add("the API key", &ground.key);
    for number in NUMBERS {
        secrets.add("a number", number);
    }
    whole(ground, &mut secrets).await;
    signing_in(ground, &mut secrets).await;
    refused_by_the_gateway(ground, &mut secrets).await;
    support(ground, &mut secrets).await;
    hosted::walk(ground, &mut secrets).await;
    console::walk(ground, &mut secrets).await;
    nonsense(ground, &mut secrets).await;
    secrets
}

/// Create, again, wrong, resend, right, and right once more.
async fn whole(ground: &Ground, secrets: &mut Secrets) {
    let [phone, nepali, ..] = NUMBERS;
    let body = json!({ "phone": phone, "purpose": "sign_up", "session": format!("s-{phone}"),
        "metadata": { "phone": phone }, "end_user_ip": "203.0.113.9" });
    let mut id = String::new();
    for _ in 0..2 {
        let request = ground.request(Method::POST, "/v1/verifications").json(&body);
        let request = request
            .header("idempotency-key", format!("order-{phone}"))
            .header("x-request-id", phone)
            .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let answer = ground.send(secrets, request).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        id = answer.id();
    }
    let code = ground.code(secrets, phone).await;
    let check = format!("/v1/verifications/{id}/check");
    let wrong = off_by_one(&code);
    secrets.add("a wrong code", &wrong);
    for (typed, status) in [(wrong.as_str(), 422), ("12", 422), (phone, 422)] {
        let answer = ground.post(secrets, &check, json!({ "code": typed })).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let resent = format!("/v1/verifications/{id}/resend");
    eventually("a resend", || async {
        let answer = Answer::of(ground.request(Method::POST, &resent)).await;
        (answer.status == 202).then_some(())
    })
    .await;
    ground.until_delivery(&id, &["sent"]).await;
    let waited = ground.request(Method::GET, &format!("/v1/verifications/{id}?wait=1"));
    assert_eq!(ground.send(secrets, waited.header("if-none-match", "\"0\"")).await.status, 200);
    let code = ground.code(secrets, phone).await;
    for status in [200, 409] {
        let answer = ground.post(secrets, &check, json!({ "code": code })).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let events = ground.request(Method::GET, &format!("/v1/verifications/{id}/events"));
    assert_eq!(events.send().await.expect("an answer").status(), StatusCode::OK);

    // Another one in Nepali, by its client token, typed as people type, and taken back.
    let typed: String = nepali.bytes().map(|digit| DEVANAGARI[usize::from(digit - b'0')]).collect();
    let answer = ground
        .post(secrets, "/v1/verifications", json!({ "phone": format!("+977 {typed}"), "locale": "ne" }))
        .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    ground.code(secrets, nepali).await;
    let token = answer.body["client_token"].as_str().expect("a client token").to_owned();
    let url = format!("{}/v1/verifications/{}", ground.api, answer.id());
    for method in [Method::GET, Method::DELETE] {
        let answer = Answer::of(ground.http.request(method, &url).bearer_auth(&token)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// Somebody with an account, and a stranger.
async fn signing_in(ground: &Ground, secrets: &mut Secrets) {
    let [_, _, known, stranger, ..] = NUMBERS;
    let account = json!({ "username": "asha", "phone": known, "email": "asha@example.com" });
    let account = ground.post(secrets, "/v1/accounts", account).await;
    assert_eq!(account.status, 201, "{account:?}");
    let verify = json!({ "phone": known, "purpose": "sign_up", "account_id": account.body["id"] });
    let id = ground.post(secrets, "/v1/verifications", verify).await.id();
    let code = ground.code(secrets, known).await;
    let check = format!("/v1/verifications/{id}/check");
    assert_eq!(ground.post(secrets, &check, json!({ "code": code })).await.status, 200);
    for phone in [known, stranger] {
        let body = json!({ "phone": phone, "purpose": "sign_in" });
        // The number's pace may ask for a moment's patience.
        let answer = eventually("a sign-in", || async {
            let answer = Answer::of(ground.request(Method::POST, "/v1/verifications").json(&body)).await;
            (answer.status == 202).then_some(answer)
        })
        .await;
        secrets.add_answer(&answer);
        // A message that still waits for its number's pace would meet the faults of a later part in the place of that part's own.
        ground.until_delivery(&answer.id(), &["sent"]).await;
    }
    let list = ground.request(Method::GET, &format!("/v1/accounts?phone={known}"));
    assert_eq!(ground.send(secrets, list).await.status, 200);
}

/// The gateway refuses one for good, says nothing readable about another, and refuses the account.
async fn refused_by_the_gateway(ground: &Ground, secrets: &mut Secrets) {
    let [_, _, _, _, wrong, odd, last, _] = NUMBERS;
    ground.faults(json!({ "response_code": 1007 })).await;
    let id = ground.post(secrets, "/v1/verifications", json!({ "phone": wrong })).await.id();
    ground.until_delivery(&id, &["failed"]).await;
    ground.faults(json!({ "response_code": null, "error_rate": 1.0 })).await;
    let id = ground.post(secrets, "/v1/verifications", json!({ "phone": odd })).await.id();
    eventually("an error", || async {
        let answer = Answer::of(ground.request(Method::GET, &format!("/v1/verifications/{id}"))).await;
        (!answer.body["delivery"]["error"].is_null()).then_some(())
    })
    .await;
    ground.faults(json!({ "error_rate": 0.0, "response_code": 1002 })).await;
    let other = id;
    let id = ground.post(secrets, "/v1/verifications", json!({ "phone": last })).await.id();
    // Whichever is called for first meets the refusal; the other one waits for the circuit then.
    eventually("the account's refusal", || async {
        for id in [&id, &other] {
            let answer = Answer::of(ground.request(Method::GET, &format!("/v1/verifications/{id}"))).await;
            if answer.body["delivery"]["error"]["code"] == "account-refused" {
                return Some(());
            }
        }
        None
    })
    .await;
    ground.faults(json!({ "response_code": null })).await;
    ground.until_delivery(&id, &["sent"]).await;
    ground.code(secrets, last).await;
}

/// What support staff do.
async fn support(ground: &Ground, secrets: &mut Secrets) {
    let phone = NUMBERS[0];
    for path in [format!("/v1/phones/{phone}"), format!("/v1/verifications?phone={phone}&status=approved")] {
        assert_eq!(ground.send(secrets, ground.request(Method::GET, &path)).await.status, 200);
    }
    let block = ground
        .request(Method::PUT, &format!("/v1/phones/%2B977{phone}/block"))
        .json(&json!({ "until": "2100-01-01T00:00:00Z", "reason": format!("called from {phone}") }));
    assert_eq!(ground.send(secrets, block).await.status, 200);
    let answer = ground.post(secrets, "/v1/verifications", json!({ "phone": phone })).await;
    assert_eq!((answer.status, answer.problem()), (403, "phone-blocked"));
    let lift = ground.request(Method::DELETE, &format!("/v1/phones/{phone}/block"));
    assert_eq!(ground.send(secrets, lift).await.status, 200);
}

/// Numbers and keys where none belong.
async fn nonsense(ground: &Ground, secrets: &mut Secrets) {
    let phone = NUMBERS[0];
    for body in [
        format!("{{\"phone\":{phone}}}"),
        format!("{{\"phone\":\"{phone}\",\"{phone}\":1}}"),
        format!("{{\"phone\":\"{phone}\""),
        format!("{{\"phone\":\"{phone}0\"}}"),
        format!("{{\"phone\":\"{phone}\",\"account_id\":\"{phone}\"}}"),
    ] {
        let request = ground.request(Method::POST, "/v1/verifications").body(body);
        let answer = ground.send(secrets, request.header("content-type", "application/json")).await;
        assert!((400..=422).contains(&answer.status), "{answer:?}");
    }
    for path in [
        format!("/v1/{phone}"),
        format!("/v1/verifications/{phone}"),
        format!("/v1/verifications?phone={phone}&limit={phone}"),
        format!("/v1/phones/{phone}?key={}", ground.key),
    ] {
        let answer = ground.send(secrets, ground.request(Method::GET, &path)).await;
        assert!(answer.status == 200 || (400..=422).contains(&answer.status), "{answer:?}");
    }
    let stranger = "hk_nobody-has-such-a-key-at-all-0001";
    secrets.add("a wrong key", stranger);
    let request = ground.http.get(format!("{}/v1/phones/{phone}", ground.api)).bearer_auth(stranger);
    assert_eq!(Answer::of(request).await.status, 401);
    let upgrade = ground.request(Method::POST, "/v1/verifications").header("content-type", phone);
    assert_eq!(ground.send(secrets, upgrade.body(phone)).await.status, 415);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The search finds what it is to find; were it blind, every log would seem clean.
    #[test]
    fn a_leak_is_found_however_it_is_written() {
        let mut secrets = Secrets::default();
        secrets.add("a number", "9812345678");
        secrets.add("a code", "0451234567");
        secrets.add("a key", "hk_V1StGXR8_Z5jdHi6B-myT4f0q2");
        for leak in [
            "to=+9779812345678",
            r#"{"phone":"9812345678"}"#,
            "+977 981-234-5678 called",
            "९८१२३४५६७८",
            "0451234567 is your Hulak code",
            "Bearer hk_V1StGXR8_Z5jdHi6B-myT4f0q2\r",
        ] {
            let line = format!("clean\n{leak}\nclean");
            assert_eq!(secrets.find(&line).len(), 1, "{leak}");
        }
        for clean in ["+97798•••••678", "981234567", "hk_V1StGXR8", "2026-11-24T12:03:29.719045Z", ""]
        {
            assert_eq!(secrets.find(clean), Vec::<String>::new(), "{clean}");
        }
    }
}
