//! Clients that wait for a change (`?wait=`), and somebody who makes the changes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use hulak_common::clock::Stopwatch;
use tokio::time::sleep;

use super::client::{Client, header};
use super::requests::{Id, Memory, get, head, without_body};
use super::tally::{Tally, Times};
use super::{Tasks, say};
use crate::BenchError;
use crate::protocol::{Event, Hold, Outcome};

/// Between two new connections: a crowd, not a wall.
const ARRIVAL: Duration = Duration::from_millis(1);
/// How many arrive at a time.
const TOGETHER: usize = 4;
/// Long enough for a change that was made last.
const LAST: Duration = Duration::from_secs(3);
/// What cancels at a time.
const CHANGERS: usize = 8;

struct Crowd {
    head: Vec<u8>,
    tally: Tally,
    watch: Stopwatch,
    waiting: Cell<usize>,
    over: Cell<bool>,
    /// When each one's change was asked for.
    changed: RefCell<Vec<Option<Duration>>>,
    woken: RefCell<Times>,
    awake: Cell<u64>,
}

pub(super) async fn run(work: &Hold, memory: &Rc<Memory>) -> Result<Outcome, BenchError> {
    let ids: Vec<Id> = memory.ids.borrow().iter().copied().take(work.waiters).collect();
    if ids.len() < work.waiters {
        return Err(BenchError::Setup(format!("{} verifications for {} who wait", ids.len(), work.waiters)));
    }
    let crowd = Rc::new(Crowd {
        head: head(work.server, &work.key),
        tally: Tally::default(),
        watch: Stopwatch::start(),
        waiting: Cell::new(0),
        over: Cell::new(false),
        changed: RefCell::new(vec![None; ids.len()]),
        woken: RefCell::default(),
        awake: Cell::new(0),
    });
    let mut waiters = Vec::with_capacity(ids.len());
    for (n, id) in ids.iter().enumerate() {
        let client = Client::new(work.server);
        waiters.push(tokio::task::spawn_local(wait(Rc::clone(&crowd), client, n, *id)));
        if n % TOGETHER == 0 {
            sleep(ARRIVAL).await;
        }
    }
    while crowd.waiting.get() < ids.len() && crowd.tally.outcome(0.0).unexpected == 0 {
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_secs_f64(work.settle)).await;
    say(&Event::Begin)?;
    let changes = change(&crowd, work, &ids).await?;
    sleep(LAST).await;
    say(&Event::Stop)?;
    crowd.over.set(true);
    for waiter in waiters {
        waiter.abort();
    }
    let mut outcome = crowd.tally.outcome(work.seconds);
    outcome.done = crowd.awake.get();
    outcome.latency = crowd.woken.borrow().summary();
    outcome.missing = changes.saturating_sub(crowd.awake.get());
    Ok(outcome)
}

async fn wait(crowd: Rc<Crowd>, mut client: Client, n: usize, id: Id) {
    if let Err(error) = wait_on(&crowd, &mut client, n, &id).await {
        crowd.tally.complain(error.to_string());
    }
    crowd.tally.reconnected(client.reconnects);
}

async fn wait_on(crowd: &Crowd, client: &mut Client, n: usize, id: &Id) -> std::io::Result<()> {
    let mut request = Vec::new();
    get(&mut request, &crowd.head, id, b"");
    let mut tag = {
        let answer = client.call(&request).await?;
        crowd.tally.answer(answer.status, answer.status == 200, answer.body, Duration::ZERO, false);
        tag_of(answer.head)
    };
    crowd.waiting.set(crowd.waiting.get() + 1);
    while !crowd.over.get() {
        let condition = [b"if-none-match: ", tag.as_slice(), b"\r\n"].concat();
        without_body(&mut request, b"GET", &crowd.head, id, b"?wait=30", &condition);
        let answer = client.call(&request).await?;
        let expected = matches!(answer.status, 200 | 304);
        crowd.tally.answer(answer.status, expected, answer.body, Duration::ZERO, false);
        if answer.status == 304 {
            continue;
        }
        tag = tag_of(answer.head);
        if let Some(asked) = crowd.changed.borrow()[n] {
            crowd.woken.borrow_mut().record(crowd.watch.elapsed().saturating_sub(asked));
            crowd.awake.set(crowd.awake.get() + 1);
            return Ok(());
        }
    }
    Ok(())
}

fn tag_of(head: &[u8]) -> Vec<u8> {
    header(head, b"etag").unwrap_or(b"\"0\"").to_vec()
}

/// Cancels one after another, evenly spread over time and over those who wait.
async fn change(crowd: &Rc<Crowd>, work: &Hold, ids: &[Id]) -> Result<u64, BenchError> {
    let count = ((work.rate * work.seconds) as usize).min(ids.len()).max(1);
    let begun = Stopwatch::start();
    let next = Rc::new(Cell::new(0));
    let tasks = Tasks::default();
    for _ in 0..CHANGERS {
        let (crowd, next, work, ids) = (Rc::clone(crowd), Rc::clone(&next), work.clone(), ids.to_vec());
        tasks.spawn(async move {
            let (mut client, mut request) = (Client::new(work.server), Vec::new());
            while next.get() < count {
                let turn = next.replace(next.get() + 1);
                let meant = Duration::from_secs_f64(turn as f64 / work.rate);
                sleep(meant.saturating_sub(begun.elapsed())).await;
                let n = turn * ids.len() / count;
                without_body(&mut request, b"DELETE", &crowd.head, &ids[n], b"", b"");
                crowd.changed.borrow_mut()[n] = Some(crowd.watch.elapsed());
                match client.call(&request).await {
                    Ok(answer) if answer.status == 200 => {}
                    Ok(answer) => crowd.tally.complain(format!("a change: {}", answer.status)),
                    Err(error) => crowd.tally.complain(format!("a change: {error}")),
                }
            }
        });
    }
    tasks.join().await?;
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}
