//! A closed loop: every connection sends a request, waits for the answer, and sends the next.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use hulak_common::clock::Stopwatch;
use tokio::time::sleep;

use super::answer_counter::AnswerCounter;
use super::client::{Client, member};
use super::gateway::{BacklogGate, GatewayCounter, Throughput};
use super::requests::{Prepared, Requests, get, head, without_body};
use super::tasks::Tasks;
use crate::error::BenchError;
use crate::protocol::{BacklogLimit, Call, ClosedLoop, Event, Kind, Outcome};

/// Between two reads of the gateway's counter.
const GATEWAY_INTERVAL: Duration = Duration::from_millis(20);
const STEP: Duration = Duration::from_millis(10);

/// What the connections share.
struct Loop {
    requests: Requests,
    answers: AnswerCounter,
    stop: Cell<bool>,
    /// Requests that may still be sent.
    left: Cell<u64>,
    /// Connections that still send requests.
    busy: Cell<usize>,
    gate: Option<BacklogGate>,
}

pub(super) async fn run(work: &ClosedLoop, prepared: &Rc<Prepared>) -> Result<Outcome, BenchError> {
    let shared = Rc::new(Loop {
        requests: Requests::new(&work.call, Rc::clone(prepared)),
        answers: AnswerCounter::default(),
        stop: Cell::new(false),
        left: Cell::new(work.limit.unwrap_or(u64::MAX)),
        busy: Cell::new(work.connections),
        gate: work.backlog.map(|limit| BacklogGate::new(limit.most)),
    });
    let tasks = Tasks::default();
    for _ in 0..work.connections {
        tasks.spawn(send_requests(Rc::clone(&shared), work.call.clone()));
    }
    if let Some(limit) = work.backlog {
        tasks.spawn(follow_gateway(Rc::clone(&shared), limit));
    }
    if let Kind::Poll { changing } = work.call.kind {
        let span = work.warmup + work.seconds;
        tasks.spawn(make_changes(Rc::clone(&shared), work.call.clone(), Rc::clone(prepared), changing, span));
    }
    let mut counter = work.backlog.map(|limit| GatewayCounter::new(limit.simulator));
    shared.wait(work.warmup).await;
    let throughput = match &mut counter {
        Some(counter) => Some(Throughput::from(counter.taken().await?)),
        None => None,
    };
    let watch = Stopwatch::start();
    shared.answers.set_counting(true);
    Event::Begin.send()?;
    shared.wait(work.seconds).await;
    let seconds = watch.elapsed().as_secs_f64();
    shared.answers.set_counting(false);
    shared.stop.set(true);
    Event::Stop.send()?;
    let taken = match (&mut counter, throughput) {
        (Some(counter), Some(throughput)) => Some(throughput.until(counter.taken().await?)),
        _ => None,
    };
    if let Some(gate) = &shared.gate {
        gate.open();
    }
    tasks.join().await?;
    Ok(Outcome { taken, ..shared.answers.outcome(seconds) })
}

impl Loop {
    /// Waits until the time is over, or all connections have ended.
    async fn wait(&self, seconds: f64) {
        let watch = Stopwatch::start();
        while watch.elapsed().as_secs_f64() < seconds && self.busy.get() > 0 {
            sleep(STEP).await;
        }
    }

    /// Whether another request may be sent; counts it.
    fn take(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0 && !self.stop.get()
    }
}

async fn send_requests(shared: Rc<Loop>, call: Call) {
    let mut client = Client::new(call.server);
    if let Err(error) = send_requests_on(&shared, &mut client).await {
        shared.answers.report_error(error.to_string());
    }
    shared.answers.reconnected(client.reconnects);
    shared.busy.set(shared.busy.get() - 1);
}

async fn send_requests_on(shared: &Loop, client: &mut Client) -> Result<(), BenchError> {
    let mut request = Vec::with_capacity(512);
    while shared.take() {
        if let Some(gate) = &shared.gate {
            gate.enter().await?;
        }
        if shared.stop.get() || shared.requests.next(&mut request).is_none() {
            break;
        }
        let watch = Stopwatch::start();
        let answer = client.call(&request).await?;
        let expected = shared.requests.expects(answer.status);
        shared.answers.answer(
            answer.status,
            expected,
            answer.body,
            watch.elapsed(),
            shared.answers.is_counting(),
        );
        shared.requests.remember(answer.body);
        if answer.status != 202
            && let Some(gate) = &shared.gate
        {
            gate.withdraw();
        }
    }
    Ok(())
}

/// Tells the gate how many messages the gateway has accepted.
async fn follow_gateway(shared: Rc<Loop>, limit: BacklogLimit) {
    let mut counter = GatewayCounter::new(limit.simulator);
    let mut before = None;
    while !shared.stop.get() {
        match (counter.taken().await, &shared.gate) {
            (Ok(taken), Some(gate)) => gate.taken(taken - *before.get_or_insert(taken)),
            (Err(error), _) => return shared.answers.report_error(format!("the simulator: {error}")),
            (Ok(_), None) => return,
        }
        sleep(GATEWAY_INTERVAL).await;
    }
}

/// Cancels some of the verifications that are read, spread over the whole time.
async fn make_changes(shared: Rc<Loop>, call: Call, prepared: Rc<Prepared>, share: u64, span: f64) {
    let (head, mut client, mut request) =
        (head(call.server, &call.key), Client::new(call.server), Vec::new());
    let count = prepared.ids.borrow().len();
    let changes = count * usize::try_from(share).unwrap_or(0) / 100;
    for n in 0..changes {
        sleep(Duration::from_secs_f64(span / changes as f64)).await;
        if shared.stop.get() {
            return;
        }
        let id = prepared.ids.borrow()[n * count / changes];
        without_body(&mut request, b"DELETE", &head, &id, b"", b"");
        match client.call(&request).await {
            Ok(answer) if answer.status == 200 => {}
            Ok(answer) => shared.answers.report_error(format!("a change: {}", answer.status)),
            Err(error) => shared.answers.report_error(format!("a change: {error}")),
        }
    }
    // A reader sees the change.
    get(&mut request, &head, &prepared.ids.borrow()[0], b"");
    let seen = client.call(&request).await;
    if !seen.is_ok_and(|answer| member(answer.body, "status") == Some(b"canceled")) {
        shared.answers.report_error("a change is not visible".to_owned());
    }
}
