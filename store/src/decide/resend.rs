//! Another message for a verification, asked for by its id.

use super::super::session::{Result, Session, Written};
use super::super::{Resend, Resent, Rules};
use super::charge::{Asker, Meter};
use super::holders::Holders;
use super::memory::Memory;
use super::{Answers, ClientNumbers, Effects, Messages, Numbers, Rows, Verifications, check, sorted};
use crate::idempotency::Recall;
use crate::limits::{LimitReached, Policy};
use crate::time::Timestamp;
use crate::verification::{Message, Verification};

pub(in crate::store) async fn resend<S: Session>(
    session: &mut S,
    rules: &Rules,
    batch: &[Resend],
    now: Timestamp,
) -> Result<Answers<Resent>> {
    let mut memory = Memory::load(session, batch.iter().map(|item| item.remember.as_ref())).await?;
    let mut desk = Desk::open(session, rules, batch).await?;
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

struct Desk {
    meter: Meter,
    holders: Holders,
    numbers: Numbers,
    client_numbers: ClientNumbers,
    verifications: Verifications,
    messages: Messages,
    new: Vec<Message>,
}

impl Desk {
    async fn open<S: Session>(session: &mut S, rules: &Rules, batch: &[Resend]) -> Result<Self> {
        let meter = Meter::open(session, rules, batch.iter().map(asker)).await?;
        // A verification's client and number never change, so they may be read before they are locked; the lock order
        // wants the number first.
        let owners = session.verifications(&sorted(batch.iter().map(|item| item.id))).await?;
        let numbers = session.lock_numbers(&sorted(owners.iter().map(|row| row.key.phone))).await?;
        let pairs = sorted(owners.iter().map(|row| (row.key.client, row.key.phone)));
        let client_numbers = session.client_numbers(&pairs, false).await?;
        let verifications = session.lock_verifications(&sorted(owners.iter().map(|row| row.id))).await?;
        let newest = sorted(verifications.iter().map(Verification::newest_message));
        let messages = session.lock_messages(&newest).await?;
        let holders = Holders::load(session, verifications.iter().map(|row| &row.key), false).await?;
        Ok(Self {
            meter,
            holders,
            numbers: Rows::load(numbers, |row| row.phone),
            client_numbers: Rows::load(client_numbers, |row| (row.client, row.phone)),
            verifications: Rows::load(verifications, |row| row.id),
            messages: Rows::load(messages, |row| row.id),
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

    async fn save<S: Session>(&self, session: &mut S) -> Result<Effects> {
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
