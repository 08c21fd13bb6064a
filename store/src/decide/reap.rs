//! What time ends: verifications past their life, and claims of workers that are gone.
//!
//! They are looked for in one transaction and ended in another, so that a row that cannot be read keeps nothing else from its
//! end. The locked row decides: in between it may have been recorded, or ended by another process.

use uuid::Uuid;

use super::{Answers, Effects, LoadedRows, UnitOfWork, record, sorted};
use crate::error::Result;
use crate::tables::bundles::Written;
use crate::transaction::Transaction;
use hulak_common::job::MessageId;
use hulak_common::rules::Rules;
use hulak_common::time::Timestamp;
use hulak_common::verification::{Delivery, Message, Status, Verification};

/// Finds claims whose lease has run out.
pub(crate) async fn lapsed<S: Transaction>(
    tx: &mut S,
    _rules: &Rules,
    limits: &[u32],
    now: Timestamp,
) -> Result<Answers<Vec<MessageId>>> {
    let mut found = Vec::with_capacity(limits.len());
    for limit in limits {
        found.push(tx.lapsed(*limit, now).await?);
    }
    Ok((found, Effects::default()))
}

/// Takes these claims back. Answers which were.
pub(crate) async fn take_back<S: Transaction>(
    tx: &mut S,
    rules: &Rules,
    ids: &[MessageId],
    now: Timestamp,
) -> Result<Answers<bool>> {
    let mut work = UnitOfWork::lock(tx, ids).await?;
    let lapsed = |message: &Message| {
        message.state == Delivery::Sending && message.lease_until.is_some_and(|until| until <= now)
    };
    let mut taken = Vec::with_capacity(ids.len());
    for id in ids {
        if !work.view(*id).is_some_and(|(_, _, message)| lapsed(message)) {
            taken.push(false);
            continue;
        }
        if let Some((number, verification, message)) = work.change(*id) {
            // The worker may only be slow: without its claim it cannot record over what is decided here.
            message.claim = None;
            record::lost(rules, number, verification, message, now);
        }
        taken.push(true);
    }
    Ok((taken, work.save(tx).await?))
}

/// Finds verifications past their life.
pub(crate) async fn overdue<S: Transaction>(
    tx: &mut S,
    _rules: &Rules,
    limits: &[u32],
    now: Timestamp,
) -> Result<Answers<Vec<Uuid>>> {
    let mut found = Vec::with_capacity(limits.len());
    for limit in limits {
        found.push(tx.overdue(*limit, now).await?);
    }
    Ok((found, Effects::default()))
}

/// Expires these verifications. Answers which were.
pub(crate) async fn expire<S: Transaction>(
    tx: &mut S,
    _rules: &Rules,
    ids: &[Uuid],
    now: Timestamp,
) -> Result<Answers<bool>> {
    let mut rows = LoadedRows::load(tx.lock_verifications(ids).await?, |row: &Verification| row.id);
    let overdue = |row: &Verification| row.status == Status::Pending && row.expires_at <= now;
    let expired: Vec<bool> = ids.iter().map(|id| rows.get(*id).is_some_and(overdue)).collect();
    let newest: Vec<MessageId> = sorted(
        ids.iter()
            .filter_map(|id| rows.get(*id))
            .filter(|row| overdue(row))
            .map(Verification::newest_message),
    );
    let mut messages = LoadedRows::load(tx.lock_messages(&newest).await?, |row| row.id);
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
    let (verifications, messages_changed) = (rows.updated(), messages.updated());
    tx.update(&Written { verifications, messages: messages_changed, ..Written::default() }).await?;
    Ok((expired, rows.effects().and(&messages)))
}
