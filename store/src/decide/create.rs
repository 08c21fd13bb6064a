//! A request for a code: one transaction decides about limits, the live verification, and the message.

use std::collections::HashMap;

use super::accounts_involved::AccountsInvolved;
use super::idempotency::FirstAnswers;
use super::quota::{Asker, QuotaCheck};
use super::{Answers, ClientNumbers, Effects, LoadedRows, Numbers, Verifications, sorted};
use crate::error::Result;
use crate::requests::verifications::{Create, Created};
use crate::tables::bundles::Written;
use crate::transaction::Transaction;
use hulak_common::idempotency::Recall;
use hulak_common::limits::LimitReached;
use hulak_common::rules::Rules;
use hulak_common::time::Timestamp;
use hulak_common::verification::{LiveKey, Message, Status, Verification};

pub(crate) async fn create<S: Transaction>(
    tx: &mut S,
    rules: &Rules,
    batch: &[Create],
    now: Timestamp,
) -> Result<Answers<Created>> {
    let mut first_answers = FirstAnswers::load(tx, batch.iter().map(|item| item.remember.as_ref())).await?;
    let mut working_set = CreateBatch::open(tx, rules, batch).await?;
    let mut answers = Vec::with_capacity(batch.len());
    for item in batch {
        answers.push(match first_answers.recall(item.remember.as_ref(), now) {
            Recall::Answered(text) => Created::Answered(text),
            Recall::Reused => Created::KeyReused,
            Recall::First => {
                let answer = working_set.decide(rules, item, now);
                first_answers.keep(item.remember.as_ref(), &answer, now);
                answer
            }
        });
    }
    let effects = working_set.save(tx).await?;
    first_answers.save(tx, now).await?;
    Ok((answers, effects))
}

/// The rows one batch of requests works on. Requests for one number are decided one after another, in the order they
/// came, each seeing what the one before it did.
struct CreateBatch {
    quotas: QuotaCheck,
    accounts: AccountsInvolved,
    numbers: Numbers,
    blocked: ClientNumbers,
    verifications: Verifications,
    live: HashMap<LiveKey, uuid::Uuid>,
    messages: Vec<Message>,
}

impl CreateBatch {
    async fn open<S: Transaction>(tx: &mut S, rules: &Rules, batch: &[Create]) -> Result<Self> {
        let quotas = QuotaCheck::open(tx, rules, batch.iter().map(asker)).await?;
        let phones = sorted(batch.iter().map(|item| item.key.phone));
        let numbers: Numbers = LoadedRows::load(tx.lock_numbers(&phones).await?, |row| row.phone);
        let pairs = sorted(batch.iter().map(|item| (item.key.client, item.key.phone)));
        let found = tx.lock_live(&pairs, |phone| numbers.get(phone).is_some()).await?;
        let blocked = LoadedRows::load(found.blocked, |row| (row.client, row.phone));
        let accounts = AccountsInvolved::load(tx, batch.iter().map(|item| &item.key), false).await?;
        let live = found.verifications.iter().map(|row| (row.key.clone(), row.id)).collect();
        let verifications = LoadedRows::load(found.verifications, |row| row.id);
        Ok(Self { quotas, accounts, numbers, blocked, verifications, live, messages: Vec::new() })
    }

    fn decide(&mut self, rules: &Rules, item: &Create, now: Timestamp) -> Created {
        let pair = (item.key.client, item.key.phone);
        let within = self.blocked.get(pair).and_then(|row| row.blocked(now));
        let everywhere = self.numbers.get(pair.1).and_then(|row| row.blocked(now));
        if let Some(until) = within.max(everywhere) {
            return Created::Blocked { until };
        }
        if let Some(conflict) = self.accounts.conflict(&item.key) {
            return Created::Account(conflict);
        }
        match self.live(&item.key, now) {
            Some(live) if now < live.resend_after => Created::Live(live),
            // Its last message has not gone out yet: another one would only be a second copy of it.
            Some(live) if live.delivery.is_open() => Created::Again { verification: live, added: false },
            Some(live) => match self.charge(rules, item, now) {
                Ok(()) => self.resend(rules, item, live.id, now),
                Err(limit) => Created::Limited(limit),
            },
            None => match self.charge(rules, item, now) {
                Ok(()) => self.begin(rules, item, now),
                Err(limit) => Created::Limited(limit),
            },
        }
    }

    fn live(&self, key: &LiveKey, now: Timestamp) -> Option<Verification> {
        let row = self.verifications.get(*self.live.get(key)?)?;
        row.is_live(now).then(|| row.clone())
    }

    fn charge(
        &mut self,
        rules: &Rules,
        item: &Create,
        now: Timestamp,
    ) -> std::result::Result<(), LimitReached> {
        let route = self.accounts.route(&item.key, item.route);
        self.quotas.charge(rules, &mut self.numbers, item.key.phone, route, asker(item), now)
    }

    fn begin(&mut self, rules: &Rules, item: &Create, now: Timestamp) -> Created {
        if let Some(stale) = self.live.get(&item.key).and_then(|id| self.verifications.change(*id)) {
            // Past its time, and the reaper has not come by yet: only one row with this key may be pending.
            stale.end(Status::Expired, now);
        }
        let mut verification = pending(rules, item, now);
        let route = self.accounts.route(&item.key, item.route);
        let message = verification.add_message(route, rules.code_ttl, rules.limits.cooldown, now);
        self.messages.push(message);
        self.live.insert(item.key.clone(), verification.id);
        self.verifications.change_or(verification.id, || verification.clone());
        Created::New(verification)
    }

    fn resend(&mut self, rules: &Rules, item: &Create, id: uuid::Uuid, now: Timestamp) -> Created {
        let route = self.accounts.route(&item.key, item.route);
        let Some(verification) = self.verifications.change(id) else {
            unreachable!("the live verification was looked up in the same map");
        };
        self.messages.push(verification.add_message(route, rules.code_ttl, rules.limits.cooldown, now));
        Created::Again { verification: verification.clone(), added: true }
    }

    async fn save<S: Transaction>(&self, tx: &mut S) -> Result<Effects> {
        self.quotas.save(tx).await?;
        // Before the insert: an expired row has to make room for its successor's key.
        let (numbers, verifications) = (self.numbers.updated(), self.verifications.updated());
        tx.update(&Written { numbers, verifications, messages: Vec::new() }).await?;
        let (numbers, verifications) = (self.numbers.inserted(), self.verifications.inserted());
        let messages = self.messages.iter().collect();
        tx.insert(&Written { numbers, verifications, messages }).await?;
        Ok(self.verifications.effects().and_new(&self.messages))
    }
}

fn asker(item: &Create) -> Asker {
    Asker { client: item.key.client, address: item.address }
}

fn pending(rules: &Rules, item: &Create, now: Timestamp) -> Verification {
    Verification {
        id: item.id,
        key: item.key.clone(),
        locale: item.locale,
        app_hash: item.app_hash.clone(),
        origin: item.origin.clone(),
        app_name: item.app_name.clone(),
        metadata: item.metadata.clone(),
        salt: item.salt,
        key_id: rules.keyring.current().id(),
        code_length: rules.test_numbers.get(item.key.phone).map_or(rules.code_length, |fixed| fixed.length),
        created_at: now,
        status: Status::Pending,
        epoch: 0,
        epoch_started_at: now,
        checks_remaining: i32::try_from(rules.max_checks).unwrap_or(i32::MAX),
        resend_after: now,
        expires_at: now,
        delivery: hulak_common::verification::Delivery::Queued,
        messages: 0,
        last_sent_at: None,
        next_attempt_at: None,
        error: None,
        ended_at: None,
        updated_at: now,
        version: 1,
        history: Default::default(),
    }
}
