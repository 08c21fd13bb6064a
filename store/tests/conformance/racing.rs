//! Many at once, through several stores on one database.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hulak_common::client::NewKey;
use hulak_common::client::{ClientRecord, SettingsChange};
use hulak_common::job::{MessageId, StatusEvent};
use hulak_common::time::Timestamp;
use hulak_common::verification::Verification;
use hulak_store::{
    Batch, Check, Checked, Claim, Claimed, Create, Created, Exchange, Exchanged, PageApproval, Reaped,
    Record, Recorded, Spent, Store, StoreError,
};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::harness::*;

/// However slow the machine is, no race may take this long.
const BOUND: Duration = Duration::from_secs(120);

pub(crate) fn new(created: Created) -> Verification {
    match created {
        Created::New(verification) => verification,
        other => panic!("not a new verification: {other:?}"),
    }
}

/// Runs `contenders` tasks that start together, spread over the stores, and gives their answers in no order.
pub(crate) async fn race<T, F, Fut>(world: &World, contenders: usize, run: F) -> Vec<T>
where
    T: Send + 'static,
    F: Fn(usize, Racer) -> Fut,
    Fut: Future<Output = T> + Send + 'static,
{
    let stores = world.racers();
    let start = Arc::new(Barrier::new(contenders));
    let mut tasks = JoinSet::new();
    for n in 0..contenders {
        let go = run(n, Racer(Arc::clone(&stores[n % stores.len()])));
        let start = Arc::clone(&start);
        tasks.spawn(async move {
            start.wait().await;
            go.await
        });
    }
    tokio::time::timeout(BOUND, tasks.join_all()).await.expect("they end in time")
}

/// A store whose callers stand in line for a connection as long as it takes. Nothing was done for those who were sent
/// away, and how long the line may get on a busy machine is not what a race is about.
#[derive(Debug, Clone)]
pub(crate) struct Racer(Arc<Store>);

fn sent_away(error: &StoreError) -> bool {
    let StoreError::Unavailable(reason) = error else { return false };
    matches!(reason.downcast_ref(), Some(sqlx::Error::PoolTimedOut))
}

macro_rules! batch {
    ($($call:ident: $item:ty => $answer:ty),+ $(,)?) => {
        $(pub(crate) async fn $call(&self, batch: &[$item], now: Timestamp) -> Batch<$answer> {
            loop {
                let done = self.0.$call(batch, now).await;
                let gone = |answer: &Result<_, Arc<StoreError>>| answer.as_ref().is_err_and(|error| sent_away(error));
                if batch.is_empty() || !done.answers.iter().all(gone) {
                    return done;
                }
            }
        })+
    };
}

macro_rules! single {
    ($($call:ident($($name:ident: $type:ty),*) => $answer:ty),+ $(,)?) => {
        $(pub(crate) async fn $call(&self, $($name: $type),*) -> Result<$answer, StoreError> {
            loop {
                let done = self.0.$call($($name),*).await;
                if !done.as_ref().is_err_and(sent_away) {
                    return done;
                }
            }
        })+
    };
}

impl Racer {
    batch!(
        create: Create => Created,
        check: Check => Checked,
        claim: Claim => Claimed,
        record: Record => Recorded,
    );
    single!(
        spend_page(client: Uuid, id: Uuid, now: Timestamp) => Spent,
        offer_approval(approval: PageApproval, now: Timestamp) => (),
        exchange(item: &Exchange, now: Timestamp) => Exchanged,
        reap(limit: u32, now: Timestamp) => (Reaped, Vec<StatusEvent>),
        take_due(limit: u32, now: Timestamp) => Vec<MessageId>,
        confirm_published(confirmed: &[(MessageId, Timestamp)]) => (),
        heartbeat(worker: Uuid, now: Timestamp) => u32,
        install_key(key: &NewKey, id: Uuid, now: Timestamp) => Uuid,
        revoke_key(hash: &[u8; 32], now: Timestamp) => Option<Timestamp>,
        change_client(name: &str, change: &SettingsChange) => Option<ClientRecord>,
    );
}
