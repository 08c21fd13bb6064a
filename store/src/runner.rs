//! Runs batches of decisions in transactions, and keeps one item's trouble from its neighbours.

/// Defines an [`Operation`] over one of the decisions of [`decide`].
macro_rules! operation {
    ($name:ident: $item:ty => $answer:ty, $run:path $(, $isolation:ident)?) => {
        struct $name<'a> {
            rules: &'a Rules,
            now: Timestamp,
        }

        impl Operation for $name<'_> {
            type Item = $item;
            type Answer = $answer;
            $(const ISOLATION: Isolation = Isolation::$isolation;)?

            async fn run<S: Transaction>(
                &self,
                tx: &mut S,
                items: &[$item],
            ) -> Result<(Vec<$answer>, Effects)> {
                $run(tx, self.rules, items, self.now).await
            }
        }
    };
}

// After the macro, which they use.
mod accounts;
mod pages;
mod verifications;

use std::sync::Arc;

use crate::decide::Effects;
use crate::error::{Result, StoreError};
use crate::requests::Batch;
use crate::store::{Store, both, in_time};
use crate::transaction::{Backend, Transaction};
use hulak_common::job::StatusEvent;
use hulak_common::time::Timestamp;
use hulak_runtime::metrics;

/// How often a transaction is tried when others change the same rows.
const TRIES: u32 = 8;

/// What does not depend on the time.
const WHENEVER: Timestamp = Timestamp::from_millis(0);

/// What holds the statements of an operation together.
enum Isolation {
    /// A transaction with its locks.
    Locked,
    /// Nothing: it reads, and then writes with one statement that fails when what was read has changed.
    Autocommit,
}

/// One attempt at a batch, in a transaction of its own.
trait Operation: Sync {
    type Item: Sync;
    type Answer: Send;
    const ISOLATION: Isolation = Isolation::Locked;

    fn run<S: Transaction>(
        &self,
        tx: &mut S,
        items: &[Self::Item],
    ) -> impl Future<Output = Result<(Vec<Self::Answer>, Effects)>> + Send;
}

impl Store {
    /// The whole batch in one transaction; when that fails for another reason than an absent database, each item in
    /// one of its own.
    async fn batch<O>(&self, operation: &O, items: &[O::Item]) -> Batch<O::Answer>
    where
        O: Operation,
    {
        if items.is_empty() {
            return Batch { answers: Vec::new(), events: Vec::new() };
        }
        match self.transact(operation, items).await {
            Ok(done) => Batch::done(done),
            Err(error) if items.len() == 1 || matches!(error, StoreError::Unavailable(_)) => {
                Batch::failed(items.len(), error)
            }
            Err(_) => {
                let mut batch = Batch { answers: Vec::with_capacity(items.len()), events: Vec::new() };
                let mut away = None;
                for item in items.chunks(1) {
                    if let Some(away) = &away {
                        // The database went away in the middle. Asking it for each of the others would keep them waiting as long.
                        batch.answers.push(Err(Arc::clone(away)));
                        continue;
                    }
                    match self.transact(operation, item).await {
                        Ok((answers, events)) => {
                            batch.answers.extend(answers.into_iter().map(Ok));
                            batch.events.extend(events);
                        }
                        Err(error) => {
                            let gone = matches!(error, StoreError::Unavailable(_));
                            let error = Arc::new(error);
                            away = gone.then(|| Arc::clone(&error));
                            batch.answers.push(Err(error));
                        }
                    }
                }
                batch
            }
        }
    }

    /// The whole batch once without locks, where the database can tell whether a row has changed. When another transaction
    /// was there, or anything else is wrong with it, with locks.
    async fn unlocked_first<U, O>(&self, unlocked: &U, locked: &O, items: &[O::Item]) -> Batch<O::Answer>
    where
        U: Operation<Item = O::Item, Answer = O::Answer>,
        O: Operation,
    {
        if self.has_row_versions() && !items.is_empty() {
            match self.attempt(unlocked, items).await {
                Ok(done) => return Batch::done(done),
                Err(error @ StoreError::Unavailable(_)) => return Batch::failed(items.len(), error),
                Err(error) => tracing::debug!(%error, "once more with locks"),
            }
        }
        self.batch(locked, items).await
    }

    /// Ends what is found, and answers how many were found, how many ended, and what changed.
    async fn sweep<Id, L, E>(&self, look: &L, end: &E, limit: u32) -> Result<(usize, usize, Vec<StatusEvent>)>
    where
        Id: Send + Sync + std::fmt::Debug,
        L: Operation<Item = u32, Answer = Vec<Id>>,
        E: Operation<Item = Id, Answer = bool>,
    {
        let (found, _) = self.transact(look, &[limit]).await?;
        let found: Vec<Id> = found.into_iter().flatten().collect();
        let Batch { answers, events } = self.batch(end, &found).await;
        let mut ended = 0;
        for (id, answer) in found.iter().zip(answers) {
            match answer {
                Ok(done) => ended += usize::from(done),
                Err(error) if error.is_unavailable() => {
                    tracing::debug!(%error, ?id, "left to the next sweep");
                }
                Err(error) => tracing::error!(%error, ?id, "a row that cannot be ended"),
            }
        }
        Ok((found.len(), ended, events))
    }

    async fn transact<O>(
        &self,
        operation: &O,
        items: &[O::Item],
    ) -> Result<(Vec<O::Answer>, Vec<StatusEvent>)>
    where
        O: Operation,
    {
        let mut tries = 1;
        loop {
            match self.attempt(operation, items).await {
                // Another transaction inserted or locked the same rows first. The next try sees what it did.
                Err(StoreError::Conflict(_)) if tries < TRIES => tries += 1,
                done => return done,
            }
        }
    }

    async fn attempt<O: Operation>(
        &self,
        operation: &O,
        items: &[O::Item],
    ) -> Result<(Vec<O::Answer>, Vec<StatusEvent>)> {
        // On the heap: with the statements of both databases it would make every caller's future large.
        let attempt = Box::pin(async { both!(self, |database| run(database, operation, items).await) });
        let (answers, effects) = in_time(attempt).await?;
        // Counted here and nowhere else: it is committed, and each commit comes by once.
        metrics::store().count(&effects.facts);
        Ok((answers, effects.events))
    }

    /// A batch of one.
    async fn one<O: Operation>(&self, operation: &O, item: &O::Item) -> Result<O::Answer> {
        let (mut answers, _) = self.transact(operation, std::slice::from_ref(item)).await?;
        answers.pop().ok_or_else(|| StoreError::Corrupt("a decision without an answer".to_owned()))
    }

    fn has_row_versions(&self) -> bool {
        fn of<B: Backend>(_: &B) -> bool {
            B::ROW_VERSIONS
        }
        both!(self, |database| of(database))
    }
}

/// Begins, decides, and commits or rolls back.
async fn run<B: Backend, O: Operation>(
    database: &B,
    operation: &O,
    items: &[O::Item],
) -> Result<(Vec<O::Answer>, Effects)> {
    let mut transaction = match O::ISOLATION {
        Isolation::Locked => database.begin().await?,
        Isolation::Autocommit => database.autocommit().await?,
    };
    match operation.run(&mut transaction, items).await {
        Ok(done) => transaction.commit().await.map(|()| done),
        Err(error) => {
            // The error of the operation is the answer; a connection that cannot even be cleaned up is closed.
            let _closed = transaction.undo(&error).await;
            Err(error)
        }
    }
}
