//! Calls, and what comes back: an answer, or nothing that can be relied on.

use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use super::{Checked, SharedLog};
use crate::judge::Promise;
use crate::{ChaosError, World};

/// Longer than a handler may take.
const PATIENCE: Duration = Duration::from_secs(25);
/// How often a request for a code is made again: for minutes.
const TRIES: u32 = 90;
/// The pause before it is, growing: a crowd that asks every moment would only keep a slow machine slow.
const PAUSE: Duration = Duration::from_millis(400);
const MAX_PAUSE: Duration = Duration::from_secs(4);

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// A decision.
    Answer(u16, Value),
    /// No answer, or 503: it may have been done or not.
    Unsure,
}

/// Calls the APIs.
#[derive(Debug)]
pub struct Caller {
    /// What was seen.
    pub log: SharedLog,
    http: Client,
    urls: Vec<String>,
    keys: Vec<String>,
    clock: hulak_common::clock::SharedClock,
    broken: std::sync::Mutex<Vec<String>>,
}

impl Caller {
    /// Calls this world's APIs.
    ///
    /// # Errors
    /// When no HTTP client can be had.
    pub fn new(world: &World) -> Result<Self, ChaosError> {
        let http = Client::builder().timeout(PATIENCE).connect_timeout(Duration::from_secs(2)).build();
        let log = SharedLog::default();
        log.lock().decided = vec![Vec::new(); world.apis.len()];
        Ok(Self {
            log,
            http: http.map_err(|error| ChaosError::Setup(error.to_string()))?,
            urls: world.apis.iter().map(|api| api.url.clone()).collect(),
            keys: world.keys.iter().map(|key| key.expose().to_owned()).collect(),
            clock: world.clock.clone(),
            broken: std::sync::Mutex::default(),
        })
    }

    /// One call. Statuses that no caller should ever see are noted.
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
        // A body that breaks off: the head was an answer, but not one to build on.
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

    /// Answers that nobody should have got.
    #[must_use]
    pub fn broken(&self) -> Vec<crate::judge::Broken> {
        let broken = self.broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        broken
            .iter()
            .map(|what| crate::judge::Broken { promise: Promise::Answers, what: what.clone() })
            .collect()
    }

    /// Asks for a code once. `None` when nobody can tell what became of it.
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

    /// Asks for a code until there is a decision, at one API after the other, as a load balancer would have it.
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

/// The pause after so many tries in vain.
pub(super) fn pause(tries: u32) -> Duration {
    (PAUSE * 2_u32.saturating_pow(tries.min(8))).min(MAX_PAUSE)
}

fn id(body: &Value) -> Option<Uuid> {
    body["id"].as_str()?.parse().ok()
}

/// Without a phone number: what is printed may be kept.
fn masked(path: &str) -> String {
    match path.rsplit_once("/phones/") {
        Some((head, _)) => format!("{head}/phones/…"),
        None => path.to_owned(),
    }
}
