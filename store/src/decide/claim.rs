//! Claiming a message: the worker that is granted one calls the gateway at once, and no other worker does.

use std::time::Duration;

use super::{Answers, UnitOfWork};
use crate::error::Result;
use crate::requests::claims::{AsClaimed, Claim, Claimed, Grant};
use crate::transaction::Transaction;
use hulak_common::phone_record::Number;
use hulak_common::rules::Rules;
use hulak_common::time::Timestamp;
use hulak_common::verification::{Delivery, Message, Route, Status, Verification};

/// How long a message rests whose key the asking worker does not know. Another one may know it, so not for long; and not at
/// all would let the API take it for a message that no worker has time for.
const UNKNOWN_KEY_REST: Duration = Duration::from_secs(3);

pub(crate) async fn claim<S: Transaction>(
    tx: &mut S,
    rules: &Rules,
    batch: &[Claim],
    now: Timestamp,
) -> Result<Answers<Claimed>> {
    let ids: Vec<_> = batch.iter().map(|item| item.id).collect();
    let mut work = UnitOfWork::lock(tx, &ids).await?;
    let answers = batch.iter().map(|item| decide(&mut work, rules, item, now)).collect();
    let effects = work.save(tx).await?;
    Ok((answers, effects))
}

/// As [`claim`] without a lock: one look, and one statement that writes if no other transaction has since. [`StoreError::Conflict`]
/// when one has. Its grants know the rows, for their records.
pub(crate) async fn claim_unlocked<S: Transaction>(
    tx: &mut S,
    rules: &Rules,
    batch: &[Claim],
    now: Timestamp,
) -> Result<Answers<Claimed>> {
    let ids: Vec<_> = batch.iter().map(|item| item.id).collect();
    let mut work = UnitOfWork::read(tx, &ids).await?;
    let mut answers: Vec<_> = batch.iter().map(|item| decide(&mut work, rules, item, now)).collect();
    let (version, effects) = work.save_unlocked(tx).await?;
    for answer in &mut answers {
        // All rows of a granted message were written, so all have the new version.
        if let (Claimed::Granted(grant), Some(version)) = (answer, version) {
            grant.as_claimed = work.take(grant.id).map(|rows| Box::new(AsClaimed { version, rows }));
        }
    }
    Ok((answers, effects))
}

fn decide(work: &mut UnitOfWork, rules: &Rules, item: &Claim, now: Timestamp) -> Claimed {
    let Some((number, verification, message)) = work.view(item.id) else {
        return Claimed::Missing;
    };
    let answer = judge(rules, number, verification, message, now);
    if let Answer::NotDue(at) = answer {
        // Its job came too early, because clocks differ, and is about to be acknowledged. Were the relay left to wait for
        // as long as after any confirmed job, the message would be late by that.
        if message.publish_at.is_some_and(|publish_at| publish_at > at)
            && let Some(message) = work.messages.change(item.id)
        {
            message.publish_at = Some(at);
        }
        return answer.into();
    }
    if matches!(answer, Answer::UnknownKey) {
        // Nothing has happened to the verification: it waits as before, for a worker that knows the key.
        if let Some(message) = work.messages.change(item.id) {
            message.requeue(now + UNKNOWN_KEY_REST, now);
        }
        return answer.into();
    }
    if matches!(answer, Answer::Done) {
        return answer.into();
    }
    let Some((number, verification, message)) = work.change(item.id) else {
        return Claimed::Missing;
    };
    match answer {
        Answer::Over(state) => {
            message.finish_unsent(state, now);
            verification.show(message, now);
        }
        Answer::Paced(until) => {
            message.requeue(until, now);
            verification.show_paced(message, now);
        }
        _ => return Claimed::Granted(Box::new(grant(rules, number, verification, message, item, now))),
    }
    answer.into()
}

#[derive(Clone, Copy)]
enum Answer {
    Go,
    Done,
    UnknownKey,
    NotDue(Timestamp),
    Paced(Timestamp),
    Over(Delivery),
}

impl From<Answer> for Claimed {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Go | Answer::Done => Self::Done,
            Answer::UnknownKey => Self::UnknownKey,
            Answer::NotDue(at) => Self::NotDue(at),
            Answer::Paced(until) => Self::Paced(until),
            Answer::Over(Delivery::Expired) => Self::Expired,
            Answer::Over(_) => Self::Canceled,
        }
    }
}

fn judge(
    rules: &Rules,
    number: &Number,
    verification: &Verification,
    message: &Message,
    now: Timestamp,
) -> Answer {
    if message.state != Delivery::Queued {
        return Answer::Done;
    }
    match verification.status_at(now) {
        Status::Pending => {}
        Status::Expired => return Answer::Over(Delivery::Expired),
        Status::Approved | Status::Failed | Status::Canceled => return Answer::Over(Delivery::Canceled),
    }
    if message.epoch < verification.epoch {
        return Answer::Over(Delivery::Canceled);
    }
    if rules.keyring.find(verification.key_id).is_none() {
        return Answer::UnknownKey;
    }
    if now < message.due_at {
        return Answer::NotDue(message.due_at);
    }
    match rules.limits.cooldown.paced(number.paced_until, now) {
        Some(until) if message.route != Route::Null => Answer::Paced(until),
        _ => Answer::Go,
    }
}

/// The pace that a claim with this lease sets. Its outcome sets the true pace.
pub(super) fn paced_by(rules: &Rules, lease_until: Timestamp) -> Timestamp {
    rules.limits.cooldown.after_claim(lease_until - rules.claim_lease, lease_until)
}

fn grant(
    rules: &Rules,
    number: &mut Number,
    verification: &mut Verification,
    message: &mut Message,
    item: &Claim,
    now: Timestamp,
) -> Grant {
    let lease_until = now + rules.claim_lease;
    message.state = Delivery::Sending;
    message.claim = Some(item.claim);
    message.lease_until = Some(lease_until);
    message.publish_at = None;
    message.attempts += 1;
    message.updated_at = now;
    verification.show(message, now);
    if message.route != Route::Null {
        number.paced_until = Some(paced_by(rules, lease_until));
    }
    Grant {
        id: item.id,
        claim: item.claim,
        phone: message.phone,
        route: message.route,
        verification: verification.clone(),
        attempt: u32::try_from(message.attempts).unwrap_or(1),
        claimed_at: now,
        as_claimed: None,
    }
}
