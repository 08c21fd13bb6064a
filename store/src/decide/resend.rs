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
    session: &mut S,
    rules: &Rules,
    batch: &[Resend],
    now: Timestamp,
) -> Result<Answers<Resent>> {
    let mut memory = FirstAnswers::load(session, batch.iter().map(|item| item.remember.as_ref())).await?;
    let mut desk = ResendBatch::open(session, rules, batch).await?;
    let mut answers = Vec::with_capacity(batch.len());
    for item in batch {
        answers.push(match memory.recall(item.remember.as_ref(), now) {
            Recall::Answered(text) => Resent::Answered(text),
            Recall::Reused => Resent::KeyReused,
            Recall::First => {
                let answer = desk.decide(rules, item, now);
                memory.keep(item.remember.as_ref(), &answer, now);
                answer
            }
        });
    }
    let effects = desk.save(session).await?;
    memory.save(session, now).await?;
    Ok((answers, effects))
}

struct ResendBatch {
    meter: QuotaCheck,
    holders: AccountsInvolved,
    numbers: Numbers,
    client_numbers: ClientNumbers,
    verifications: Verifications,
    messages: Messages,
    new: Vec<Message>,
}

impl ResendBatch {
    async fn open<S: Transaction>(session: &mut S, rules: &Rules, batch: &[Resend]) -> Result<Self> {
        let meter = QuotaCheck::open(session, rules, batch.iter().map(asker)).await?;
        // A verification's client and number never change, so they may be read before they are locked; the lock order
        // wants the number first.
        let owners = session.verifications(&sorted(batch.iter().map(|item| item.id))).await?;
        let numbers = session.lock_numbers(&sorted(owners.iter().map(|row| row.key.phone))).await?;
        let pairs = sorted(owners.iter().map(|row| (row.key.client, row.key.phone)));
        let client_numbers = session.client_numbers(&pairs, false).await?;
        let verifications = session.lock_verifications(&sorted(owners.iter().map(|row| row.id))).await?;
        let newest = sorted(verifications.iter().map(Verification::newest_message));
        let messages = session.lock_messages(&newest).await?;
        let holders =
            AccountsInvolved::load(session, verifications.iter().map(|row| &row.key), false).await?;
        Ok(Self {
            meter,
            holders,
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
        let route = self.holders.route(&row.key, route);
        if let Err(limit) = self.meter.charge(rules, &mut self.numbers, phone, route, asker(item), now) {
            return Resent::Limited(limit);
        }
        let Some(row) = self.verifications.change(item.id) else { return Resent::NotFound };
        self.new.push(row.add_message(route, rules.code_ttl, rules.limits.cooldown, now));
        Resent::Again { verification: Box::new(row.clone()), added: true }
    }

    async fn save<S: Transaction>(&self, session: &mut S) -> Result<Effects> {
        self.meter.save(session).await?;
        let (numbers, verifications) = (self.numbers.updated(), self.verifications.updated());
        session.update(&Written { numbers, verifications, messages: Vec::new() }).await?;
        let (numbers, messages) = (self.numbers.inserted(), self.new.iter().collect());
        session.insert(&Written { numbers, verifications: Vec::new(), messages }).await?;
        Ok(self.verifications.effects().and_new(&self.new))
    }
}

fn asker(item: &Resend) -> Asker {
    Asker { client: item.client, address: item.address }
}

fn too_early(rules: &Rules, row: &Verification) -> LimitReached {
    let policy = Policy::NumberCooldown;
    LimitReached { policy, quota: 1, window: rules.limits.cooldown, retry_at: row.resend_after }
}
