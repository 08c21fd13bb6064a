//! Verifications and their messages: what callers ask, run as decisions.

use uuid::Uuid;

use super::{Effects, Isolation, Operation};
use crate::decide;
use crate::error::Result;
use crate::requests::Batch;
use crate::requests::claims::{Claim, Claimed, Reaped, Record, Recorded};
use crate::requests::verifications::{
    Block, Cancel, Canceled, Check, Checked, Create, Created, Resend, Resent,
};
use crate::store::Store;
use crate::transaction::Transaction;
use hulak_common::job::{MessageId, StatusEvent};
use hulak_common::rules::Rules;
use hulak_common::time::Timestamp;
use hulak_runtime::metrics;

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

impl Store {
    /// Records requests for codes.
    pub async fn create(&self, batch: &[Create], now: Timestamp) -> Batch<Created> {
        self.batch(&Creating { rules: &self.rules, now }, batch).await
    }

    /// Checks codes. There is no other way to `approved`.
    pub async fn check(&self, batch: &[Check], now: Timestamp) -> Batch<Checked> {
        let batch = self.batch(&Checking { rules: &self.rules, now }, batch).await;
        metrics::store()
            .checked(batch.answers.iter().filter_map(|answer| Some(answer.as_ref().ok()?.result())));
        batch
    }

    /// Sends a code again.
    pub async fn resend(&self, batch: &[Resend], now: Timestamp) -> Batch<Resent> {
        self.batch(&Resending { rules: &self.rules, now }, batch).await
    }

    /// Takes verifications back.
    pub async fn cancel(&self, batch: &[Cancel], now: Timestamp) -> Batch<Canceled> {
        self.batch(&Canceling { rules: &self.rules, now }, batch).await
    }

    /// Blocks a number within a client, or lifts the block, which also forgets its wrong codes.
    pub async fn block(&self, block: &Block, now: Timestamp) -> Result<()> {
        let operation = Blocking { rules: &self.rules, now };
        self.transact(&operation, std::slice::from_ref(block)).await.map(drop)
    }

    /// Claims messages for sending.
    pub async fn claim(&self, batch: &[Claim], now: Timestamp) -> Batch<Claimed> {
        let rules = &self.rules;
        self.unlocked_first(&ClaimingUnlocked { rules, now }, &Claiming { rules, now }, batch).await
    }

    /// Writes outcomes down.
    pub async fn record(&self, batch: &[Record], now: Timestamp) -> Batch<Recorded> {
        let (rules, locked) = (&self.rules, Recording { rules: &self.rules, now });
        if batch.iter().any(|item| item.as_claimed.is_none()) {
            // What is not known has to be read, so a connection for less would be asked for in vain.
            return self.batch(&locked, batch).await;
        }
        self.unlocked_first(&RecordingUnlocked { rules, now }, &locked, batch).await
    }

    /// Expires verifications and takes back claims, a bounded number of each.
    pub async fn reap(&self, limit: u32, now: Timestamp) -> Result<(Reaped, Vec<StatusEvent>)> {
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
}
