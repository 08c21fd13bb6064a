//! Another message for a verification, asked for by its id.

use super::accounts_involved::AccountsInvolved;
use super::idempotency::FirstAnswers;
use super::quota::{Asker, QuotaCheck};
use super::{Answers, ClientNumbers, Effects, LoadedRows, Messages, Numbers, Verifications, check, sorted};
use crate::error::Result;
use crate::requests::verifications::{Resend, Resent};
use crate::tables::bundles::Written;
use crate::transaction::Transaction;
use hulak_common::idempotency::Recall;
use hulak_common::limits::{LimitReached, Policy};
use hulak_common::rules::Rules;
use hulak_common::time::Timestamp;
use hulak_common::verification::{Message, Verification};

pub(crate) async fn resend<S: Transaction>(
    tx: &mut S,
    rules: &Rules,
    batch: &[Resend],
    now: Timestamp,
) -> Result<Answers<Resent>> {
    let mut first_answers = FirstAnswers::load(tx, batch.iter().map(|item| item.remember.as_ref())).await?;
    let mut working_set = ResendBatch::open(tx, rules, batch).await?;
    let mut answers = Vec::with_capacity(batch.len());
    for item in batch {
        answers.push(match first_answers.recall(item.remember.as_ref(), now) {
            Recall::Answered(text) => Resent::Answered(text),
            Recall::Reused => Resent::KeyReused,
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

struct ResendBatch {
    quotas: QuotaCheck,
    accounts: AccountsInvolved,
    numbers: Numbers,
    client_numbers: ClientNumbers,
    verifications: Verifications,
    messages: Messages,
    new: Vec<Message>,
}

impl ResendBatch {
    async fn open<S: Transaction>(tx: &mut S, rules: &Rules, batch: &[Resend]) -> Result<Self> {
        let quotas = QuotaCheck::open(tx, rules, batch.iter().map(asker)).await?;
        // A verification's client and number never change, so they may be read before they are locked; the lock order
        // wants the number first.
        let owners = tx.verifications(&sorted(batch.iter().map(|item| item.id))).await?;
        let numbers = tx.lock_numbers(&sorted(owners.iter().map(|row| row.key.phone))).await?;
        let pairs = sorted(owners.iter().map(|row| (row.key.client, row.key.phone)));
        let client_numbers = tx.client_numbers(&pairs, false).await?;
        let verifications = tx.lock_verifications(&sorted(owners.iter().map(|row| row.id))).await?;
        let newest = sorted(verifications.iter().map(Verification::newest_message));
        let messages = tx.lock_messages(&newest).await?;
        let accounts = AccountsInvolved::load(tx, verifications.iter().map(|row| &row.key), false).await?;
        Ok(Self {
            quotas,
            accounts,
            numbers: LoadedRows::load(numbers, |row| row.phone),
            client_numbers: LoadedRows::load(client_numbers, |row| (row.client, row.phone)),
            verifications: LoadedRows::load(verifications, |row| row.id),
            messages: LoadedRows::load(messages, |row| row.id),
            new: Vec::new(),
        })
    }

    fn decide(&mut self, rules: &Rules, item: &Resend, now: Timestamp) -> Resent {
        let Some(row) = self.verifications.get(item.id).filter(|row| row.key.client == item.client) else {
            return Resent::NotFound;
        };
        let (phone, pair) = (row.key.phone, (row.key.client, row.key.phone));
        let within = self.client_numbers.get(pair).and_then(|row| row.blocked(now));
        let everywhere = self.numbers.get(phone).and_then(|row| row.blocked(now));
        if let Some(until) = within.max(everywhere) {
            return Resent::Blocked { until };
        }
        if let Some(ended) = check::ended(rules, row, now) {
            return Resent::Ended(ended);
        }
        if now < row.resend_after {
            return Resent::Limited(too_early(rules, row));
        }
        if row.delivery.is_open() {
            // Its last message has not gone out yet: another one would only be a second copy of it.
            return Resent::Again { verification: Box::new(row.clone()), added: false };
        }
        let Some(route) = self.messages.get(row.newest_message()).map(|message| message.route) else {
            return Resent::NotFound;
        };
        let route = self.accounts.route(&row.key, route);
        if let Err(limit) = self.quotas.charge(rules, &mut self.numbers, phone, route, asker(item), now) {
            return Resent::Limited(limit);
        }
        let Some(row) = self.verifications.change(item.id) else { return Resent::NotFound };
        self.new.push(row.add_message(route, rules.code_ttl, rules.limits.cooldown, now));
        Resent::Again { verification: Box::new(row.clone()), added: true }
    }

    async fn save<S: Transaction>(&self, tx: &mut S) -> Result<Effects> {
        self.quotas.save(tx).await?;
        let (numbers, verifications) = (self.numbers.updated(), self.verifications.updated());
        tx.update(&Written { numbers, verifications, messages: Vec::new() }).await?;
        let (numbers, messages) = (self.numbers.inserted(), self.new.iter().collect());
        tx.insert(&Written { numbers, verifications: Vec::new(), messages }).await?;
        Ok(self.verifications.effects().and_new(&self.new))
    }
}

fn asker(item: &Resend) -> Asker {
    Asker { client: item.client, address: item.address }
}

fn too_early(rules: &Rules, row: &Verification) -> LimitReached {
    let policy = Policy::NumberCooldown;
    LimitReached { policy, quota: 1, window: rules.limits.cooldown.window(), retry_at: row.resend_after }
}
