//! What the overview shows, read together.

use std::time::Duration;

use hulak_broker::BrokerHealth;
use hulak_common::time::Timestamp;
use hulak_common::worker_registry::{Pause, WorkerRecord};
use hulak_service::metrics_history::{Board, Span};
use hulak_store::StoreError;
use serde::{Deserialize, Serialize};

use super::state::Console;
use super::status::{Calls, Facts, SendingStatus, is_alive, judge};

/// Waiting messages are counted up to this number.
pub(super) const MAX_WAITING: u32 = 10_000;
/// How long the page waits for the broker.
const BROKER_TIMEOUT: Duration = Duration::from_secs(2);

/// The `range` of a query: `day`, or else the last hour.
#[derive(Debug, Deserialize)]
pub(super) struct Range {
    range: Option<String>,
}

impl Range {
    pub(super) fn span(&self) -> Span {
        if self.range.as_deref() == Some("day") { Span::Day } else { Span::Hour }
    }
}

/// The overview; its JSON is the answer of `GET /operator/status`.
#[derive(Debug, Serialize)]
pub(super) struct Overview {
    #[serde(rename = "verdict")]
    pub(super) status: SendingStatus,
    pub(super) pause: Option<Pause>,
    pub(super) at: Timestamp,
    pub(super) queue: Queue,
    pub(super) credits: Credits,
    pub(super) workers: Vec<WorkerView>,
    #[serde(rename = "operators")]
    pub(super) carriers: Vec<CarrierMetrics>,
    /// The last hour, or the last day.
    pub(super) sums: Sums,
}

#[derive(Debug, Serialize)]
pub(super) struct Queue {
    /// Messages that are due and wait for a worker.
    pub(super) waiting: u64,
    /// How long the oldest has waited, in seconds.
    pub(super) oldest_seconds: f64,
    /// Messages that wait for another try at the gateway.
    pub(super) retrying: u64,
    /// Until the next of them, in seconds.
    pub(super) next_retry_seconds: Option<f64>,
    /// Jobs at the broker; none when the broker does not answer.
    pub(super) jobs: Option<u64>,
    /// Dead letters.
    pub(super) dead: Option<u64>,
    pub(super) broker: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Credits {
    pub(super) left: Option<f64>,
    /// Parts sent in the last day.
    pub(super) used_in_a_day: u64,
    pub(super) days_left: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct WorkerView {
    pub(super) id: String,
    pub(super) alive: bool,
    pub(super) seen_seconds_ago: f64,
    #[serde(flatten)]
    pub(super) state: Option<hulak_common::worker_registry::WorkerState>,
}

/// The metrics of one carrier in the span.
#[derive(Debug, Serialize)]
pub(super) struct CarrierMetrics {
    #[serde(rename = "operator")]
    pub(super) carrier: String,
    pub(super) created: u64,
    pub(super) approved: u64,
    pub(super) sent: u64,
    pub(super) failed: u64,
    /// From the request to the gateway, in seconds.
    pub(super) gateway_p50: Option<f64>,
    pub(super) gateway_p99: Option<f64>,
    /// From the request to the approval, in seconds.
    pub(super) approval_p50: Option<f64>,
    pub(super) approval_p99: Option<f64>,
}

/// Sums over the span.
#[derive(Debug, Serialize)]
pub(super) struct Sums {
    pub(super) requests: u64,
    pub(super) created: u64,
    pub(super) approved: u64,
    pub(super) sent: u64,
    pub(super) failed: u64,
    pub(super) wrong_codes: u64,
}

impl Overview {
    /// Reads all of it. `board` has the counters, which the charts show too.
    pub(super) async fn read(console: &Console, board: &Board, span: Span) -> Result<Self, StoreError> {
        let now = console.clock.now();
        let pause = console.store.paused().await?;
        let workers = console.store.workers().await?;
        let waiting_since = console.store.waiting_since(now).await?;
        let waiting = console.store.waiting_count(MAX_WAITING, now).await?;
        let broker = *console.broker.health().borrow();
        let depths = depths(console, broker).await;
        let oldest = waiting_since.map_or(Duration::ZERO, |since| now - since);
        let (retrying, next_retry) = console.store.retrying(MAX_WAITING, now).await?;
        let next_retry = next_retry.map(|due_at| due_at - now);
        let calls = Calls { retrying, next_retry, ..calls(board, now) };
        let credits = credits(board, now);
        let not_sent = not_sent(board, now, 5);
        let failures = board.split("failures", Span::Hour, now);
        let facts = Facts {
            pause: pause.as_ref(),
            workers: &workers,
            broker,
            oldest,
            calls,
            sent: board.recent("messages/sent", 5, now),
            not_sent,
            main_failure: failures.iter().max_by_key(|(_, count)| **count).map(|(reason, _)| reason.as_str()),
            days_left: credits.days_left,
            dead: depths.map(|(_, dead)| dead),
        };
        let status = judge(&facts, now);
        Ok(Self {
            status,
            pause,
            at: now,
            queue: Queue {
                waiting,
                oldest_seconds: oldest.as_secs_f64(),
                retrying,
                next_retry_seconds: next_retry.map(|next| next.as_secs_f64()),
                jobs: depths.map(|(jobs, _)| jobs),
                dead: depths.map(|(_, dead)| dead),
                broker: match broker {
                    BrokerHealth::Up => "up",
                    BrokerHealth::Blocked => "blocked",
                    BrokerHealth::Down => "down",
                },
            },
            credits,
            workers: workers.into_iter().map(|worker| view(worker, now)).collect(),
            carriers: board.carriers(now).into_iter().map(|name| carrier(board, name, span, now)).collect(),
            sums: Sums {
                requests: board.total("requests", span, now),
                created: board.total("created", span, now),
                approved: board.total("ended/approved", span, now),
                sent: board.total("messages/sent", span, now),
                failed: board.total("messages/failed", span, now),
                wrong_codes: board.total("checks/incorrect", span, now),
            },
        })
    }
}

/// Messages that ended without being accepted by the gateway, in the last minutes.
fn not_sent(board: &Board, now: Timestamp, minutes: usize) -> u64 {
    ["failed", "expired", "unknown"]
        .iter()
        .map(|outcome| board.recent(&format!("messages/{outcome}"), minutes, now))
        .sum()
}

/// Calls of the last half minute to one and a half: the present minute, and the one before while the present is young.
fn calls(board: &Board, now: Timestamp) -> Calls {
    let young = now.as_millis().rem_euclid(60_000) < 30_000;
    let count = |answer: &str| board.recent(&format!("calls/{answer}"), usize::from(young), now);
    Calls {
        answered: count("accepted") + count("refused"),
        failed: count("not_now") + count("unknown"),
        ..Calls::default()
    }
}

async fn depths(console: &Console, broker: BrokerHealth) -> Option<(u64, u64)> {
    if broker == BrokerHealth::Down {
        return None;
    }
    let depths = tokio::time::timeout(BROKER_TIMEOUT, console.broker.depths()).await.ok()?.ok()?;
    Some((depths.send, depths.dead))
}

fn credits(board: &Board, now: Timestamp) -> Credits {
    let left = board.gauge("gateway_credits");
    let used = board.total("parts", Span::Day, now);
    let days_left = left.filter(|_| used > 0).map(|left| left / used as f64);
    Credits { left, used_in_a_day: used, days_left }
}

fn view(worker: WorkerRecord, now: Timestamp) -> WorkerView {
    WorkerView {
        alive: is_alive(&worker, now),
        id: worker.id.to_string(),
        seen_seconds_ago: (now - worker.seen_at).as_secs_f64(),
        state: worker.state,
    }
}

fn carrier(board: &Board, carrier: String, span: Span, now: Timestamp) -> CarrierMetrics {
    let total = |what: &str| board.total(&format!("{what}/{carrier}"), span, now);
    let time = |what: &str, share| board.quantile(&format!("{what}/{carrier}"), share, span, now);
    CarrierMetrics {
        created: total("created"),
        approved: total("ended/approved"),
        sent: total("messages/sent"),
        failed: total("messages/failed") + total("messages/expired") + total("messages/unknown"),
        gateway_p50: time("gateway", 0.5),
        gateway_p99: time("gateway", 0.99),
        approval_p50: time("approval", 0.5),
        approval_p99: time("approval", 0.99),
        carrier,
    }
}
