//! Waiting for the store, with a share of the slots for each client application: a client that asks for more than there is
//! room for is refused, and the others are not.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hulak_runtime::batch::{Batcher, Bounds, Full};
use uuid::Uuid;

/// A client may hold this many slots for each one that is free. Alone it gets three quarters of them; two of its kind get
/// three sevenths each; and there is always one for a client that has none.
const SHARE: usize = 3;

/// Between batches, of whichever lane. A small one is dear, for the database and for us, and takes the processor from those who
/// would fill the next.
const REST: Duration = Duration::from_millis(3);

/// Batches side by side. Their size is a matter of [`REST`]; a third is there so that a slow one does not hold up the next two.
const LANES: usize = 3;

/// Slots, shared out among the clients that want some.
#[derive(Debug, Clone)]
pub(crate) struct Slots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    slots: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_client: HashMap<Uuid, usize>,
}

impl Slots {
    pub(crate) fn new(slots: usize) -> Self {
        Self(Arc::new(Shared { slots, taken: Mutex::default() }))
    }

    /// Takes a slot.
    ///
    /// # Errors
    /// [`Full`] when this client has its share of them.
    pub(crate) fn enter(&self, client: Uuid) -> Result<Slot, Full> {
        let mut taken = self.0.lock();
        let own = taken.by_client.get(&client).copied().unwrap_or_default();
        if own >= SHARE * self.0.slots.saturating_sub(taken.all) {
            return Err(Full);
        }
        taken.all += 1;
        taken.by_client.insert(client, own + 1);
        Ok(Slot { shared: Arc::clone(&self.0), client })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A slot, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    shared: Arc<Shared>,
    client: Uuid,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.shared.lock();
        taken.all -= 1;
        if let Some(own) = taken.by_client.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                taken.by_client.remove(&self.client);
            }
        }
    }
}

/// A [`Batcher`] whose slots are shared out.
#[derive(Debug)]
pub(crate) struct Queue<I, O> {
    batcher: Batcher<(I, Slot), O>,
    slots: Slots,
}

impl<I: Send + 'static, O: Send + 'static> Queue<I, O> {
    /// See [`Batcher::spawn`].
    pub(crate) fn spawn<F, Fut>(execute: F) -> Self
    where
        F: Fn(Vec<I>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Vec<O>> + Send + 'static,
    {
        let bounds = Bounds { rest: REST, lanes: LANES, ..Bounds::default() };
        let batcher = Batcher::spawn(bounds, move |items: Vec<(I, Slot)>| {
            let (items, slots): (Vec<I>, Vec<Slot>) = items.into_iter().unzip();
            let executing = execute(items);
            async move {
                let answers = executing.await;
                drop(slots);
                answers
            }
        });
        Self { batcher, slots: Slots::new(bounds.queue) }
    }

    /// Waits for the answer to an item. Its slot is taken until it is executed, even if its caller has given up waiting.
    ///
    /// # Errors
    /// [`Full`] at once, when the client has its share of the slots.
    pub(crate) async fn submit(&self, client: Uuid, item: I) -> Result<O, Full> {
        let slot = self.slots.enter(client)?;
        self.batcher.submit((item, slot)).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    const GREEDY: Uuid = Uuid::from_u128(1);
    const GREEDY_TOO: Uuid = Uuid::from_u128(2);
    const MODEST: Uuid = Uuid::from_u128(3);

    fn take_all(slots: &Slots, client: Uuid) -> Vec<Slot> {
        std::iter::from_fn(|| slots.enter(client).ok()).collect()
    }

    #[test]
    fn there_is_always_room_for_who_has_none() {
        let slots = Slots::new(4_096);
        let mut greedy = take_all(&slots, GREEDY);
        assert_eq!(greedy.len(), 3_072);
        let other = take_all(&slots, GREEDY_TOO);
        assert_eq!(other.len(), 768, "three quarters of what was left");
        // The first has more than its share now: it waits until it has less, while everybody else has room.
        drop(greedy.split_off(3_000));
        assert!(slots.enter(GREEDY).is_err());
        assert!(slots.enter(MODEST).is_ok());
        drop(greedy);
        assert!(slots.enter(GREEDY).is_ok());
        drop(other);
        assert_eq!(slots.0.lock().all, 0);
        assert!(slots.0.lock().by_client.is_empty(), "who has left is forgotten");
    }

    #[tokio::test]
    async fn a_place_is_taken_until_the_work_is_done() {
        let gate = Arc::new(Semaphore::new(0));
        let queue = Arc::new(Queue::spawn({
            let gate = Arc::clone(&gate);
            move |items: Vec<u32>| {
                let gate = Arc::clone(&gate);
                async move {
                    let _open = gate.acquire().await;
                    items
                }
            }
        }));
        let submit = |client, item| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move { queue.submit(client, item).await })
        };
        let taken = |queue: &Queue<u32, u32>| queue.slots.0.lock().all;
        let gone: Vec<_> = (0..3_072).map(|item| submit(GREEDY, item)).collect();
        while taken(&queue) < 3_072 {
            tokio::task::yield_now().await;
        }
        assert_eq!(queue.submit(GREEDY, 0).await, Err(Full));
        // Hanging up makes no room: what was asked for is still to be done.
        gone.iter().for_each(tokio::task::JoinHandle::abort);
        for caller in gone {
            assert!(caller.await.unwrap_err().is_cancelled());
        }
        assert_eq!(queue.submit(GREEDY, 0).await, Err(Full));
        let modest = submit(MODEST, 7);
        while taken(&queue) < 3_073 {
            tokio::task::yield_now().await;
        }
        gate.close();
        assert_eq!(modest.await.unwrap(), Ok(7));
        while taken(&queue) > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(queue.submit(GREEDY, 8).await, Ok(8));
    }
}
