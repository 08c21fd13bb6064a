//! Calls of the APIs, and their outcomes: an answer, or an unknown outcome.

use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use super::log::{Checked, SharedLog};
use crate::deployment::Deployment;
use crate::error::ChaosError;
use crate::promise::{Broken, Promise};

/// Longer than a handler may take.
const CALL_LIMIT: Duration = Duration::from_secs(25);
/// How often a request for a code is repeated: for minutes.
const TRIES: u32 = 90;
/// The pause before the first repetition. It grows, because frequent repetitions would slow down a busy machine further.
const PAUSE: Duration = Duration::from_millis(400);
const MAX_PAUSE: Duration = Duration::from_secs(4);

/// The outcome of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// An answer, other than 503.
    Answer(u16, Value),
    /// No answer, or 503: whether the request was carried out is unknown.
    Unsure,
}

/// Calls the APIs.
#[derive(Debug)]
pub struct Caller {
    /// The answers.
    pub log: SharedLog,
    http: Client,
    urls: Vec<String>,
    keys: Vec<String>,
    clock: hulak_common::clock::SharedClock,
    broken: std::sync::Mutex<Vec<String>>,
}

impl Caller {
    /// A caller of this deployment's APIs.
    ///
    /// # Errors
    /// When no HTTP client can be had.
    pub fn new(deployment: &Deployment) -> Result<Self, ChaosError> {
        let http = Client::builder().timeout(CALL_LIMIT).connect_timeout(Duration::from_secs(2)).build();
        let log = SharedLog::default();
        log.lock().decided = vec![Vec::new(); deployment.apis.len()];
        Ok(Self {
            log,
            http: http.map_err(|error| ChaosError::Setup(error.to_string()))?,
            urls: deployment.apis.iter().map(|api| api.url.clone()).collect(),
            keys: deployment.keys.iter().map(|key| key.expose().to_owned()).collect(),
            clock: deployment.clock.clone(),
            broken: std::sync::Mutex::default(),
        })
    }

    /// One call. Unexpected statuses are noted as broken promises.
    pub async fn call(
        &self,
        api: usize,
        key: usize,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Reply {
        let url = format!("{}{path}", self.urls[api % self.urls.len()]);
        let mut request = self.http.request(method.clone(), url);
        request = request.bearer_auth(&self.keys[key % self.keys.len()]);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let Ok(response) = request.send().await else { return Reply::Unsure };
        let status = response.status().as_u16();
        // With an incomplete body the outcome is unknown.
        let Ok(bytes) = response.bytes().await else { return Reply::Unsure };
        *self.log.lock().statuses.entry(status).or_default() += 1;
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        match status {
            503 => Reply::Unsure,
            200 | 202 | 304 | 405 | 409 | 410 | 422 | 429 => Reply::Answer(status, body),
            _ => {
                let kind = body["type"].as_str().and_then(|kind| kind.rsplit('/').next()).unwrap_or_default();
                self.note(format!("{method} {} was answered {status} {kind}", masked(path)));
                Reply::Answer(status, body)
            }
        }
    }

    fn note(&self, what: String) {
        self.broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(what);
    }

    /// The unexpected answers.
    #[must_use]
    pub fn broken(&self) -> Vec<Broken> {
        let broken = self.broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        broken.iter().map(|what| Broken { promise: Promise::Answers, what: what.clone() }).collect()
    }

    /// Requests a code once. `None` when the outcome is unknown.
    pub async fn create_once(
        &self,
        api: usize,
        key: usize,
        phone: &str,
        session: &str,
        sign_in: bool,
    ) -> Option<(u16, Value)> {
        let purpose = if sign_in { "sign_in" } else { "verify" };
        let body = json!({ "phone": phone, "session": session, "purpose": purpose });
        let reply = self.call(api, key, Method::POST, "/v1/verifications", Some(body)).await;
        let Reply::Answer(status, body) = reply else { return None };
        let mut log = self.log.lock();
        let now = self.clock.now().as_millis();
        if status != 500
            && let Some(decided) = log.decided.get_mut(api)
        {
            decided.push(now);
        }
        if matches!(status, 200 | 202)
            && let Some(id) = id(&body)
            && log.accepted.insert(id, phone.to_owned()).is_none()
        {
            log.created += 1;
        }
        Some((status, body))
    }

    /// Requests a code until there is an answer, at one API after the other, as behind a load balancer.
    pub async fn create(
        &self,
        api: usize,
        key: usize,
        phone: &str,
        session: &str,
        sign_in: bool,
    ) -> Option<Uuid> {
        for turn in 0..TRIES {
            match self
                .create_once((api + turn as usize) % self.urls.len(), key, phone, session, sign_in)
                .await
            {
                Some((200 | 202, body)) => return id(&body),
                Some((500.., _)) | None => {
                    self.log.lock().again += 1;
                    sleep(pause(turn)).await;
                }
                Some(_) => return None,
            }
        }
        self.log.lock().given_up += 1;
        None
    }

    /// Checks a code once.
    pub async fn check(&self, api: usize, key: usize, verification: Uuid, code: &str) -> Reply {
        let path = format!("/v1/verifications/{verification}/check");
        let reply = self.call(api, key, Method::POST, &path, Some(json!({ "code": code }))).await;
        let status = match &reply {
            Reply::Answer(status, _) if *status < 500 => Some(*status),
            _ => None,
        };
        self.log.lock().checks.push(Checked { verification, code: code.to_owned(), status });
        reply
    }

    /// Reads a verification.
    pub async fn read(&self, api: usize, key: usize, verification: Uuid) -> Option<Value> {
        match self.call(api, key, Method::GET, &format!("/v1/verifications/{verification}"), None).await {
            Reply::Answer(200, body) => Some(body),
            _ => None,
        }
    }
}

/// The pause after this many failed tries.
pub(super) fn pause(tries: u32) -> Duration {
    (PAUSE * 2_u32.saturating_pow(tries.min(8))).min(MAX_PAUSE)
}

fn id(body: &Value) -> Option<Uuid> {
    body["id"].as_str()?.parse().ok()
}

/// The path without a phone number, as it is printed.
fn masked(path: &str) -> String {
    match path.rsplit_once("/phones/") {
        Some((head, _)) => format!("{head}/phones/…"),
        None => path.to_owned(),
    }
}
