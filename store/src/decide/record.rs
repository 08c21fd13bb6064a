//! Writing down how a call to the gateway ended, guarded by the claim it was made under.

use super::{Answers, UnitOfWork, claim};
use crate::error::{Result, StoreError};
use crate::requests::claims::{Outcome, Record, Recorded};
use crate::transaction::Transaction;
use hulak_common::phone_record::Number;
use hulak_common::rules::{AmbiguousPolicy, Rules};
use hulak_common::time::Timestamp;
use hulak_common::verification::{
    Delivery, DeliveryError, DeliveryFault, Message, Route, Status, Verification,
};

pub(crate) async fn record<S: Transaction>(
    tx: &mut S,
    rules: &Rules,
    batch: &[Record],
    now: Timestamp,
) -> Result<Answers<Recorded>> {
    let ids: Vec<_> = batch.iter().map(|item| item.id).collect();
    let mut work = UnitOfWork::lock(tx, &ids).await?;
    let answers = batch.iter().map(|item| decide(&mut work, rules, item, now)).collect();
    let effects = work.save(tx).await?;
    Ok((answers, effects))
}

/// As [`record`], but writes over what the claims left without reading or locking it: most of the time no other transaction has
/// touched it. [`StoreError::Conflict`] when one has, or when it is not known.
pub(crate) async fn record_unlocked<S: Transaction>(
    tx: &mut S,
    rules: &Rules,
    batch: &[Record],
    now: Timestamp,
) -> Result<Answers<Recorded>> {
    let known: Option<Vec<_>> = batch.iter().map(|item| item.as_claimed.as_deref()).collect();
    let known = known.ok_or_else(|| StoreError::Conflict("a claim that is not known".to_owned()))?;
    let mut work =
        UnitOfWork::of(known.into_iter().map(|known| (known.rows.clone(), Some([known.version; 3]))));
    let answers = batch.iter().map(|item| decide(&mut work, rules, item, now)).collect();
    let (_, effects) = work.save_unlocked(tx).await?;
    Ok((answers, effects))
}

fn decide(work: &mut UnitOfWork, rules: &Rules, item: &Record, now: Timestamp) -> Recorded {
    match work.view(item.id) {
        Some((_, _, message)) if message.claim == Some(item.claim) => {
            // A final message keeps its claim, so that the same outcome written twice is seen as such.
            if message.state != Delivery::Sending {
                return Recorded::Already;
            }
        }
        _ => return Recorded::Stale,
    }
    let Some((number, verification, message)) = work.change(item.id) else {
        return Recorded::Stale;
    };
    message.parts = item.parts.or(message.parts);
    apply(rules, number, verification, message, item.outcome, now);
    Recorded::Done(message.state)
}

/// What an outcome does to the three rows.
pub(super) fn apply(
    rules: &Rules,
    number: &mut Number,
    verification: &mut Verification,
    message: &mut Message,
    outcome: Outcome,
    now: Timestamp,
) {
    message.error = match outcome {
        Outcome::Accepted => None,
        Outcome::Refused(error) | Outcome::Retry { error, .. } | Outcome::Ambiguous(error) => Some(error),
        Outcome::GivenBack { error, .. } => error.or(message.error),
    };
    match outcome {
        Outcome::Accepted => accepted(rules, number, message, now),
        Outcome::Refused(_) => {
            pace(rules, number, message, now);
            message.finish(Delivery::Failed, now);
        }
        Outcome::Retry { after, .. } => {
            pace(rules, number, message, now);
            try_again(verification, message, now + after, now);
        }
        Outcome::GivenBack { after, .. } => {
            message.attempts -= 1;
            pace(rules, number, message, now);
            try_again(verification, message, now + after, now);
        }
        Outcome::Ambiguous(error) => ambiguous(rules, number, verification, message, error, now, now),
    }
    verification.show(message, now);
}

/// What becomes of a message whose worker is gone. A call that the worker may have made began with its claim, so the number rests
/// from then on: a person who waits for a code does not wait for the lease and the cooldown one after the other.
pub(super) fn lost(
    rules: &Rules,
    number: &mut Number,
    verification: &mut Verification,
    message: &mut Message,
    now: Timestamp,
) {
    let claimed_at = message.lease_until.map_or(now, |until| until - rules.claim_lease);
    let error = DeliveryError { code: DeliveryFault::WorkerLost, gateway_code: None };
    ambiguous(rules, number, verification, message, error, claimed_at, now);
    verification.show(message, now);
}

fn accepted(rules: &Rules, number: &mut Number, message: &mut Message, now: Timestamp) {
    pace(rules, number, message, rules.limits.cooldown.after_accepted(now));
    if message.route == Route::Gateway {
        number.otp_count += 1;
        number.last_sent_at = Some(now);
    }
    message.finish(Delivery::Sent, now);
}

/// Puts the true pace in place of the one that the claim set: `now` gives it back, for a number that was not disturbed.
fn pace(rules: &Rules, number: &mut Number, message: &Message, until: Timestamp) {
    if message.route == Route::Null {
        return;
    }
    let claimed = message.lease_until.map(|lease_until| claim::paced_by(rules, lease_until));
    // An outcome that comes after its lease may find the number paced by the next claim, which is not ours to shorten.
    let other = number.paced_until.filter(|_| number.paced_until != claimed);
    number.paced_until = other.max(Some(until));
}

fn try_again(verification: &Verification, message: &mut Message, due_at: Timestamp, now: Timestamp) {
    match verification.status_at(now) {
        Status::Pending if due_at < verification.expires_at => message.requeue(due_at, now),
        Status::Pending | Status::Expired => message.finish_unsent(Delivery::Expired, now),
        Status::Approved | Status::Failed | Status::Canceled => {
            message.finish_unsent(Delivery::Canceled, now);
        }
    }
}

fn ambiguous(
    rules: &Rules,
    number: &mut Number,
    verification: &Verification,
    message: &mut Message,
    error: DeliveryError,
    called_at: Timestamp,
    now: Timestamp,
) {
    message.error = Some(error);
    message.ambiguous += 1;
    // It may have arrived, so the number rests as if it had.
    let rested = rules.limits.cooldown.after_ambiguous(called_at, now);
    pace(rules, number, message, rested);
    if message.route == Route::Gateway {
        number.ambiguous_count += 1;
    }
    match rules.ambiguous {
        AmbiguousPolicy::ResendOnce if message.ambiguous == 1 => {
            try_again(verification, message, rested, now);
        }
        _ => message.finish(Delivery::Unknown, now),
    }
}
