//! Clients that wait for a change (`?wait=`), and tasks that make the changes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use hulak_common::clock::Stopwatch;
use tokio::time::sleep;

use super::answer_counter::AnswerCounter;
use super::client::{Client, header};
use super::requests::{Id, Prepared, get, head, without_body};
use super::tasks::Tasks;
use crate::error::BenchError;
use crate::latency::LatencyHistogram;
use crate::protocol::{Event, LongPolls, Outcome};

/// Between two groups of new connections, so that they do not all arrive at once.
const ARRIVAL: Duration = Duration::from_millis(1);
/// New connections in a group.
const GROUP: usize = 4;
/// Long enough for the last change to reach its client.
const LAST_CHANGE: Duration = Duration::from_secs(3);
/// Tasks that make changes.
const CHANGERS: usize = 8;

struct Clients {
    head: Vec<u8>,
    answers: AnswerCounter,
    watch: Stopwatch,
    waiting: Cell<usize>,
    over: Cell<bool>,
    /// When each client's change was requested.
    changed: RefCell<Vec<Option<Duration>>>,
    latencies: RefCell<LatencyHistogram>,
    informed: Cell<u64>,
}

pub(super) async fn run(work: &LongPolls, prepared: &Rc<Prepared>) -> Result<Outcome, BenchError> {
    let ids: Vec<Id> = prepared.ids.borrow().iter().copied().take(work.waiters).collect();
    if ids.len() < work.waiters {
        return Err(BenchError::Setup(format!("{} verifications for {} clients", ids.len(), work.waiters)));
    }
    let clients = Rc::new(Clients {
        head: head(work.server, &work.key),
        answers: AnswerCounter::default(),
        watch: Stopwatch::start(),
        waiting: Cell::new(0),
        over: Cell::new(false),
        changed: RefCell::new(vec![None; ids.len()]),
        latencies: RefCell::default(),
        informed: Cell::new(0),
    });
    let mut waiters = Vec::with_capacity(ids.len());
    for (n, id) in ids.iter().enumerate() {
        let client = Client::new(work.server);
        waiters.push(tokio::task::spawn_local(wait(Rc::clone(&clients), client, n, *id)));
        if n % GROUP == 0 {
            sleep(ARRIVAL).await;
        }
    }
    while clients.waiting.get() < ids.len() && clients.answers.outcome(0.0).unexpected == 0 {
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_secs_f64(work.settle)).await;
    Event::Begin.send()?;
    let changes = make_changes(&clients, work, &ids).await?;
    sleep(LAST_CHANGE).await;
    Event::Stop.send()?;
    clients.over.set(true);
    for waiter in waiters {
        waiter.abort();
    }
    let mut outcome = clients.answers.outcome(work.seconds);
    outcome.done = clients.informed.get();
    outcome.latency = clients.latencies.borrow().summary();
    outcome.missing = changes.saturating_sub(clients.informed.get());
    Ok(outcome)
}

async fn wait(clients: Rc<Clients>, mut client: Client, n: usize, id: Id) {
    if let Err(error) = wait_on(&clients, &mut client, n, &id).await {
        clients.answers.report_error(error.to_string());
    }
    clients.answers.reconnected(client.reconnects);
}

async fn wait_on(clients: &Clients, client: &mut Client, n: usize, id: &Id) -> std::io::Result<()> {
    let mut request = Vec::new();
    get(&mut request, &clients.head, id, b"");
    let mut tag = {
        let answer = client.call(&request).await?;
        clients.answers.answer(answer.status, answer.status == 200, answer.body, Duration::ZERO, false);
        tag_of(answer.head)
    };
    clients.waiting.set(clients.waiting.get() + 1);
    while !clients.over.get() {
        let condition = [b"if-none-match: ", tag.as_slice(), b"\r\n"].concat();
        without_body(&mut request, b"GET", &clients.head, id, b"?wait=30", &condition);
        let answer = client.call(&request).await?;
        let expected = matches!(answer.status, 200 | 304);
        clients.answers.answer(answer.status, expected, answer.body, Duration::ZERO, false);
        if answer.status == 304 {
            continue;
        }
        tag = tag_of(answer.head);
        if let Some(asked) = clients.changed.borrow()[n] {
            clients.latencies.borrow_mut().record(clients.watch.elapsed().saturating_sub(asked));
            clients.informed.set(clients.informed.get() + 1);
            return Ok(());
        }
    }
    Ok(())
}

fn tag_of(head: &[u8]) -> Vec<u8> {
    header(head, b"etag").unwrap_or(b"\"0\"").to_vec()
}

/// Cancels one verification after the other, evenly spread over the time and over the clients.
async fn make_changes(clients: &Rc<Clients>, work: &LongPolls, ids: &[Id]) -> Result<u64, BenchError> {
    let count = ((work.rate * work.seconds) as usize).min(ids.len()).max(1);
    let begun = Stopwatch::start();
    let next = Rc::new(Cell::new(0));
    let tasks = Tasks::default();
    for _ in 0..CHANGERS {
        let (clients, next, work, ids) = (Rc::clone(clients), Rc::clone(&next), work.clone(), ids.to_vec());
        tasks.spawn(async move {
            let (mut client, mut request) = (Client::new(work.server), Vec::new());
            while next.get() < count {
                let turn = next.replace(next.get() + 1);
                let meant = Duration::from_secs_f64(turn as f64 / work.rate);
                sleep(meant.saturating_sub(begun.elapsed())).await;
                let n = turn * ids.len() / count;
                without_body(&mut request, b"DELETE", &clients.head, &ids[n], b"", b"");
                clients.changed.borrow_mut()[n] = Some(clients.watch.elapsed());
                match client.call(&request).await {
                    Ok(answer) if answer.status == 200 => {}
                    Ok(answer) => clients.answers.report_error(format!("a change: {}", answer.status)),
                    Err(error) => clients.answers.report_error(format!("a change: {error}")),
                }
            }
        });
    }
    tasks.join().await?;
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}
