//! A closed loop: every connection asks, waits for the answer, and asks again.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use hulak_common::clock::Stopwatch;
use tokio::time::sleep;

use super::client::Client;
use super::gateway::{Counter, Gate, Slope};
use super::requests::{Memory, Requests, get, head, without_body};
use super::tally::Tally;
use super::{Tasks, say};
use crate::BenchError;
use crate::protocol::{Call, Closed, Event, Kind, Outcome, Window};

/// Between two looks at the gateway's counter.
const LOOK: Duration = Duration::from_millis(20);
const STEP: Duration = Duration::from_millis(10);

/// What the connections share.
struct Loop {
    requests: Requests,
    tally: Tally,
    stop: Cell<bool>,
    /// How many may still be asked.
    left: Cell<u64>,
    /// Connections that still ask.
    busy: Cell<usize>,
    gate: Option<Gate>,
}

pub(super) async fn run(work: &Closed, memory: &Rc<Memory>) -> Result<Outcome, BenchError> {
    let shared = Rc::new(Loop {
        requests: Requests::new(&work.call, Rc::clone(memory)),
        tally: Tally::default(),
        stop: Cell::new(false),
        left: Cell::new(work.limit.unwrap_or(u64::MAX)),
        busy: Cell::new(work.connections),
        gate: work.window.map(|window| Gate::new(window.most)),
    });
    let tasks = Tasks::default();
    for _ in 0..work.connections {
        tasks.spawn(ask(Rc::clone(&shared), work.call.clone()));
    }
    if let Some(window) = work.window {
        tasks.spawn(look(Rc::clone(&shared), window));
    }
    if let Kind::Poll { changing } = work.call.kind {
        let span = work.warmup + work.seconds;
        tasks.spawn(change(Rc::clone(&shared), work.call.clone(), Rc::clone(memory), changing, span));
    }
    let mut counter = work.window.map(|window| Counter::new(window.simulator));
    shared.wait(work.warmup).await;
    let slope = match &mut counter {
        Some(counter) => Some(Slope::from(counter.taken().await?)),
        None => None,
    };
    let watch = Stopwatch::start();
    shared.tally.count(true);
    say(&Event::Begin)?;
    shared.wait(work.seconds).await;
    let seconds = watch.elapsed().as_secs_f64();
    shared.tally.count(false);
    shared.stop.set(true);
    say(&Event::Stop)?;
    let taken = match (&mut counter, slope) {
        (Some(counter), Some(slope)) => Some(slope.to(counter.taken().await?)),
        _ => None,
    };
    if let Some(gate) = &shared.gate {
        gate.open();
    }
    tasks.join().await?;
    Ok(Outcome { taken, ..shared.tally.outcome(seconds) })
}

impl Loop {
    /// Until the time is over, or there is nothing more to ask.
    async fn wait(&self, seconds: f64) {
        let watch = Stopwatch::start();
        while watch.elapsed().as_secs_f64() < seconds && self.busy.get() > 0 {
            sleep(STEP).await;
        }
    }

    /// Takes one of those that may be asked.
    fn take(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0 && !self.stop.get()
    }
}

async fn ask(shared: Rc<Loop>, call: Call) {
    let mut client = Client::new(call.server);
    if let Err(error) = ask_on(&shared, &mut client).await {
        shared.tally.complain(error.to_string());
    }
    shared.tally.reconnected(client.reconnects);
    shared.busy.set(shared.busy.get() - 1);
}

async fn ask_on(shared: &Loop, client: &mut Client) -> Result<(), BenchError> {
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
        shared.tally.answer(answer.status, expected, answer.body, watch.elapsed(), shared.tally.counts());
        shared.requests.remember(answer.body);
        if answer.status != 202
            && let Some(gate) = &shared.gate
        {
            gate.withdraw();
        }
    }
    Ok(())
}

/// Tells the gate what the gateway has taken.
async fn look(shared: Rc<Loop>, window: Window) {
    let mut counter = Counter::new(window.simulator);
    let mut before = None;
    while !shared.stop.get() {
        match (counter.taken().await, &shared.gate) {
            (Ok(taken), Some(gate)) => gate.taken(taken - *before.get_or_insert(taken)),
            (Err(error), _) => return shared.tally.complain(format!("the simulator: {error}")),
            (Ok(_), None) => return,
        }
        sleep(LOOK).await;
    }
}

/// Cancels some of the verifications that are read, one after another over the whole time.
async fn change(shared: Rc<Loop>, call: Call, memory: Rc<Memory>, share: u64, span: f64) {
    let (head, mut client, mut request) =
        (head(call.server, &call.key), Client::new(call.server), Vec::new());
    let count = memory.ids.borrow().len();
    let changes = count * usize::try_from(share).unwrap_or(0) / 100;
    for n in 0..changes {
        sleep(Duration::from_secs_f64(span / changes as f64)).await;
        if shared.stop.get() {
            return;
        }
        let id = memory.ids.borrow()[n * count / changes];
        without_body(&mut request, b"DELETE", &head, &id, b"", b"");
        match client.call(&request).await {
            Ok(answer) if answer.status == 200 => {}
            Ok(answer) => shared.tally.complain(format!("a change: {}", answer.status)),
            Err(error) => shared.tally.complain(format!("a change: {error}")),
        }
    }
    // What was changed is seen changed.
    get(&mut request, &head, &memory.ids.borrow()[0], b"");
    let seen = client.call(&request).await;
    if !seen.is_ok_and(|answer| super::client::member(answer.body, "status") == Some(b"canceled")) {
        shared.tally.complain("a change is not to be seen".to_owned());
    }
}
