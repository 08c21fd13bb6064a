//! One generic batcher: the items that arrived while the last batch was in flight, or within a rest after it began, are the
//! next batch. A lone item does not wait.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};

use hulak_common::clock::Stopwatch;

/// The batcher had no room, or has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests are waiting")]
pub struct Full;

/// The bounds of a batcher.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Items that may wait; one more is refused at once with [`Full`].
    pub queue: usize,
    /// Items in one batch.
    pub batch: usize,
    /// Batches in flight side by side.
    pub lanes: usize,
    /// The least time from the beginning of a batch to that of the next one, over all lanes: items that arrive meanwhile share
    /// it. A lone item that arrives later does not wait, nor does a full batch.
    pub rest: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { queue: 4_096, batch: 256, lanes: 2, rest: Duration::ZERO }
    }
}

/// An item, and the channel for its answer.
type Waiting<I, O> = (I, oneshot::Sender<O>);

/// Collects single items into batches.
#[derive(Debug)]
pub struct Batcher<I, O> {
    queue: mpsc::Sender<Waiting<I, O>>,
}

impl<I, O> Clone for Batcher<I, O> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<I, O> Batcher<I, O>
where
    I: Send + 'static,
    O: Send + 'static,
{
    /// Runs `execute` over each batch; it answers one output per item, in order. Ends when every clone is dropped.
    pub fn spawn<F, Fut>(bounds: Bounds, execute: F) -> Self
    where
        F: Fn(Vec<I>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Vec<O>> + Send + 'static,
    {
        let (queue, receiver) = mpsc::channel(bounds.queue);
        let intake = Arc::new(Mutex::new(Intake { receiver, begun: None }));
        let execute = Arc::new(execute);
        for _ in 0..bounds.lanes.max(1) {
            tokio::spawn(lane(Arc::clone(&intake), Arc::clone(&execute), bounds));
        }
        Self { queue }
    }

    /// Puts an item into the next batch and waits for its answer.
    ///
    /// # Errors
    /// [`Full`] at once when too many are waiting, or when the execution of the batch panicked.
    pub async fn submit(&self, item: I) -> Result<O, Full> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send((item, answer)).map_err(|_| Full)?;
        answered.await.map_err(|_| Full)
    }

    /// Puts an item into the next batch without waiting for its answer.
    ///
    /// # Errors
    /// [`Full`] when too many are waiting.
    pub fn offer(&self, item: I) -> Result<(), Full> {
        let (answer, _nobody_listens) = oneshot::channel();
        self.queue.try_send((item, answer)).map_err(|_| Full)
    }
}

async fn lane<I, O, F, Fut>(intake: Arc<Mutex<Intake<I, O>>>, execute: Arc<F>, bounds: Bounds)
where
    I: Send + 'static,
    O: Send + 'static,
    F: Fn(Vec<I>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Vec<O>> + Send + 'static,
{
    let mut waiting = Vec::with_capacity(bounds.batch);
    loop {
        // Only one lane gathers at a time; the others execute or wait for this lock.
        if !intake.lock().await.gather(&mut waiting, bounds).await {
            return;
        }
        let (items, answers): (Vec<I>, Vec<oneshot::Sender<O>>) = waiting.drain(..).unzip();
        // A task of its own: a panic in one batch drops its answers and leaves the lane alive.
        let Ok(outputs) = tokio::spawn(execute(items)).await else {
            tracing::error!("a batch died; its callers are told to try again");
            continue;
        };
        for (answer, output) in answers.into_iter().zip(outputs) {
            // The caller may have stopped waiting; the batch is done all the same.
            let _gone = answer.send(output);
        }
    }
}

/// Where the next batch comes from.
struct Intake<I, O> {
    receiver: mpsc::Receiver<Waiting<I, O>>,
    /// Time since the last batch began in any lane.
    begun: Option<Stopwatch>,
}

impl<I, O> Intake<I, O> {
    /// Fills a batch. False when every sender is dropped and the queue is empty.
    async fn gather(&mut self, batch: &mut Vec<Waiting<I, O>>, bounds: Bounds) -> bool {
        if self.receiver.recv_many(batch, bounds.batch).await == 0 {
            return false;
        }
        let left = self.begun.map_or(Duration::ZERO, |begun| bounds.rest.saturating_sub(begun.elapsed()));
        if !left.is_zero() && batch.len() < bounds.batch {
            tokio::time::sleep(left).await;
            while batch.len() < bounds.batch {
                let Ok(item) = self.receiver.try_recv() else { break };
                batch.push(item);
            }
        }
        self.begun = Some(Stopwatch::start());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Notify;

    #[tokio::test]
    async fn what_arrives_during_a_batch_is_the_next_batch() {
        let sizes = Arc::new(std::sync::Mutex::new(Vec::new()));
        let (started, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let batcher = Batcher::spawn(Bounds { queue: 100, batch: 50, lanes: 1, rest: Duration::ZERO }, {
            let (sizes, started, go) = (Arc::clone(&sizes), Arc::clone(&started), Arc::clone(&go));
            move |items: Vec<u32>| {
                sizes.lock().unwrap().push(items.len());
                let (started, go) = (Arc::clone(&started), Arc::clone(&go));
                async move {
                    started.notify_one();
                    go.notified().await;
                    items.into_iter().map(|item| item * 2).collect()
                }
            }
        });
        let first = tokio::spawn({
            let batcher = batcher.clone();
            async move { batcher.submit(1).await }
        });
        started.notified().await;
        let mut rest = tokio::task::JoinSet::new();
        for item in 2..=10 {
            let batcher = batcher.clone();
            rest.spawn(async move { batcher.submit(item).await.unwrap() });
        }
        while batcher.queue.capacity() > 91 {
            tokio::task::yield_now().await;
        }
        go.notify_one();
        started.notified().await;
        go.notify_one();
        assert_eq!(first.await.unwrap(), Ok(2));
        let mut doubled = rest.join_all().await;
        doubled.sort_unstable();
        assert_eq!(doubled, (2..=10).map(|n| n * 2).collect::<Vec<_>>());
        assert_eq!(*sizes.lock().unwrap(), [1, 9]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_arrives_in_the_rest_after_a_batch_shares_the_next_one() {
        let sizes = Arc::new(std::sync::Mutex::new(Vec::new()));
        let bounds = Bounds { queue: 100, batch: 50, lanes: 1, rest: Duration::from_secs(3_600) };
        let batcher = Batcher::spawn(bounds, {
            let sizes = Arc::clone(&sizes);
            move |items: Vec<u32>| {
                sizes.lock().unwrap().push(items.len());
                async move { items }
            }
        });
        // The first does not wait.
        assert_eq!(batcher.submit(1).await, Ok(1));
        batcher.offer(2).unwrap();
        // The paused clock only advances while all tasks are idle: it stays long enough to take the second alone.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(*sizes.lock().unwrap(), [1]);
        assert_eq!(batcher.submit(3).await, Ok(3));
        assert_eq!(*sizes.lock().unwrap(), [1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_free_lane_rests_after_the_batch_of_another() {
        let sizes = Arc::new(std::sync::Mutex::new(Vec::new()));
        let bounds = Bounds { queue: 100, batch: 3, lanes: 2, rest: Duration::from_secs(3_600) };
        let batcher = Batcher::spawn(bounds, {
            let sizes = Arc::clone(&sizes);
            move |items: Vec<u32>| {
                sizes.lock().unwrap().push(items.len());
                let first = items[0] == 1;
                async move {
                    if first {
                        std::future::pending::<()>().await;
                    }
                    items
                }
            }
        });
        let begun = |batches: usize| {
            let sizes = &sizes;
            async move {
                while sizes.lock().unwrap().len() < batches {
                    tokio::task::yield_now().await;
                }
            }
        };
        batcher.offer(1).unwrap();
        begun(1).await;
        batcher.offer(2).unwrap();
        // The paused clock only advances while all tasks are idle: it stays long enough for the other lane to take the second alone.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(*sizes.lock().unwrap(), [1]);
        for item in 3..=5 {
            batcher.offer(item).unwrap();
        }
        // Now it may go on. The first batch is still at work, and the second is full.
        assert_eq!(batcher.submit(6).await, Ok(6));
        assert_eq!(*sizes.lock().unwrap(), [1, 3, 2]);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_a_panic_kills_one_batch_only() {
        let (started, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let batcher = Batcher::spawn(Bounds { queue: 1, batch: 1, lanes: 1, rest: Duration::ZERO }, {
            let (started, go) = (Arc::clone(&started), Arc::clone(&go));
            move |items: Vec<u32>| {
                let (started, go) = (Arc::clone(&started), Arc::clone(&go));
                async move {
                    started.notify_one();
                    go.notified().await;
                    assert!(items[0] != 13, "unlucky");
                    items
                }
            }
        });
        let submit = |item| {
            let batcher = batcher.clone();
            tokio::spawn(async move { batcher.submit(item).await })
        };
        let unlucky = submit(13);
        started.notified().await;
        let waiting = submit(1);
        while batcher.queue.capacity() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(batcher.submit(2).await, Err(Full));
        go.notify_one();
        assert_eq!(unlucky.await.unwrap(), Err(Full));
        go.notify_one();
        assert_eq!(waiting.await.unwrap(), Ok(1));
    }
}
