//! Connections on loan.
//!
//! The pool hands out the connection that has rested longest, and asks each that comes back whether it still answers, which is
//! one more way to the database for every few statements. So some are kept at hand, and the one that came back last is the next
//! to go: its memory is warm, and what it was asked last it has just answered.
//!
//! A caller that finds none at hand waits in the pool's queue, and as long as one waits all connections go back to the pool.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, PgPool, Postgres};

use crate::connections::Connections;
use crate::error::Result;
use hulak_common::clock::Stopwatch;

/// How long a connection may have been idle to be trusted. After a restart of the server every idle one is dead.
pub(crate) const IDLE: Duration = Duration::from_millis(500);
/// How long a connection is kept from the pool, which closes those that have become old.
const AWAY: Duration = Duration::from_mins(1);
/// How long it may take to answer that it still does.
const PING: Duration = Duration::from_secs(2);

/// Connections that were opened before a moment are not used again.
#[derive(Debug, Clone, Default)]
pub(super) struct Condemned(Arc<Mutex<Option<Stopwatch>>>);

impl Condemned {
    /// Condemns all connections that are open now.
    pub(super) fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Stopwatch::start());
    }

    /// Whether a connection that was open that long ago is condemned.
    pub(super) fn covers(&self, age: Duration) -> bool {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() <= age)
    }
}

/// A pool, and the connections at hand.
#[derive(Debug)]
pub(super) struct Pool(Arc<Shelf>);

#[derive(Debug)]
struct Shelf {
    pool: PgPool,
    /// How long a connection may have been idle to be trusted.
    idle: Duration,
    condemned: Condemned,
    at_hand: Mutex<AtHand>,
}

#[derive(Debug, Default)]
struct AtHand {
    rested: Vec<Rested>,
    /// How many callers wait in the pool's queue.
    waiting: usize,
}

#[derive(Debug)]
struct Rested {
    loan: Loan,
    since: Stopwatch,
}

#[derive(Debug)]
struct Loan {
    connection: PoolConnection<Postgres>,
    taken: Stopwatch,
}

impl Pool {
    /// `condemned` is the same that the pool asks before it hands out a connection.
    pub(super) fn new(pool: PgPool, idle: Duration, condemned: Condemned) -> Self {
        Self(Arc::new(Shelf { pool, idle, condemned, at_hand: Mutex::default() }))
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    /// A connection that answers, as far as is known.
    pub(super) async fn take(&self) -> Result<PooledConnection> {
        let (found, waiting) = self.0.take_or_wait();
        if let Some(Rested { loan, since }) = found {
            let condemned = self.0.condemned.covers(loan.taken.elapsed());
            let mut lease = self.lease(loan);
            if !condemned && (since.elapsed() < self.0.idle || lease.answers().await) {
                return Ok(lease);
            }
            // The others have rested even longer.
            let others = std::mem::take(&mut self.0.at_hand().rested);
            for Rested { loan, .. } in others {
                drop(self.lease(loan));
            }
        }
        let connection = self.0.pool.acquire().await?;
        drop(waiting);
        Ok(self.lease(Loan { connection, taken: Stopwatch::start() }))
    }

    /// How many there are at most.
    pub(super) fn most(&self) -> u32 {
        self.0.most()
    }

    /// Closes all of them, when those on loan have come back.
    pub(super) async fn close(&self) {
        // From here on nothing is laid aside any more.
        let closing = self.0.pool.close();
        self.0.at_hand().rested.clear();
        closing.await;
    }

    pub(super) fn connections(&self) -> Connections {
        let at_hand = u32::try_from(self.0.at_hand().rested.len()).unwrap_or(u32::MAX);
        let all = Connections::of([&self.0.pool]);
        Connections { busy: all.busy.saturating_sub(at_hand), idle: all.idle + at_hand }
    }

    fn lease(&self, loan: Loan) -> PooledConnection {
        PooledConnection { loan: Some(loan), shelf: Arc::clone(&self.0) }
    }
}

impl Shelf {
    fn at_hand(&self) -> MutexGuard<'_, AtHand> {
        // Nothing that may panic is done under the lock.
        self.at_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn most(&self) -> u32 {
        self.pool.options().get_max_connections()
    }

    /// A connection that is at hand, and a place in the queue in case there is none: both at one moment, or one that comes back
    /// between them would be laid aside.
    fn take_or_wait(&self) -> (Option<Rested>, Waiting<'_>) {
        let mut at_hand = self.at_hand();
        at_hand.waiting += 1;
        (at_hand.rested.pop(), Waiting(self))
    }

    /// Lays a connection aside, half of all at most, unless a caller waits in the pool's queue, or the pool has not seen it for long.
    fn put(&self, loan: Loan) {
        let mut at_hand = self.at_hand();
        let room = usize::try_from(self.most() / 2).unwrap_or_default();
        let wanted = at_hand.waiting > 0 || self.pool.is_closed();
        if !wanted && at_hand.rested.len() < room && !loan.is_old() {
            at_hand.rested.push(Rested { loan, since: Stopwatch::start() });
        }
        // Those below may not have gone for long, and would never come up.
        at_hand.rested.retain(|rested| !rested.loan.is_old());
    }
}

impl Loan {
    fn is_old(&self) -> bool {
        self.taken.elapsed() >= AWAY
    }
}

/// A caller that waits in the pool's queue, until dropped.
struct Waiting<'a>(&'a Shelf);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.at_hand().waiting -= 1;
    }
}

/// A connection that is given back only when its work is finished. Otherwise it is closed: what it would answer to
/// the next question is not known, and one that has gone dead silently would hold up its next user.
#[derive(Debug)]
pub(crate) struct PooledConnection {
    loan: Option<Loan>,
    shelf: Arc<Shelf>,
}

impl PooledConnection {
    /// Whether it still answers, with all done that was asked before.
    pub(crate) async fn answers(&mut self) -> bool {
        matches!(tokio::time::timeout(PING, self.ping()).await, Ok(Ok(())))
    }

    /// The work is finished: the connection may be used again, unless it was condemned meanwhile.
    pub(crate) fn finish(mut self) {
        if self.is_condemned() {
            return;
        }
        if let Some(loan) = self.loan.take() {
            self.shelf.put(loan);
        }
    }

    /// Closes this connection and all that were opened before now. An error that comes by a connection which is condemned already
    /// says nothing about those that were opened since.
    pub(crate) fn condemn_all(self) {
        if !self.is_condemned() {
            self.shelf.condemned.note();
        }
    }

    fn is_condemned(&self) -> bool {
        self.loan.as_ref().is_some_and(|loan| self.shelf.condemned.covers(loan.taken.elapsed()))
    }
}

impl std::ops::Deref for PooledConnection {
    type Target = PgConnection;
    #[expect(clippy::expect_used, reason = "only `finish` takes the connection, and it consumes the lease")]
    fn deref(&self) -> &PgConnection {
        &self.loan.as_ref().expect("a lease holds its connection").connection
    }
}

impl std::ops::DerefMut for PooledConnection {
    #[expect(clippy::expect_used, reason = "only `finish` takes the connection, and it consumes the lease")]
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.loan.as_mut().expect("a lease holds its connection").connection
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        if let Some(loan) = &mut self.loan {
            loan.connection.close_on_drop();
        }
    }
}
