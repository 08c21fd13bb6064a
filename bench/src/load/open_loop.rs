//! An open loop: requests by a timetable. A latency begins when the request was meant to be sent, not when a connection
//! happened to be free for it: who is late makes all who wait behind him late, and that is measured.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use hulak_common::clock::{Clock as _, DatabaseClock, Stopwatch};
use hulak_common::time::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::client::Client;
use super::gateway::{Arrivals, Log};
use super::requests::{Memory, Requests};
use super::tally::Tally;
use super::{Tasks, say};
use crate::BenchError;
use crate::protocol::{Event, Open, Outcome};

/// How long the last messages may take to the gateway.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(200);

/// When which request is meant to be sent, from the start.
#[derive(Debug, Clone, Copy)]
struct Timetable {
    rate: f64,
    count: u64,
}

impl Timetable {
    fn new(rate: f64, seconds: f64) -> Self {
        Self { rate, count: (rate * seconds) as u64 }
    }

    fn at(self, n: u64) -> Duration {
        Duration::from_secs_f64(n as f64 / self.rate)
    }

    /// How many were meant to be sent by now.
    fn due(self, elapsed: Duration) -> u64 {
        ((elapsed.as_secs_f64() * self.rate) as u64 + 1).min(self.count)
    }
}

struct Loop {
    requests: Requests,
    tally: Tally,
    watch: Stopwatch,
    start: Timestamp,
    due: RefCell<VecDeque<Duration>>,
    ready: Semaphore,
    over: Cell<bool>,
    counted_from: Duration,
    arrivals: Option<Arrivals>,
}

pub(super) async fn run(work: &Open, memory: &Rc<Memory>) -> Result<Outcome, BenchError> {
    let timetable = Timetable::new(work.rate, work.warmup + work.seconds);
    let log = match work.simulator {
        Some(simulator) => Some(Log::from_now(simulator).await?),
        None => None,
    };
    let mut clients = Vec::with_capacity(work.connections);
    for _ in 0..work.connections {
        let mut client = Client::new(work.call.server);
        client.connect().await?;
        clients.push(client);
    }
    let shared = Rc::new(Loop {
        requests: Requests::new(&work.call, Rc::clone(memory)),
        tally: Tally::default(),
        start: DatabaseClock::new().now(),
        watch: Stopwatch::start(),
        due: RefCell::default(),
        ready: Semaphore::new(0),
        over: Cell::new(false),
        counted_from: Duration::from_secs_f64(work.warmup),
        arrivals: work.simulator.map(|_| Arrivals::default()),
    });
    let tasks = Tasks::default();
    for client in clients {
        tasks.spawn(ask(Rc::clone(&shared), client));
    }
    let following = log.map(|log| tokio::task::spawn_local(follow(Rc::clone(&shared), log)));
    keep(&shared, timetable).await?;
    say(&Event::Stop)?;
    shared.ready.close();
    tasks.join().await?;
    shared.over.set(true);
    if let Some(following) = following {
        let done = following.await;
        done.map_err(|error| BenchError::Setup(format!("a part of the load died: {error}")))??;
    }
    let mut outcome = shared.tally.outcome(work.seconds);
    if let Some(arrivals) = &shared.arrivals {
        outcome.gateway = Some(arrivals.times().summary());
        outcome.missing = u64::try_from(arrivals.missing()).unwrap_or(u64::MAX);
    }
    Ok(outcome)
}

/// Hands out what is due. The timer is as fine as a millisecond: what is late by that is late in the figures, too.
async fn keep(shared: &Loop, timetable: Timetable) -> Result<(), BenchError> {
    let (mut next, mut begun) = (0, false);
    while next < timetable.count {
        let due = timetable.due(shared.watch.elapsed());
        for n in next..due {
            shared.due.borrow_mut().push_back(timetable.at(n));
        }
        shared.ready.add_permits(usize::try_from(due - next).unwrap_or(0));
        next = due;
        if !begun && shared.watch.elapsed() >= shared.counted_from {
            begun = true;
            say(&Event::Begin)?;
        }
        sleep(timetable.at(next).saturating_sub(shared.watch.elapsed())).await;
    }
    Ok(())
}

async fn ask(shared: Rc<Loop>, mut client: Client) {
    let mut request = Vec::with_capacity(512);
    loop {
        match shared.ready.acquire().await {
            Ok(permit) => permit.forget(),
            // Closed; but what was handed out before is still asked.
            Err(_) if shared.due.borrow().is_empty() => break,
            Err(_) => {}
        }
        let Some(meant) = shared.due.borrow_mut().pop_front() else { continue };
        let measured = meant >= shared.counted_from;
        let Some(made) = shared.requests.next(&mut request) else { break };
        if let (true, Some(arrivals), Some(number)) = (measured, &shared.arrivals, made.number) {
            arrivals.expect(number, shared.start + meant);
        }
        match client.call(&request).await {
            Ok(answer) => {
                let took = shared.watch.elapsed().saturating_sub(meant);
                let expected = shared.requests.expects(answer.status);
                shared.tally.answer(answer.status, expected, answer.body, took, measured);
                shared.requests.remember(answer.body);
            }
            Err(error) => shared.tally.complain(error.to_string()),
        }
    }
    shared.tally.reconnected(client.reconnects);
}

/// Reads what the gateway took, until all has arrived or patience ends.
async fn follow(shared: Rc<Loop>, mut log: Log) -> Result<(), BenchError> {
    let Some(arrivals) = &shared.arrivals else { return Ok(()) };
    let mut ended = None;
    loop {
        sleep(LOOK).await;
        log.read(arrivals).await?;
        if shared.over.get() {
            let since = ended.get_or_insert_with(Stopwatch::start);
            if arrivals.missing() == 0 || since.elapsed() > PATIENCE {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timetable_is_even_and_ends() {
        let timetable = Timetable::new(2_000.0, 1.5);
        assert_eq!(timetable.count, 3_000);
        assert_eq!(timetable.at(0), Duration::ZERO);
        assert_eq!(timetable.at(1_000), Duration::from_millis(500));
        assert_eq!(timetable.due(Duration::ZERO), 1);
        assert_eq!(timetable.due(Duration::from_micros(499)), 1);
        assert_eq!(timetable.due(Duration::from_millis(1)), 3);
        assert_eq!(timetable.due(Duration::from_secs(9)), 3_000);
    }

    #[test]
    fn what_is_due_was_meant_before_now() {
        let timetable = Timetable::new(777.0, 3.0);
        for millis in 0..3_000 {
            let now = Duration::from_millis(millis);
            let due = timetable.due(now);
            assert!(due == 0 || timetable.at(due - 1) <= now);
            assert!(due == timetable.count || timetable.at(due) > now);
        }
    }
}
