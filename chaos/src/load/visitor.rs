//! What the person does who asked for a code.

use std::sync::Arc;
use std::time::Duration;

use hulak_common::clock::Stopwatch;
use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use super::caller::pause;
use super::{Caller, Inbox, Reply, Then, Visit};
use crate::World;
use crate::judge::Promise;

/// How long somebody looks at the phone.
const WAIT: Duration = Duration::from_secs(40);
/// How long a page looks what became of it.
const POLLS: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(700);
const PAUSE: Duration = Duration::from_millis(500);
/// How far another process may be behind.
const BEHIND: Duration = Duration::from_secs(1);
/// How often a check is made again that nobody answered.
const TRIES: u32 = 40;
/// More than any verification bears.
const GUESSES: usize = 8;

pub(super) async fn visit(world: &World, caller: &Arc<Caller>, inbox: &Inbox, visit: Visit) {
    let Visit { api, key, phone, session, sign_in, then, .. } = visit;
    let Some(id) = caller.create(api, key, &phone, &session, sign_in).await else { return };
    let person = Person { world, caller, api, key, id };
    match then {
        Then::Leave => {}
        Then::Poll => person.poll().await,
        Then::Check { wrong } => {
            let Some(code) = inbox.code(&phone, WAIT).await else { return };
            for n in 0..wrong {
                person.check(&wrong_code(&code, n)).await;
            }
            if let Some((api, 200)) = person.check(&code).await {
                person.sees_the_approval(api).await;
            }
        }
        Then::Guess => {
            for n in 0..GUESSES {
                person.check(&wrong_code("0000000000", n)).await;
            }
            if let Some(code) = inbox.code(&phone, PAUSE).await {
                person.check(&code).await;
            }
        }
        Then::Stampede(size) => {
            if let Some(code) = inbox.code(&phone, WAIT).await {
                person.stampede(&code, size).await;
            }
        }
        Then::Cancel(after) => {
            sleep(after).await;
            person.cancel().await;
        }
        Then::Again(after) => {
            sleep(after).await;
            caller.create(api, key, &phone, &session, sign_in).await;
        }
    }
}

/// A code that is not this one.
fn wrong_code(code: &str, n: usize) -> String {
    let value = code.parse::<u64>().unwrap_or(0);
    format!("{:010}", (value + 1 + n as u64) % 10_000_000_000)
}

struct Person<'a> {
    world: &'a World,
    caller: &'a Arc<Caller>,
    api: usize,
    key: usize,
    id: Uuid,
}

impl Person<'_> {
    /// Until there is a decision about this code: whose it was, and what.
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

    /// Whoever was told so sees it there at once, and everywhere within a second, whether news of it came through or not.
    async fn sees_the_approval(&self, told_by: usize) {
        self.sees_approved(told_by, "right after its approval").await;
        sleep(BEHIND).await;
        self.sees_approved(told_by + 1, "a second after its approval").await;
    }

    async fn sees_approved(&self, api: usize, when: &str) {
        if let Some(body) = self.caller.read(api, self.key, self.id).await
            && body["status"] != "approved"
        {
            self.world.complain(Promise::Shown, format!("{} reads {} {when}", self.id, body["status"]));
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

    /// Until the message is on its way. A version never goes back, whoever is asked.
    async fn poll(&self) {
        let (watch, mut newest, mut turn) = (Stopwatch::start(), 0, 0);
        while watch.elapsed() < POLLS {
            if let Some(body) = self.caller.read(self.api + turn, self.key, self.id).await {
                let version = body["version"].as_i64().unwrap_or(0);
                if version < newest {
                    let what = format!("{} went back from version {newest} to {version}", self.id);
                    self.world.complain(Promise::Shown, what);
                }
                newest = version;
                if is_final(&body) {
                    return;
                }
            }
            turn += 1;
            sleep(POLL).await;
        }
    }
}

fn is_final(body: &Value) -> bool {
    !matches!(body["delivery"]["status"].as_str(), Some("queued" | "sending"))
}
