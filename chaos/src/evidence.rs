//! The evidence after a run: the rows, what the gateway accepted, what the clients were answered, and what the APIs show.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use hulak_common::clock::Stopwatch;
use hulak_common::code::{CodeLength, KeyId, Salt};
use hulak_common::phone::PhoneNumber;
use hulak_common::verification::{Delivery, Route, Status};
use reqwest::Method;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row as _};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::deployment::Deployment;
use crate::error::ChaosError;
use crate::fault_log::FaultWindow;
use crate::load::caller::{Caller, Reply};
use crate::load::log::{CallLog, Checked};
use crate::millis::Millis;

/// Calls at a time when everything is read through the APIs.
const READERS: usize = 16;

/// A row of `verifications`.
#[derive(Debug, Clone)]
pub struct Verification {
    /// Its id.
    pub id: Uuid,
    /// The client.
    pub client: Uuid,
    /// Ten digits.
    pub phone: String,
    /// Its status.
    pub status: Status,
    /// The delivery of its newest message.
    pub delivery: Delivery,
    /// How many messages it has.
    pub messages: i32,
    /// The code of each of its epochs, from epoch 0.
    pub codes: Vec<String>,
    /// When its code expires.
    pub expires_at: Millis,
    /// When it ended.
    pub ended_at: Option<Millis>,
}

/// A row of `messages`.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its verification.
    pub verification: Uuid,
    /// Its number within the verification, from 1.
    pub seq: i32,
    /// Ten digits.
    pub phone: String,
    /// The epoch of its code.
    pub epoch: i32,
    /// Its route.
    pub route: Route,
    /// Its state.
    pub state: Delivery,
    /// Calls of the gateway.
    pub attempts: i32,
    /// Calls of unknown outcome.
    pub ambiguous: i32,
    /// The gateway's code of the last refusal.
    pub gateway_code: Option<i32>,
    /// When it was requested.
    pub created_at: Millis,
}

/// A row of `numbers`.
#[derive(Debug, Clone)]
pub struct Number {
    /// Ten digits.
    pub phone: String,
    /// Messages that the gateway accepted.
    pub otp_count: i64,
    /// Calls of unknown outcome.
    pub ambiguous_count: i64,
}

/// A message that the gateway accepted.
#[derive(Debug, Clone)]
pub struct Taken {
    /// Ten digits.
    pub phone: String,
    /// The code in it.
    pub code: Option<String>,
    /// When.
    pub at: Millis,
}

/// What an API shows of a verification.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Its id.
    pub id: Uuid,
    /// The delivery's status.
    pub delivery: String,
    /// The count of messages.
    pub messages: i64,
}

/// All evidence of a run.
#[derive(Debug, Default)]
pub struct Evidence {
    /// The rows.
    pub verifications: Vec<Verification>,
    /// The rows.
    pub messages: Vec<Message>,
    /// The rows.
    pub numbers: Vec<Number>,
    /// What the gateway accepted, oldest first.
    pub taken: Vec<Taken>,
    /// The verifications that the clients know, with their numbers.
    pub accepted: HashMap<Uuid, String>,
    /// Every check.
    pub checks: Vec<Checked>,
    /// When each API answered a request for a code.
    pub decided: Vec<Vec<Millis>>,
    /// What the APIs show; without those reads that failed.
    pub shown: Vec<Shown>,
    /// The counts that the APIs show: the number's ten digits, `otp_count`, `ambiguous_count`.
    pub counted: Vec<(String, i64, i64)>,
    /// The faults.
    pub windows: Vec<FaultWindow>,
    /// Numbers and codes found in the programs' logs, by log.
    pub leaks: Vec<String>,
    /// Lines of the logs about a panic.
    pub panics: Vec<String>,
}

impl Evidence {
    /// All evidence as text, one item a line.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let mut line = |item: &dyn std::fmt::Debug| text.push_str(&format!("{item:?}\n"));
        self.windows.iter().for_each(|item| line(item));
        self.verifications.iter().for_each(|item| line(item));
        self.messages.iter().for_each(|item| line(item));
        self.numbers.iter().for_each(|item| line(item));
        self.taken.iter().for_each(|item| line(item));
        self.checks.iter().for_each(|item| line(item));
        text
    }
}

/// Waits until no message is open any more, except those to the numbers in `but`. Gives up when nothing has changed for `limit`,
/// and answers how many are still open.
///
/// # Errors
/// When the database cannot be read.
pub async fn settle(
    deployment: &Deployment,
    limit: Duration,
    but: Option<(i64, i64)>,
) -> Result<i64, ChaosError> {
    let pool = pool(deployment)?;
    let (first, last) = but.unwrap_or_default();
    let sql =
        "SELECT count(*) FROM messages WHERE state IN ('queued', 'sending') AND phone NOT BETWEEN $1 AND $2";
    let (mut watch, mut least) = (Stopwatch::start(), i64::MAX);
    while least > 0 && watch.elapsed() < limit {
        let open: i64 = sqlx::query_scalar(sql).bind(first).bind(last).fetch_one(&pool).await?;
        if open < least {
            (watch, least) = (Stopwatch::start(), open);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    pool.close().await;
    Ok(least)
}

fn pool(deployment: &Deployment) -> Result<PgPool, ChaosError> {
    Ok(PgPool::connect_lazy(&deployment.database_url)?)
}

/// Reads everything.
///
/// # Errors
/// When the database cannot be read.
pub async fn gather(deployment: &Arc<Deployment>, caller: &Arc<Caller>) -> Result<Evidence, ChaosError> {
    let pool = pool(deployment)?;
    let mut evidence = Evidence {
        verifications: read_verifications(deployment, &pool).await?,
        messages: read_messages(&pool).await?,
        numbers: read_numbers(&pool).await?,
        taken: taken(deployment),
        windows: deployment.fault_log.windows(),
        ..Evidence::default()
    };
    let owners = owners(deployment, &pool).await?;
    pool.close().await;
    {
        let log: &CallLog = &caller.log.lock();
        evidence.accepted.clone_from(&log.accepted);
        evidence.checks.clone_from(&log.checks);
        evidence.decided.clone_from(&log.decided);
    }
    for decided in &mut evidence.decided {
        decided.sort_unstable();
    }
    (evidence.shown, evidence.counted) = ask_the_apis(caller, &evidence, &owners).await?;
    read_logs(deployment, &mut evidence)?;
    Ok(evidence)
}

/// The ten digits of a number in the tables.
fn national(stored: i64) -> Result<String, ChaosError> {
    let number = PhoneNumber::from_i64(stored);
    let number = number.ok_or_else(|| ChaosError::Setup("a row has no number".to_owned()))?;
    Ok(number.national().as_str().to_owned())
}

fn word<T: std::str::FromStr>(row: &PgRow, column: &str) -> Result<T, ChaosError> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|_| ChaosError::Setup(format!("the {column} {text:?} is not known")))
}

async fn read_verifications(deployment: &Deployment, pool: &PgPool) -> Result<Vec<Verification>, ChaosError> {
    let sql = "SELECT id, client_id, phone, salt, key_id, code_length, status, epoch, expires_at, delivery, \
         messages, ended_at FROM verifications ORDER BY id";
    let rows = sqlx::query(sql).fetch_all(pool).await?;
    rows.iter().map(|row| verification(deployment, row)).collect()
}

fn verification(deployment: &Deployment, row: &PgRow) -> Result<Verification, ChaosError> {
    let strange = |what: &str| ChaosError::Setup(format!("a verification's {what} is not readable"));
    let id: Uuid = row.try_get("id")?;
    let salt: Vec<u8> = row.try_get("salt")?;
    let salt = Salt(salt.try_into().map_err(|_| strange("salt"))?);
    let key = KeyId::from_i64(row.try_get("key_id")?).ok_or_else(|| strange("key"))?;
    let digits = u8::try_from(row.try_get::<i32, _>("code_length")?).map_err(|_| strange("code length"))?;
    let length = CodeLength::new(digits).map_err(|_| strange("code length"))?;
    let epoch: i32 = row.try_get("epoch")?;
    let code =
        |epoch| deployment.keyring.code(key, &salt, id, epoch, length).map(|code| code.expose().to_owned());
    Ok(Verification {
        id,
        client: row.try_get("client_id")?,
        phone: national(row.try_get("phone")?)?,
        status: word(row, "status")?,
        delivery: word(row, "delivery")?,
        messages: row.try_get("messages")?,
        codes: (0..=epoch).map(code).collect::<Option<_>>().ok_or_else(|| strange("key"))?,
        expires_at: row.try_get("expires_at")?,
        ended_at: row.try_get("ended_at")?,
    })
}

async fn read_messages(pool: &PgPool) -> Result<Vec<Message>, ChaosError> {
    let sql = "SELECT verification_id, seq, phone, epoch, route, state, attempts, ambiguous, gateway_code, \
         created_at FROM messages ORDER BY verification_id, seq";
    let message = |row: &PgRow| {
        Ok(Message {
            verification: row.try_get("verification_id")?,
            seq: row.try_get("seq")?,
            phone: national(row.try_get("phone")?)?,
            epoch: row.try_get("epoch")?,
            route: word(row, "route")?,
            state: word(row, "state")?,
            attempts: row.try_get("attempts")?,
            ambiguous: row.try_get("ambiguous")?,
            gateway_code: row.try_get("gateway_code")?,
            created_at: row.try_get("created_at")?,
        })
    };
    sqlx::query(sql).fetch_all(pool).await?.iter().map(message).collect()
}

async fn read_numbers(pool: &PgPool) -> Result<Vec<Number>, ChaosError> {
    let sql = "SELECT phone, otp_count, ambiguous_count FROM numbers ORDER BY phone";
    let number = |row: &PgRow| {
        Ok(Number {
            phone: national(row.try_get("phone")?)?,
            otp_count: row.try_get("otp_count")?,
            ambiguous_count: row.try_get("ambiguous_count")?,
        })
    };
    sqlx::query(sql).fetch_all(pool).await?.iter().map(number).collect()
}

fn taken(deployment: &Deployment) -> Vec<Taken> {
    let inbox = deployment.sandbox.inbox();
    let taken = inbox.iter().rev().map(|message| Taken {
        phone: message.to.clone(),
        code: message.code.clone(),
        at: message.received_at.as_millis(),
    });
    taken.collect()
}

/// The index of each client's API key.
async fn owners(deployment: &Deployment, pool: &PgPool) -> Result<HashMap<Uuid, usize>, ChaosError> {
    let mut owners = HashMap::new();
    for (n, key) in deployment.keys.iter().enumerate() {
        let sql = "SELECT client_id FROM api_keys WHERE hash = $1";
        let hash = key.hash();
        if let Some(owner) = sqlx::query_scalar(sql).bind(hash.as_slice()).fetch_optional(pool).await? {
            owners.insert(owner, n);
        }
    }
    Ok(owners)
}

type Answers = (Vec<Shown>, Vec<(String, i64, i64)>);

async fn ask_the_apis(
    caller: &Arc<Caller>,
    evidence: &Evidence,
    owners: &HashMap<Uuid, usize>,
) -> Result<Answers, ChaosError> {
    let ids: Vec<_> =
        evidence.verifications.iter().map(|row| (row.id, owners.get(&row.client).copied())).collect();
    let phones: Vec<_> = evidence.numbers.iter().map(|row| row.phone.clone()).collect();
    let (mut shown, mut counted) = (Vec::new(), Vec::new());
    for chunk in ids.chunks(READERS) {
        let mut asking = JoinSet::new();
        for (n, (id, key)) in chunk.iter().copied().enumerate() {
            let (Some(key), caller) = (key, Arc::clone(caller)) else { continue };
            asking.spawn(async move { caller.read(n, key, id).await.map(|body| view(id, &body)) });
        }
        shown.extend(asking.join_all().await.into_iter().flatten());
    }
    for chunk in phones.chunks(READERS) {
        let mut asking = JoinSet::new();
        for (n, phone) in chunk.iter().cloned().enumerate() {
            let caller = Arc::clone(caller);
            asking.spawn(async move { count(&caller, n, phone).await });
        }
        counted.extend(asking.join_all().await.into_iter().flatten());
    }
    Ok((shown, counted))
}

fn view(id: Uuid, body: &Value) -> Shown {
    let delivery = &body["delivery"];
    Shown {
        id,
        delivery: delivery["status"].as_str().unwrap_or_default().to_owned(),
        messages: delivery["messages"].as_i64().unwrap_or(-1),
    }
}

async fn count(caller: &Caller, api: usize, phone: String) -> Option<(String, i64, i64)> {
    let Reply::Answer(200, body) =
        caller.call(api, 0, Method::GET, &format!("/v1/phones/{phone}"), None).await
    else {
        return None;
    };
    let number = |name: &str| body[name].as_i64().unwrap_or(-1);
    Some((phone, number("otp_count"), number("ambiguous_count")))
}

/// Searches the programs' logs for numbers, codes and panics.
fn read_logs(deployment: &Deployment, evidence: &mut Evidence) -> Result<(), ChaosError> {
    let mut secret: HashSet<&str> = evidence.numbers.iter().map(|number| number.phone.as_str()).collect();
    secret.extend(evidence.verifications.iter().flat_map(|row| row.codes.iter().map(String::as_str)));
    let (mut leaks, mut panics) = (Vec::new(), Vec::new());
    for program in deployment.children().filter(|program| program.log.exists()) {
        let bytes = std::fs::read(&program.log)?;
        for line in String::from_utf8_lossy(&bytes).lines() {
            let runs = line.split(|c: char| !c.is_ascii_digit());
            let ten = runs.map(|run| run.strip_prefix("977").filter(|rest| rest.len() == 10).unwrap_or(run));
            if ten.into_iter().any(|run| secret.contains(run)) {
                leaks.push(format!("{}: {line}", program.target));
            }
            if line.contains("panicked") {
                panics.push(format!("{}: {line}", program.target));
            }
        }
    }
    (evidence.leaks, evidence.panics) = (leaks, panics);
    Ok(())
}
