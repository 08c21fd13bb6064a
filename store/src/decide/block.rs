//! Blocks of numbers, for support staff.

use super::{Answers, Effects, LoadedRows, sorted};
use crate::error::Result;
use crate::requests::verifications::Block;
use crate::transaction::Transaction;
use hulak_common::phone_record::ClientNumber;
use hulak_common::rules::Rules;
use hulak_common::time::Timestamp;

pub(crate) async fn block<S: Transaction>(
    tx: &mut S,
    _rules: &Rules,
    batch: &[Block],
    _now: Timestamp,
) -> Result<Answers<()>> {
    let pairs = sorted(batch.iter().map(|item| (item.client, item.phone)));
    let mut rows = LoadedRows::load(tx.client_numbers(&pairs, true).await?, |row| (row.client, row.phone));
    for item in batch {
        let pair = (item.client, item.phone);
        match &item.block {
            Some((until, reason)) => {
                let row = rows.change_or(pair, || ClientNumber::new(pair.0, pair.1));
                (row.blocked_until, row.block_reason) = (Some(*until), reason.clone());
            }
            // The person has a new start, so the wrong codes go too.
            None => {
                if let Some(row) = rows.change(pair) {
                    (row.blocked_until, row.block_reason) = (None, None);
                    row.failed_checks.clear();
                }
            }
        }
    }
    tx.update_client_numbers(&rows.updated()).await?;
    tx.insert_client_numbers(&rows.inserted()).await?;
    Ok((batch.iter().map(|_| ()).collect(), Effects::default()))
}
