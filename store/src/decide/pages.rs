//! Hosted pages: made by their client application, used by browsers, exchanged by the application's own server.

use uuid::Uuid;

use super::accounts_involved::{AccountsInvolved, Worth};
use super::idempotency::FirstAnswers;
use super::{Answers, Effects, LoadedRows};
use crate::error::Result;
use crate::requests::accounts::AccountConflict;
use crate::requests::pages::{Exchange, Exchanged, NewPage, PageApproval, PageMade, Spent};
use crate::tables::accounts::Wanted;
use crate::tables::pages::Offer;
use crate::transaction::Transaction;
use hulak_common::hosted_page::{CODE_LIFE, CREATES, HostedPage};
use hulak_common::idempotency::Recall;
use hulak_common::phone_record::ClientNumber;
use hulak_common::rules::Rules;
use hulak_common::time::Timestamp;
use hulak_common::verification::{Status, Verification};

/// A page of a client.
pub(crate) type PageRef = (Uuid, Uuid);

/// What becomes of a code that a page took.
pub(crate) enum Settled {
    /// Nothing: it is given back.
    Refund,
    /// This verification.
    Verification(Uuid),
}

each!(make_page, make: NewPage => PageMade);
each!(read_page, read: PageRef => Option<HostedPage>);
each!(spend_page, spend: PageRef => Spent);
each!(settle_page, settle: (PageRef, Settled) => ());
each!(offer_approval, offer: PageApproval => ());
each!(exchange, trade: Exchange => Exchanged);

async fn make<S: Transaction>(tx: &mut S, new: &NewPage, now: Timestamp) -> Result<PageMade> {
    let mut first_answers = FirstAnswers::load(tx, std::iter::once(new.remember.as_ref())).await?;
    match first_answers.recall(new.remember.as_ref(), now) {
        Recall::Answered(text) => return Ok(PageMade::Answered(text)),
        Recall::Reused => return Ok(PageMade::KeyReused),
        Recall::First => {}
    }
    if let Some(account) = new.page.account {
        // Told now, to the application; a person on the page could do nothing about it.
        let wanted = [(new.page.client, account)];
        if tx.find_accounts(Wanted::Ids(&wanted), false).await?.is_empty() {
            return Ok(PageMade::UnknownAccount);
        }
    }
    tx.insert_page(&new.page).await?;
    let answer = PageMade::Done(new.page.clone());
    first_answers.keep(new.remember.as_ref(), &answer, now);
    first_answers.save(tx, now).await?;
    Ok(answer)
}

async fn find<S: Transaction>(tx: &mut S, page: &PageRef, lock: bool) -> Result<Option<HostedPage>> {
    let (client, id) = *page;
    Ok(tx.find_page(id, lock).await?.filter(|page| page.client == client))
}

async fn read<S: Transaction>(tx: &mut S, page: &PageRef, _now: Timestamp) -> Result<Option<HostedPage>> {
    find(tx, page, false).await
}

async fn spend<S: Transaction>(tx: &mut S, page: &PageRef, now: Timestamp) -> Result<Spent> {
    let Some(mut page) = find(tx, page, true).await? else { return Ok(Spent::NotFound) };
    if page.has_expired(now) {
        return Ok(Spent::Expired);
    }
    if page.creates_left <= 0 {
        return Ok(Spent::UsedUp(page));
    }
    page.creates_left -= 1;
    tx.update_page(&page).await?;
    Ok(Spent::Granted(page))
}

async fn settle<S: Transaction>(
    tx: &mut S,
    (page, settled): &(PageRef, Settled),
    _now: Timestamp,
) -> Result<()> {
    let Some(mut page) = find(tx, page, true).await? else { return Ok(()) };
    match settled {
        Settled::Refund => page.creates_left = (page.creates_left + 1).min(CREATES),
        Settled::Verification(id) => page.verification = Some(*id),
    }
    tx.update_page(&page).await
}

async fn offer<S: Transaction>(tx: &mut S, approval: &PageApproval, now: Timestamp) -> Result<()> {
    let PageApproval { client, verification, account } = *approval;
    let expires_at = now + CODE_LIFE;
    let offer = Offer { verification, client, account, created_at: now, expires_at, exchanged_at: None };
    tx.insert_offer(&offer).await
}

/// The approval takes effect here: the number and the account are verified, once the client's own server has asked for it.
async fn trade<S: Transaction>(tx: &mut S, item: &Exchange, now: Timestamp) -> Result<Exchanged> {
    let mut first_answers = FirstAnswers::load(tx, std::iter::once(item.remember.as_ref())).await?;
    match first_answers.recall(item.remember.as_ref(), now) {
        Recall::Answered(text) => return Ok(Exchanged::Answered(text)),
        Recall::Reused => return Ok(Exchanged::KeyReused),
        Recall::First => {}
    }
    let found = tx.verifications(&[item.verification]).await?.into_iter().next();
    let mine = |row: &Verification| row.key.client == item.client && row.status == Status::Approved;
    let Some(row) = found.filter(mine) else { return Ok(Exchanged::Refused) };
    // As every approval: the client's number, then accounts; pages come last in the order of locks.
    let pair = (row.key.client, row.key.phone);
    let mut numbers =
        LoadedRows::load(tx.client_numbers(&[pair], true).await?, |row| (row.client, row.phone));
    let mut accounts = AccountsInvolved::load(tx, std::iter::once(&row.key), true).await?;
    let found = tx.lock_offer(item.verification).await?;
    let good =
        |offer: &Offer| offer.client == item.client && offer.exchanged_at.is_none() && offer.expires_at > now;
    let Some(mut offer) = found.filter(good) else { return Ok(Exchanged::Refused) };
    match (accounts.worth(&row.key), offer.account) {
        (Worth::Number, None) => {}
        (Worth::Account(account), Some(id)) if account.id == id => {
            accounts.approve(&row.key, id, now);
        }
        (Worth::Refused(AccountConflict::PhoneTaken), _) => return Ok(Exchanged::PhoneTaken),
        // It signs in with another number by now, or is not there or not active any more.
        _ => return Ok(Exchanged::AccountGone),
    }
    numbers.change_or(pair, || ClientNumber::new(pair.0, pair.1)).validated_at = Some(now);
    offer.exchanged_at = Some(now);
    tx.update_client_numbers(&numbers.updated()).await?;
    tx.insert_client_numbers(&numbers.inserted()).await?;
    accounts.save(tx).await?;
    tx.update_offer(&offer).await?;
    let Offer { client, verification, account, .. } = offer;
    let answer = Exchanged::Done(PageApproval { client, verification, account });
    first_answers.keep(item.remember.as_ref(), &answer, now);
    first_answers.save(tx, now).await?;
    Ok(answer)
}
