//! Runs batches of decisions in transactions, and keeps one item's trouble from its neighbours.

/// Defines an [`Operation`] over one of the decisions of [`decide`].
macro_rules! operation {
    ($name:ident: $item:ty => $answer:ty, $run:path $(, $isolation:ident)?) => {
        struct $name<'a> {
            rules: &'a Rules,
            now: Timestamp,
        }

        impl<S: Transaction> Operation<S> for $name<'_> {
            type Item = $item;
            type Answer = $answer;
            $(const ISOLATION: Isolation = Isolation::$isolation;)?

            async fn run(
                &self,
                session: &mut S,
                items: &[$item],
            ) -> Result<(Vec<$answer>, Effects), StoreError> {
                $run(session, self.rules, items, self.now).await
            }
        }
    };
}

// After the macro, which it uses.
mod accounts;
mod operators;
mod pages;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::decide::Effects;
use super::transaction::{Backend, Transaction};
use super::{
    Batch, Block, Cancel, Canceled, Check, Checked, Claim, Claimed, Connections, Create, Created, KeyOwner,
    List, Load, OperatorStore, Reaped, Record, Recorded, Resend, Resent, Store, StoreError, decide,
};
use hulak_common::client::NewKey;
use hulak_common::client::{ClientRecord, KeyRecord, SettingsChange};
use hulak_common::job::{MessageId, StatusEvent};
use hulak_common::phone::PhoneNumber;
use hulak_common::phone_record::NumberReport;
use hulak_common::rules::Rules;
use hulak_common::time::Timestamp;
use hulak_common::verification::Verification;
use hulak_runtime::metrics;

/// How often a transaction is tried when others change the same rows.
const TRIES: u32 = 8;

/// How long a transaction may take, from the wait for a connection to its commit.
const PATIENCE: Duration = Duration::from_secs(8);

/// A database with the rules that its decisions go by.
#[derive(Debug)]
pub struct Database<B> {
    backend: B,
    rules: Rules,
}

impl<B> Database<B> {
    /// Decides by `rules` over what `backend` keeps.
    pub const fn new(backend: B, rules: Rules) -> Self {
        Self { backend, rules }
    }
}

/// What holds the statements of an operation together.
enum Isolation {
    /// A transaction with its locks.
    Locked,
    /// Nothing: it reads, and then writes with one statement that fails when what was read has changed.
    Autocommit,
}

/// One attempt at a batch, in a transaction of its own.
trait Operation<S: Transaction>: Sync {
    type Item: Sync;
    type Answer: Send;
    const ISOLATION: Isolation = Isolation::Locked;

    fn run(
        &self,
        session: &mut S,
        items: &[Self::Item],
    ) -> impl Future<Output = Result<(Vec<Self::Answer>, Effects), StoreError>> + Send;
}

#[expect(private_bounds, reason = "which databases there are is this module's business")]
impl<B: Backend> Database<B> {
    /// The whole batch in one transaction; when that fails for another reason than an absent database, each item in
    /// one of its own.
    async fn batch<O>(&self, operation: &O, items: &[O::Item]) -> Batch<O::Answer>
    where
        O: Operation<B::Transaction>,
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
                        // It went away in the middle. Asking it for each of the others would keep them waiting as long.
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

    /// The whole batch once without locks, where the database can tell whether a row has changed. When somebody else was
    /// there, or anything else is wrong with it, with locks.
    async fn unlocked_first<U, O>(&self, unlocked: &U, locked: &O, items: &[O::Item]) -> Batch<O::Answer>
    where
        U: Operation<B::Transaction, Item = O::Item, Answer = O::Answer>,
        O: Operation<B::Transaction>,
    {
        if B::STAMPS && !items.is_empty() {
            match self.attempt(unlocked, items).await {
                Ok(done) => return Batch::done(done),
                Err(error @ StoreError::Unavailable(_)) => return Batch::failed(items.len(), error),
                Err(error) => tracing::debug!(%error, "once more with locks"),
            }
        }
        self.batch(locked, items).await
    }

    /// Ends what is found, and answers how many were found, how many ended, and what changed.
    async fn sweep<Id, L, E>(
        &self,
        look: &L,
        end: &E,
        limit: u32,
    ) -> Result<(usize, usize, Vec<StatusEvent>), StoreError>
    where
        Id: Send + Sync + std::fmt::Debug,
        L: Operation<B::Transaction, Item = u32, Answer = Vec<Id>>,
        E: Operation<B::Transaction, Item = Id, Answer = bool>,
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
    ) -> Result<(Vec<O::Answer>, Vec<StatusEvent>), StoreError>
    where
        O: Operation<B::Transaction>,
    {
        let mut tries = 1;
        loop {
            match self.attempt(operation, items).await {
                // Somebody inserted or locked the same rows first. The next try sees what they did.
                Err(StoreError::Conflict(_)) if tries < TRIES => tries += 1,
                done => return done,
            }
        }
    }

    async fn attempt<O>(
        &self,
        operation: &O,
        items: &[O::Item],
    ) -> Result<(Vec<O::Answer>, Vec<StatusEvent>), StoreError>
    where
        O: Operation<B::Transaction>,
    {
        let bounded = tokio::time::timeout(PATIENCE, async {
            let mut session = match O::ISOLATION {
                Isolation::Locked => self.backend.begin().await?,
                Isolation::Autocommit => self.backend.autocommit().await?,
            };
            match operation.run(&mut session, items).await {
                Ok(done) => session.commit().await.map(|()| done),
                Err(error) => {
                    // What went wrong is the answer; a connection that cannot even be cleaned up is closed.
                    let _closed = session.rollback().await;
                    Err(error)
                }
            }
        });
        // A line that has gone dead silently never answers: whoever waits must not wait with it.
        let done = bounded.await.unwrap_or_else(|late| Err(StoreError::Unavailable(Box::new(late))));
        let (answers, effects) = done?;
        // Counted here and nowhere else: it is committed, and each commit comes by once.
        metrics::store().count(&effects.facts);
        Ok((answers, effects.events))
    }
}

operation!(Creating: Create => Created, decide::create);
operation!(Checking: Check => Checked, decide::check);
operation!(Resending: Resend => Resent, decide::resend);
operation!(Canceling: Cancel => Canceled, decide::cancel);
operation!(Blocking: Block => (), decide::block);
operation!(Claiming: Claim => Claimed, decide::claim);
operation!(ClaimingUnlocked: Claim => Claimed, decide::claim_unlocked, Autocommit);
operation!(Recording: Record => Recorded, decide::record);
operation!(RecordingUnlocked: Record => Recorded, decide::record_unlocked, Autocommit);
operation!(Lapsing: u32 => Vec<MessageId>, decide::lapsed);
operation!(TakingBack: MessageId => bool, decide::take_back);
operation!(Overdue: u32 => Vec<Uuid>, decide::overdue);
operation!(Expiring: Uuid => bool, decide::expire);

#[async_trait]
impl<B: Backend> Store for Database<B>
where
    Self: OperatorStore,
{
    async fn migrate(&self) -> Result<(), StoreError> {
        self.backend.migrate().await
    }

    async fn time(&self) -> Result<Timestamp, StoreError> {
        self.backend.time().await
    }

    async fn create(&self, batch: &[Create], now: Timestamp) -> Batch<Created> {
        self.batch(&Creating { rules: &self.rules, now }, batch).await
    }

    async fn check(&self, batch: &[Check], now: Timestamp) -> Batch<Checked> {
        let batch = self.batch(&Checking { rules: &self.rules, now }, batch).await;
        metrics::store()
            .checked(batch.answers.iter().filter_map(|answer| Some(answer.as_ref().ok()?.result())));
        batch
    }

    async fn resend(&self, batch: &[Resend], now: Timestamp) -> Batch<Resent> {
        self.batch(&Resending { rules: &self.rules, now }, batch).await
    }

    async fn cancel(&self, batch: &[Cancel], now: Timestamp) -> Batch<Canceled> {
        self.batch(&Canceling { rules: &self.rules, now }, batch).await
    }

    async fn block(&self, block: &Block, now: Timestamp) -> Result<(), StoreError> {
        let operation = Blocking { rules: &self.rules, now };
        self.transact(&operation, std::slice::from_ref(block)).await.map(drop)
    }

    async fn list(&self, list: &List, now: Timestamp) -> Result<Vec<Verification>, StoreError> {
        self.backend.list(list, now).await
    }

    async fn forget(&self, limit: u32, now: Timestamp) -> Result<(), StoreError> {
        self.backend.forget(limit, now).await
    }

    async fn claim(&self, batch: &[Claim], now: Timestamp) -> Batch<Claimed> {
        let rules = &self.rules;
        self.unlocked_first(&ClaimingUnlocked { rules, now }, &Claiming { rules, now }, batch).await
    }

    async fn record(&self, batch: &[Record], now: Timestamp) -> Batch<Recorded> {
        let (rules, locked) = (&self.rules, Recording { rules: &self.rules, now });
        if batch.iter().any(|item| item.as_claimed.is_none()) {
            // What is not known has to be read, so a connection for less would be asked for in vain.
            return self.batch(&locked, batch).await;
        }
        self.unlocked_first(&RecordingUnlocked { rules, now }, &locked, batch).await
    }

    async fn reap(&self, limit: u32, now: Timestamp) -> Result<(Reaped, Vec<StatusEvent>), StoreError> {
        let (rules, full) = (&self.rules, limit as usize);
        let (lapsed, taken, mut events) =
            self.sweep(&Lapsing { rules, now }, &TakingBack { rules, now }, limit).await?;
        // Transactions of their own: one that has locked messages may not go on to lock other verifications.
        let (overdue, ended, more) =
            match self.sweep(&Overdue { rules, now }, &Expiring { rules, now }, limit).await {
                Ok(swept) => swept,
                // What was taken back has to be told. The next sweep finds the rest, and the error if it lasts.
                Err(_) if taken > 0 => (0, 0, Vec::new()),
                Err(error) => return Err(error),
            };
        events.extend(more);
        // Rows that cannot be ended are found each time: they are no reason to look again at once.
        let more = (lapsed >= full && taken > 0) || (overdue >= full && ended > 0);
        Ok((Reaped { expired: ended, leases: taken, more }, events))
    }

    async fn verifications(&self, batch: &[(Uuid, Uuid)]) -> Batch<Option<Verification>> {
        let ids: Vec<Uuid> = batch.iter().map(|(_, id)| *id).collect();
        let found = self.backend.verifications(&ids).await;
        if batch.len() == 1 || !matches!(found, Err(StoreError::Corrupt(_))) {
            return super::deal(batch, found);
        }
        // Only who asked for the unreadable row is to be told so.
        let mut answers = Vec::with_capacity(batch.len());
        for item in batch.chunks(1) {
            let ids: Vec<Uuid> = item.iter().map(|(_, id)| *id).collect();
            answers.extend(super::deal(item, self.backend.verifications(&ids).await).answers);
        }
        Batch { answers, events: Vec::new() }
    }

    async fn number(&self, client: Uuid, phone: PhoneNumber) -> Result<NumberReport, StoreError> {
        self.backend.number(client, phone).await
    }

    async fn take_due(&self, limit: u32, now: Timestamp) -> Result<Vec<MessageId>, StoreError> {
        self.backend.take_due(limit, now).await
    }

    async fn confirm_published(&self, confirmed: &[(MessageId, Timestamp)]) -> Result<(), StoreError> {
        self.backend.confirm_published(confirmed).await
    }

    async fn waiting_since(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.backend.waiting_since(now).await
    }

    async fn load(&self, now: Timestamp) -> Result<Load, StoreError> {
        self.backend.load(now).await
    }

    fn connections(&self) -> Connections {
        self.backend.connections()
    }

    async fn heartbeat(&self, worker: Uuid, now: Timestamp) -> Result<u32, StoreError> {
        self.backend.heartbeat(worker, now).await
    }

    async fn leave(&self, worker: Uuid) -> Result<(), StoreError> {
        self.backend.leave(worker).await
    }

    async fn install_key(&self, key: &NewKey, id: Uuid, now: Timestamp) -> Result<Uuid, StoreError> {
        self.backend.install_key(key, id, now).await
    }

    async fn find_key(&self, hash: &[u8; 32]) -> Result<Option<KeyOwner>, StoreError> {
        self.backend.find_key(hash).await
    }

    async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        let mut keys = self.backend.keys().await?;
        // Here rather than by the databases, each of which has an order of letters of its own.
        keys.sort_by(|a, b| {
            let order = |key: &KeyRecord| (key.created_at, key.hash);
            a.client_name.cmp(&b.client_name).then_with(|| order(a).cmp(&order(b)))
        });
        Ok(keys)
    }

    async fn revoke_key(&self, hash: &[u8; 32], now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.backend.revoke_key(hash, now).await
    }

    async fn clients(&self) -> Result<Vec<ClientRecord>, StoreError> {
        let mut clients = self.backend.clients().await?;
        clients.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(clients)
    }

    async fn change_client(
        &self,
        name: &str,
        change: &SettingsChange,
    ) -> Result<Option<ClientRecord>, StoreError> {
        self.backend.change_client(name, change).await
    }

    async fn close(&self) {
        self.backend.close().await;
    }
}
