//! What a visitor does after the request for a code.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::clock::Stopwatch;
use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use super::caller::{Caller, Reply, pause};
use super::inbox::Inbox;
use super::visits::{FollowUp, Visit};
use crate::deployment::Deployment;
use crate::promise::Promise;

/// How long a visitor waits for the message.
const MESSAGE_LIMIT: Duration = Duration::from_secs(40);
/// How long a page polls.
const POLL_LIMIT: Duration = Duration::from_secs(15);
/// Between two polls.
const POLL_INTERVAL: Duration = Duration::from_millis(700);
const PAUSE: Duration = Duration::from_millis(500);
/// How long after a change another API may still show the former state.
const BEHIND: Duration = Duration::from_secs(1);
/// How often a check without an answer is repeated.
const TRIES: u32 = 40;
/// More than a verification allows.
const GUESSES: usize = 8;

pub(super) async fn visit(deployment: &Deployment, caller: &Arc<Caller>, inbox: &Inbox, visit: Visit) {
    let Visit { api, key, phone, session, sign_in, then, .. } = visit;
    let Some(id) = caller.create(api, key, &phone, &session, sign_in).await else { return };
    let visitor = Visitor { deployment, caller, api, key, id };
    match then {
        FollowUp::Leave => {}
        FollowUp::Poll => visitor.poll().await,
        FollowUp::Check { wrong } => {
            let Some(code) = inbox.code(&phone, MESSAGE_LIMIT).await else { return };
            for n in 0..wrong {
                visitor.check(&wrong_code(&code, n)).await;
            }
            if let Some((api, 200)) = visitor.check(&code).await {
                visitor.sees_the_approval(api).await;
            }
        }
        FollowUp::Guess => {
            for n in 0..GUESSES {
                visitor.check(&wrong_code("0000000000", n)).await;
            }
            if let Some(code) = inbox.code(&phone, PAUSE).await {
                visitor.check(&code).await;
            }
        }
        FollowUp::Stampede(size) => {
            if let Some(code) = inbox.code(&phone, MESSAGE_LIMIT).await {
                visitor.stampede(&code, size).await;
            }
        }
        FollowUp::Cancel(after) => {
            sleep(after).await;
            visitor.cancel().await;
        }
        FollowUp::Again(after) => {
            sleep(after).await;
            caller.create(api, key, &phone, &session, sign_in).await;
        }
    }
}

/// A different code.
fn wrong_code(code: &str, n: usize) -> String {
    let value = code.parse::<u64>().unwrap_or(0);
    format!("{:010}", (value + 1 + n as u64) % 10_000_000_000)
}

struct Visitor<'a> {
    deployment: &'a Deployment,
    caller: &'a Arc<Caller>,
    api: usize,
    key: usize,
    id: Uuid,
}

impl Visitor<'_> {
    /// Checks a code until there is an answer: which API answered, and the status.
    async fn check(&self, code: &str) -> Option<(usize, u16)> {
        for turn in 0..TRIES {
            let api = self.api + turn as usize;
            match self.caller.check(api, self.key, self.id, code).await {
                Reply::Answer(status, _) if status < 500 => return Some((api, status)),
                _ => sleep(pause(turn)).await,
            }
        }
        None
    }

    /// The API that answered shows the approval at once, and all others within a second, even without the event.
    async fn sees_the_approval(&self, answered_by: usize) {
        self.sees_approved(answered_by, "right after its approval").await;
        sleep(BEHIND).await;
        self.sees_approved(answered_by + 1, "a second after its approval").await;
    }

    async fn sees_approved(&self, api: usize, when: &str) {
        if let Some(body) = self.caller.read(api, self.key, self.id).await
            && body["status"] != "approved"
        {
            self.deployment
                .report_broken(Promise::Shown, format!("{} reads {} {when}", self.id, body["status"]));
        }
    }

    async fn stampede(&self, code: &str, size: usize) {
        let mut checks = JoinSet::new();
        for n in 0..size {
            let (caller, code) = (Arc::clone(self.caller), code.to_owned());
            let (api, key, id) = (self.api + n, self.key, self.id);
            checks.spawn(async move { caller.check(api, key, id, &code).await });
        }
        while checks.join_next().await.is_some() {}
    }

    async fn cancel(&self) {
        let path = format!("/v1/verifications/{}", self.id);
        for turn in 0..TRIES {
            match self.caller.call(self.api + turn as usize, self.key, Method::DELETE, &path, None).await {
                Reply::Answer(200, _) => {
                    self.caller.log.lock().canceled.push(self.id);
                    return;
                }
                Reply::Answer(..) => return,
                Reply::Unsure => sleep(pause(turn)).await,
            }
        }
    }

    /// Polls until the message's delivery has ended. No API may show an older version than one shown before.
    async fn poll(&self) {
        let (watch, mut newest, mut turn) = (Stopwatch::start(), 0, 0);
        while watch.elapsed() < POLL_LIMIT {
            if let Some(body) = self.caller.read(self.api + turn, self.key, self.id).await {
                let version = body["version"].as_i64().unwrap_or(0);
                if version < newest {
                    let what = format!("{} went back from version {newest} to {version}", self.id);
                    self.deployment.report_broken(Promise::Shown, what);
                }
                newest = version;
                if is_final(&body) {
                    return;
                }
            }
            turn += 1;
            sleep(POLL_INTERVAL).await;
        }
    }
}

fn is_final(body: &Value) -> bool {
    !matches!(body["delivery"]["status"].as_str(), Some("queued" | "sending"))
}
