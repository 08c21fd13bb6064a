//! An open loop: requests are due at a constant rate. A latency begins when the request was due, not when a connection was free
//! for it, so that a slow answer also counts for the requests that waited behind it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use hulak_common::clock::{Clock as _, DatabaseClock, Stopwatch};
use hulak_common::time::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::answer_counter::AnswerCounter;
use super::client::Client;
use super::gateway::{DeliveryTimes, GatewayLog};
use super::requests::{Prepared, Requests};
use super::tasks::Tasks;
use crate::error::BenchError;
use crate::protocol::{Event, OpenLoop, Outcome};

/// How long the last messages may take to reach the gateway.
const DELIVERY_LIMIT: Duration = Duration::from_secs(20);
/// Between two reads of the gateway's log.
const LOG_INTERVAL: Duration = Duration::from_millis(200);

/// When each request is due, from the start.
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

    /// How many are due by now.
    fn due(self, elapsed: Duration) -> u64 {
        ((elapsed.as_secs_f64() * self.rate) as u64 + 1).min(self.count)
    }
}

struct Loop {
    requests: Requests,
    answers: AnswerCounter,
    watch: Stopwatch,
    start: Timestamp,
    due: RefCell<VecDeque<Duration>>,
    ready: Semaphore,
    over: Cell<bool>,
    counted_from: Duration,
    deliveries: Option<DeliveryTimes>,
}

pub(super) async fn run(work: &OpenLoop, prepared: &Rc<Prepared>) -> Result<Outcome, BenchError> {
    let timetable = Timetable::new(work.rate, work.warmup + work.seconds);
    let log = match work.simulator {
        Some(simulator) => Some(GatewayLog::from_now(simulator).await?),
        None => None,
    };
    let mut clients = Vec::with_capacity(work.connections);
    for _ in 0..work.connections {
        let mut client = Client::new(work.call.server);
        client.connect().await?;
        clients.push(client);
    }
    let shared = Rc::new(Loop {
        requests: Requests::new(&work.call, Rc::clone(prepared)),
        answers: AnswerCounter::default(),
        start: DatabaseClock::new().now(),
        watch: Stopwatch::start(),
        due: RefCell::default(),
        ready: Semaphore::new(0),
        over: Cell::new(false),
        counted_from: Duration::from_secs_f64(work.warmup),
        deliveries: work.simulator.map(|_| DeliveryTimes::default()),
    });
    let tasks = Tasks::default();
    for client in clients {
        tasks.spawn(send_requests(Rc::clone(&shared), client));
    }
    let following = log.map(|log| tokio::task::spawn_local(follow(Rc::clone(&shared), log)));
    hand_out(&shared, timetable).await?;
    Event::Stop.send()?;
    shared.ready.close();
    tasks.join().await?;
    shared.over.set(true);
    if let Some(following) = following {
        let done = following.await;
        done.map_err(|error| BenchError::Setup(format!("a task of the load panicked: {error}")))??;
    }
    let mut outcome = shared.answers.outcome(work.seconds);
    if let Some(deliveries) = &shared.deliveries {
        outcome.gateway = Some(deliveries.latencies().summary());
        outcome.missing = u64::try_from(deliveries.missing()).unwrap_or(u64::MAX);
    }
    Ok(outcome)
}

/// Hands out the requests that are due. The timer is precise to a millisecond, and that delay is part of the latency.
async fn hand_out(shared: &Loop, timetable: Timetable) -> Result<(), BenchError> {
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
            Event::Begin.send()?;
        }
        sleep(timetable.at(next).saturating_sub(shared.watch.elapsed())).await;
    }
    Ok(())
}

async fn send_requests(shared: Rc<Loop>, mut client: Client) {
    let mut request = Vec::with_capacity(512);
    loop {
        match shared.ready.acquire().await {
            Ok(permit) => permit.forget(),
            // Closed; but requests handed out before are still sent.
            Err(_) if shared.due.borrow().is_empty() => break,
            Err(_) => {}
        }
        let Some(due) = shared.due.borrow_mut().pop_front() else { continue };
        let measured = due >= shared.counted_from;
        let Some(made) = shared.requests.next(&mut request) else { break };
        if let (true, Some(deliveries), Some(number)) = (measured, &shared.deliveries, made.number) {
            deliveries.expect(number, shared.start + due);
        }
        match client.call(&request).await {
            Ok(answer) => {
                let took = shared.watch.elapsed().saturating_sub(due);
                let expected = shared.requests.expects(answer.status);
                shared.answers.answer(answer.status, expected, answer.body, took, measured);
                shared.requests.remember(answer.body);
            }
            Err(error) => shared.answers.report_error(error.to_string()),
        }
    }
    shared.answers.reconnected(client.reconnects);
}

/// Reads the gateway's log until all messages have arrived or the time is over.
async fn follow(shared: Rc<Loop>, mut log: GatewayLog) -> Result<(), BenchError> {
    let Some(deliveries) = &shared.deliveries else { return Ok(()) };
    let mut ended = None;
    loop {
        sleep(LOG_INTERVAL).await;
        log.read(deliveries).await?;
        if shared.over.get() {
            let since = ended.get_or_insert_with(Stopwatch::start);
            if deliveries.missing() == 0 || since.elapsed() > DELIVERY_LIMIT {
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
    fn a_request_is_due_from_its_time_on() {
        let timetable = Timetable::new(777.0, 3.0);
        for millis in 0..3_000 {
            let now = Duration::from_millis(millis);
            let due = timetable.due(now);
            assert!(due == 0 || timetable.at(due - 1) <= now);
            assert!(due == timetable.count || timetable.at(due) > now);
        }
    }
}
