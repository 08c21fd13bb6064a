//! Taking a verification back.

use super::{Answers, LoadedRows, check, sorted};
use crate::error::Result;
use crate::requests::verifications::{Cancel, Canceled, Ended};
use crate::tables::bundles::Written;
use crate::transaction::Transaction;
use hulak_common::rules::Rules;
use hulak_common::time::Timestamp;
use hulak_common::verification::{Delivery, Status, Verification};

pub(crate) async fn cancel<S: Transaction>(
    tx: &mut S,
    rules: &Rules,
    batch: &[Cancel],
    now: Timestamp,
) -> Result<Answers<Canceled>> {
    let ids = sorted(batch.iter().map(|item| item.id));
    let mut rows = LoadedRows::load(tx.lock_verifications(&ids).await?, |row: &Verification| row.id);
    let newest = sorted(ids.iter().filter_map(|id| rows.get(*id)).map(Verification::newest_message));
    let mut messages = LoadedRows::load(tx.lock_messages(&newest).await?, |row| row.id);

    let mut answers = Vec::with_capacity(batch.len());
    for item in batch {
        let Some(row) = rows.get(item.id).filter(|row| row.key.client == item.client) else {
            answers.push(Canceled::NotFound);
            continue;
        };
        match check::ended(rules, row, now) {
            Some(Ended::Canceled) => answers.push(Canceled::Done(Box::new(row.clone()))),
            Some(ended) => answers.push(Canceled::Ended(ended)),
            None => {
                let newest = row.newest_message();
                let Some(row) = rows.change(item.id) else { continue };
                row.end(Status::Canceled, now);
                // What a worker holds may be on its way already; its outcome is still written down.
                let unsent = |state| state == Delivery::Queued;
                if messages.get(newest).is_some_and(|message| unsent(message.state))
                    && let Some(message) = messages.change(newest)
                {
                    message.finish_unsent(Delivery::Canceled, now);
                    row.show(message, now);
                }
                answers.push(Canceled::Done(Box::new(row.clone())));
            }
        }
    }
    let (verifications, messages_changed) = (rows.updated(), messages.updated());
    tx.update(&Written { verifications, messages: messages_changed, ..Written::default() }).await?;
    Ok((answers, rows.effects().and(&messages)))
}
