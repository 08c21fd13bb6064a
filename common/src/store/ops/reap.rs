//! What time ends: verifications past their life, and claims of workers that are gone.

use super::super::session::{Result, Session};
use super::super::{Outcome, Rules};
use super::{Answers, Effects, Rows, Traffic, record, sorted};
use crate::job::MessageId;
use crate::time::Timestamp;
use crate::verification::{Delivery, DeliveryError, DeliveryFault, Status, Verification};

/// Takes back claims whose lease has run out. Answers how many.
pub(in crate::store) async fn take_back<S: Session>(
    session: &mut S,
    rules: &Rules,
    limits: &[u32],
    now: Timestamp,
) -> Result<Answers<usize>> {
    let limit = limits.iter().copied().max().unwrap_or_default();
    let ids = session.lapsed(limit, now).await?;
    if ids.is_empty() {
        return Ok((vec![0], Effects::default()));
    }
    let mut traffic = Traffic::lock(session, &ids).await?;
    let mut count = 0;
    for id in ids {
        // Read without a lock, so it may have been recorded or reaped in between: the locked row decides.
        let lapsed = |at: Option<Timestamp>| at.is_some_and(|until| until <= now);
        match traffic.view(id) {
            Some((_, _, message)) if message.state == Delivery::Sending && lapsed(message.lease_until) => {}
            _ => continue,
        }
        if let Some((number, verification, message)) = traffic.change(id) {
            // The worker may only be slow: without its claim it cannot record over what is decided here.
            message.claim = None;
            let error = DeliveryError { code: DeliveryFault::WorkerLost, gateway_code: None };
            record::apply(rules, number, verification, message, Outcome::Ambiguous(error), now);
            count += 1;
        }
    }
    Ok((vec![count], traffic.save(session).await?))
}

/// Expires verifications past their life. Answers how many.
pub(in crate::store) async fn expire<S: Session>(
    session: &mut S,
    _rules: &Rules,
    limits: &[u32],
    now: Timestamp,
) -> Result<Answers<usize>> {
    let limit = limits.iter().copied().max().unwrap_or_default();
    let ids = session.overdue(limit, now).await?;
    if ids.is_empty() {
        return Ok((vec![0], Effects::default()));
    }
    let mut rows = Rows::load(session.lock_verifications(&ids).await?, |row: &Verification| row.id);
    let overdue = |row: &Verification| row.status == Status::Pending && row.expires_at <= now;
    let newest: Vec<MessageId> = sorted(
        ids.iter()
            .filter_map(|id| rows.get(*id))
            .filter(|row| overdue(row))
            .map(Verification::newest_message),
    );
    let mut messages = Rows::load(session.lock_messages(&newest).await?, |row| row.id);
    for id in &newest {
        let Some(row) = rows.change(id.verification) else { continue };
        row.end(Status::Expired, now);
        if messages.get(*id).is_some_and(|message| message.state == Delivery::Queued)
            && let Some(message) = messages.change(*id)
        {
            message.finish_unsent(Delivery::Expired, now);
            row.show(message, now);
        }
    }
    session.update_verifications(&rows.updated()).await?;
    session.update_messages(&messages.updated()).await?;
    Ok((vec![newest.len()], rows.effects().and(&messages)))
}
