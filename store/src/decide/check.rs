//! Checking a code: the only way to `approved`.

use super::accounts_involved::{AccountsInvolved, Worth};
use super::idempotency::FirstAnswers;
use super::{Answers, LoadedRows, sorted};
use crate::error::Result;
use crate::requests::accounts::AccountConflict;
use crate::requests::verifications::{Check, Checked, Ended, TakesEffect};
use crate::tables::bundles::Written;
use crate::transaction::Transaction;
use hulak_common::account::Account;
use hulak_common::idempotency::Recall;
use hulak_common::limits::{FAILED_CHECKS_WINDOW, LimitReached, Policy};
use hulak_common::phone_record::ClientNumber;
use hulak_common::rules::Rules;
use hulak_common::time::Timestamp;
use hulak_common::timeline::Event;
use hulak_common::verification::{Status, Verification};

pub(crate) async fn check<S: Transaction>(
    tx: &mut S,
    rules: &Rules,
    batch: &[Check],
    now: Timestamp,
) -> Result<Answers<Checked>> {
    // A verification's client and number never change, so they may be read before anything is locked; the lock order
    // wants the number first.
    let ids = sorted(batch.iter().map(|item| item.id));
    let owners = LoadedRows::load(tx.verifications(&ids).await?, |row: &Verification| row.id);
    let known: Vec<_> = batch
        .iter()
        .filter_map(|item| owners.get(item.id).filter(|row| row.key.client == item.client))
        .collect();
    let pairs = sorted(known.iter().map(|row| (row.key.client, row.key.phone)));
    let ids = sorted(known.iter().map(|row| row.id));
    let mut numbers = LoadedRows::load(tx.client_numbers(&pairs, true).await?, |row| (row.client, row.phone));
    let mut rows = LoadedRows::load(tx.lock_verifications(&ids).await?, |row| row.id);

    let mut accounts = AccountsInvolved::load(tx, known.iter().map(|row| &row.key), true).await?;

    let mut first_answers = FirstAnswers::load(tx, batch.iter().map(|item| item.remember.as_ref())).await?;
    let mut answers = Vec::with_capacity(batch.len());
    for item in batch {
        match first_answers.recall(item.remember.as_ref(), now) {
            Recall::Answered(text) => {
                answers.push(Checked::Answered(text));
                continue;
            }
            Recall::Reused => {
                answers.push(Checked::KeyReused);
                continue;
            }
            Recall::First => {}
        }
        let Some(row) = rows.get(item.id).filter(|row| row.key.client == item.client) else {
            answers.push(Checked::NotFound);
            continue;
        };
        let pair = (row.key.client, row.key.phone);
        let verdict = judge(rules, row, numbers.get(pair), &accounts, item, now);
        let answer = match verdict {
            Verdict::Answer(answer) => answer,
            Verdict::Right(account) => {
                let number = numbers.change_or(pair, || ClientNumber::new(pair.0, pair.1));
                number.failed_checks.clear();
                let account = match item.takes_effect {
                    TakesEffect::AtOnce => {
                        number.validated_at = Some(now);
                        account.and_then(|account| accounts.approve(&row.key, account, now))
                    }
                    TakesEffect::AtExchange => account.and_then(|account| accounts.get(account)),
                };
                approved(apply(&mut rows, item.id, |row| row.end(Status::Approved, now)), account)
            }
            // The account was deleted while its number was being verified: there is no one left that it could be for.
            Verdict::Orphan => {
                apply(&mut rows, item.id, |row| row.end(Status::Canceled, now));
                Checked::Canceled
            }
            Verdict::Wrong => {
                if !rules.test_numbers.contains(pair.1) {
                    let number = numbers.change_or(pair, || ClientNumber::new(pair.0, pair.1));
                    number.failed_checks.push(now, FAILED_CHECKS_WINDOW);
                }
                apply(&mut rows, item.id, |row| charge(row, now))
                    .map_or(Checked::NotFound, Checked::Incorrect)
            }
        };
        first_answers.keep(item.remember.as_ref(), &answer, now);
        answers.push(answer);
    }

    tx.update_client_numbers(&numbers.updated()).await?;
    tx.insert_client_numbers(&numbers.inserted()).await?;
    tx.update(&Written { verifications: rows.updated(), ..Written::default() }).await?;
    accounts.save(tx).await?;
    first_answers.save(tx, now).await?;
    Ok((answers, rows.effects()))
}

#[expect(clippy::large_enum_variant, reason = "it lives for one match; a box would cost more")]
enum Verdict {
    /// With the account that it is for.
    Right(Option<uuid::Uuid>),
    Wrong,
    Orphan,
    Answer(Checked),
}

fn judge(
    rules: &Rules,
    row: &Verification,
    number: Option<&ClientNumber>,
    accounts: &AccountsInvolved,
    item: &Check,
    now: Timestamp,
) -> Verdict {
    if !item.code.fits(row.code_length) {
        return Verdict::Answer(Checked::Malformed(row.code_length));
    }
    match ended(rules, row, now) {
        None => {}
        Some(Ended::Approved) => return Verdict::Answer(Checked::AlreadyApproved),
        Some(Ended::Expired) => return Verdict::Answer(Checked::Expired),
        Some(Ended::Canceled) => return Verdict::Answer(Checked::Canceled),
        Some(Ended::Failed(limit)) => return Verdict::Answer(Checked::TooMany(limit)),
    }
    let fixed = rules.test_numbers.get(row.key.phone);
    if let Some(limit) =
        number.filter(|_| fixed.is_none()).and_then(|number| budget_spent(rules, number, now))
    {
        return Verdict::Answer(Checked::TooMany(limit));
    }
    let right = match (fixed, rules.keyring.code(row.key_id, &row.salt, row.id, row.epoch, row.code_length)) {
        (Some(fixed), _) => fixed.code.matches(&item.code),
        (None, Some(code)) => code.matches(&item.code),
        (None, None) => return Verdict::Answer(Checked::UnknownKey),
    };
    // Looked at whether the code is right or not: what strangers are told must take as long.
    match (right, accounts.worth(&row.key)) {
        (false, _) | (true, Worth::Stranger) => Verdict::Wrong,
        (true, Worth::Number) => Verdict::Right(None),
        (true, Worth::Account(account)) => Verdict::Right(Some(account.id)),
        (true, Worth::Refused(AccountConflict::Unknown)) => Verdict::Orphan,
        (true, Worth::Refused(conflict)) => Verdict::Answer(Checked::Account(conflict)),
    }
}

fn approved(row: Option<Verification>, account: Option<Account>) -> Checked {
    match (row, account) {
        (None, _) => Checked::NotFound,
        (Some(row), None) => Checked::Approved(row),
        (Some(row), Some(account)) => Checked::ApprovedFor(row, Box::new(account)),
    }
}

/// How it has ended as of `now`; `None` while it is live.
pub(super) fn ended(rules: &Rules, row: &Verification, now: Timestamp) -> Option<Ended> {
    match row.status_at(now) {
        Status::Pending => None,
        Status::Approved => Some(Ended::Approved),
        Status::Expired => Some(Ended::Expired),
        Status::Canceled => Some(Ended::Canceled),
        Status::Failed => Some(Ended::Failed(failed(rules, row))),
    }
}

/// The number's own budget, which new codes do not refill.
fn budget_spent(rules: &Rules, number: &ClientNumber, now: Timestamp) -> Option<LimitReached> {
    let quota = rules.number_max_failed_checks;
    number.failed_checks.opens_at(now, quota, FAILED_CHECKS_WINDOW).map(|retry_at| LimitReached {
        policy: Policy::Checks,
        quota,
        window: FAILED_CHECKS_WINDOW,
        retry_at,
    })
}

/// The verification's own count is used up: a new one may be asked for from `resend_after` on.
fn failed(rules: &Rules, row: &Verification) -> LimitReached {
    LimitReached {
        policy: Policy::Checks,
        quota: rules.max_checks,
        window: row.expires_at - row.created_at,
        retry_at: row.resend_after,
    }
}

fn charge(row: &mut Verification, now: Timestamp) {
    row.checks_remaining -= 1;
    row.note(Event::WrongCode { left: row.checks_remaining.max(0) }, now);
    if row.checks_remaining <= 0 {
        row.checks_remaining = 0;
        row.end(Status::Failed, now);
    } else {
        row.touch(now);
    }
}

fn apply(
    rows: &mut LoadedRows<uuid::Uuid, Verification>,
    id: uuid::Uuid,
    change: impl FnOnce(&mut Verification),
) -> Option<Verification> {
    let row = rows.change(id)?;
    change(row);
    Some(row.clone())
}
