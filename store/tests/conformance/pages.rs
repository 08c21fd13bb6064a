//! Hosted pages: as many codes as they are good for, and each approval exchanged once.

use std::sync::Arc;

use hulak_common::account::Account;
use hulak_common::hosted_page::{CODE_LIFE, CREATES, HostedPage, LIFE, REMEMBERED};
use hulak_common::idempotency::Remember;
use hulak_common::time::Timestamp;
use hulak_common::verification::{Locale, Purpose};
use hulak_store::{
    AccountList, Check, Checked, Exchange, Exchanged, NewPage, PageApproval, PageMade, Spent, TakesEffect,
};
use uuid::Uuid;

use crate::harness::*;
use crate::racing::race;

on_both_stores!(
    a_page_is_kept_as_it_was_made,
    a_page_is_its_clients_own,
    a_page_asks_for_three_codes,
    racers_get_no_more_codes_than_there_are,
    a_page_ends,
    an_account_has_to_be_the_clients,
    the_same_page_is_made_once,
    an_approval_is_exchanged_once,
    racers_exchange_an_approval_once,
    an_exchange_is_answered_again,
    the_exchange_verifies_and_not_the_code,
    an_exchange_comes_too_late_for_what_another_account_has,
    what_ended_long_ago_is_deleted,
);

fn page(n: u128) -> HostedPage {
    HostedPage {
        id: Uuid::from_u128(n),
        client: CLIENT,
        purpose: Purpose::Verify,
        account: None,
        locale: None,
        app_name: None,
        redirect_uri: Some("https://app.example/done?x=1".parse().unwrap()),
        state: "state".to_owned(),
        creates_left: CREATES,
        verification: None,
        created_at: START,
        expires_at: START + LIFE,
    }
}

async fn made(world: &World, page: HostedPage) -> HostedPage {
    match world.store.make_page(&NewPage { page, remember: None }, START).await.unwrap() {
        PageMade::Done(page) => page,
        other => panic!("{other:?}"),
    }
}

async fn spend(world: &World, page: &HostedPage, now: Timestamp) -> Spent {
    world.store.spend_page(page.client, page.id, now).await.unwrap()
}

fn left(spent: &Spent) -> Option<i32> {
    match spent {
        Spent::Granted(page) => Some(page.creates_left),
        _ => None,
    }
}

async fn a_page_is_kept_as_it_was_made(kind: Kind) {
    let world = kind.world(rules()).await;
    let full = HostedPage {
        purpose: Purpose::SignUp,
        account: Some(world.account(1).await),
        locale: Some(Locale::Ne),
        app_name: Some("किराना".to_owned()),
        state: "'\"; ✓ \n".to_owned(),
        ..page(1)
    };
    let bare = HostedPage { redirect_uri: None, ..page(2) };
    for page in [full, bare] {
        assert_eq!(made(&world, page.clone()).await, page);
        assert_eq!(world.store.page(CLIENT, page.id).await.unwrap(), Some(page.clone()));
        let verification = Uuid::from_u128(7);
        world.store.note_page(CLIENT, page.id, verification).await.unwrap();
        let noted = world.store.page(CLIENT, page.id).await.unwrap().unwrap();
        assert_eq!(noted, HostedPage { verification: Some(verification), ..page });
    }
}

async fn a_page_is_its_clients_own(kind: Kind) {
    let world = kind.world(rules()).await;
    let page = made(&world, page(1)).await;
    assert_eq!(world.store.page(OTHER_CLIENT, page.id).await.unwrap(), None);
    assert_eq!(world.store.spend_page(OTHER_CLIENT, page.id, START).await.unwrap(), Spent::NotFound);
    world.store.note_page(OTHER_CLIENT, page.id, page.id).await.unwrap();
    world.store.refund_page(OTHER_CLIENT, page.id).await.unwrap();
    assert_eq!(world.store.page(CLIENT, page.id).await.unwrap(), Some(page));
    assert_eq!(world.store.page(CLIENT, Uuid::from_u128(2)).await.unwrap(), None);
}

async fn a_page_asks_for_three_codes(kind: Kind) {
    let world = kind.world(rules()).await;
    let page = made(&world, page(1)).await;
    assert_eq!(left(&spend(&world, &page, START).await), Some(2));
    world.store.refund_page(CLIENT, page.id).await.unwrap();
    for expected in [2, 1, 0] {
        assert_eq!(left(&spend(&world, &page, START).await), Some(expected));
    }
    assert!(matches!(spend(&world, &page, START).await, Spent::UsedUp(_)));
    // However often something is given back, there are never more than at the start.
    for _ in 0..5 {
        world.store.refund_page(CLIENT, page.id).await.unwrap();
    }
    assert_eq!(world.store.page(CLIENT, page.id).await.unwrap().unwrap().creates_left, CREATES);
}

async fn racers_get_no_more_codes_than_there_are(kind: Kind) {
    let world = kind.world(rules()).await;
    let page = made(&world, page(1)).await;
    let answers = race(&world, 24, |_, store| async move {
        store.spend_page(CLIENT, Uuid::from_u128(1), START).await.unwrap()
    })
    .await;
    let mut granted: Vec<_> = answers.iter().filter_map(left).collect();
    granted.sort_unstable();
    assert_eq!(granted, [0, 1, 2]);
    assert_eq!(world.store.page(CLIENT, page.id).await.unwrap().unwrap().creates_left, 0);
}

async fn a_page_ends(kind: Kind) {
    let world = kind.world(rules()).await;
    let page = made(&world, page(1)).await;
    assert_eq!(left(&spend(&world, &page, START + LIFE - MS).await), Some(2));
    assert_eq!(spend(&world, &page, START + LIFE).await, Spent::Expired);
}

async fn an_account_has_to_be_the_clients(kind: Kind) {
    let world = kind.world(rules()).await;
    let account = Some(world.account(1).await);
    let made = async |page| {
        let new = NewPage { page, remember: None };
        world.store.make_page(&new, START).await.unwrap()
    };
    for page in [
        HostedPage { account: Some(Uuid::from_u128(9)), ..page(1) },
        HostedPage { account, client: OTHER_CLIENT, ..page(1) },
    ] {
        assert_eq!(made(page).await, PageMade::UnknownAccount);
    }
    assert!(matches!(made(HostedPage { account, ..page(1) }).await, PageMade::Done(_)));
    assert_eq!(world.count("pages").await, 1);
}

async fn the_same_page_is_made_once(kind: Kind) {
    let world = kind.world(rules()).await;
    let make = async |n: u128, body: u8| {
        let write = |made: &PageMade, _: Timestamp| match made {
            PageMade::Done(page) => Some(page.id.to_string()),
            _ => None,
        };
        let remember = Remember { scope: [1; 32], bodies: vec![[body; 32]], write: Arc::new(write) };
        let new = NewPage { page: page(n), remember: Some(remember) };
        world.store.make_page(&new, START).await.unwrap()
    };
    assert!(matches!(make(1, 1).await, PageMade::Done(_)));
    assert_eq!(make(2, 1).await, PageMade::Answered(Uuid::from_u128(1).to_string()));
    assert_eq!(make(3, 2).await, PageMade::KeyReused);
    assert_eq!(world.count("pages").await, 1);
}

const APPROVED: Uuid = Uuid::from_u128(0xA);

/// What is offered.
const OFFER: PageApproval =
    PageApproval { client: CLIENT, verification: APPROVED, account: Some(Uuid::from_u128(0xB)) };

fn swap(client: Uuid) -> Exchange {
    Exchange { client, verification: APPROVED, remember: None }
}

/// A page of [`OFFER`]'s account asked for a code, and the right one was typed on it.
async fn approved_on_a_page(world: &World) {
    let mut create = ask(1);
    create.id = APPROVED;
    create.key.purpose = Purpose::SignUp;
    create.key.account = Some(world.account(0xB).await);
    let pending = world.begin(&create, START).await;
    let check = Check {
        client: CLIENT,
        id: APPROVED,
        code: world.right(&pending),
        takes_effect: TakesEffect::AtExchange,
        remember: None,
    };
    assert!(matches!(only(world.store.check(&[check], START).await), Checked::ApprovedFor(..)));
}

async fn account(world: &World, id: u128) -> Account {
    let list = AccountList {
        client: CLIENT,
        id: Some(Uuid::from_u128(id)),
        username: None,
        phone: None,
        before: None,
        limit: 1,
    };
    world.store.accounts(&list).await.unwrap().remove(0)
}

/// A stranger who leads a person to a page of the stranger's account gains nothing: only the exchange, which the application
/// makes once it has compared the `state`, verifies.
async fn the_exchange_verifies_and_not_the_code(kind: Kind) {
    let world = kind.world(rules()).await;
    approved_on_a_page(&world).await;
    world.store.offer_approval(OFFER, START).await.unwrap();
    let verified = async || (account(&world, 0xB).await.phone, world.report(1).await.client.validated_at);
    assert_eq!(verified().await, (None, None));
    let exchanged = world.store.exchange(&swap(CLIENT), at(60)).await.unwrap();
    assert_eq!(exchanged, Exchanged::Done(OFFER));
    assert_eq!(verified().await, (Some(phone(1)), Some(at(60))));
    assert!(account(&world, 0xB).await.phone_verified);
}

/// What has changed between code and exchange counts.
async fn an_exchange_comes_too_late_for_what_another_account_has(kind: Kind) {
    let world = kind.world(rules()).await;
    approved_on_a_page(&world).await;
    world.store.offer_approval(OFFER, START).await.unwrap();
    let mut theirs = ask(1);
    theirs.key.purpose = Purpose::SignUp;
    theirs.key.account = Some(world.account(0xC).await);
    let theirs = world.begin(&theirs, at(30)).await;
    assert!(matches!(world.check_right(&theirs, at(31)).await, Checked::ApprovedFor(..)));
    assert_eq!(world.store.exchange(&swap(CLIENT), at(32)).await.unwrap(), Exchanged::PhoneTaken);
    world.store.delete_account(CLIENT, Uuid::from_u128(0xB)).await.unwrap();
    assert_eq!(world.store.exchange(&swap(CLIENT), at(33)).await.unwrap(), Exchanged::AccountGone);
    assert!(account(&world, 0xC).await.phone_verified);
}

async fn an_approval_is_exchanged_once(kind: Kind) {
    let world = kind.world(rules()).await;
    let exchange = async |client, now| world.store.exchange(&swap(client), now).await.unwrap();
    assert_eq!(exchange(CLIENT, START).await, Exchanged::Refused, "there is no such verification");
    approved_on_a_page(&world).await;
    assert_eq!(exchange(CLIENT, START).await, Exchanged::Refused, "nothing was offered");
    world.store.offer_approval(OFFER, START).await.unwrap();
    assert_eq!(exchange(OTHER_CLIENT, START).await, Exchanged::Refused);
    // Offered again it is the same offer: it lasts no longer, and is exchanged no more often.
    world.store.offer_approval(OFFER, at(60)).await.unwrap();
    assert_eq!(exchange(CLIENT, START + CODE_LIFE).await, Exchanged::Refused);
    assert_eq!(exchange(CLIENT, START + CODE_LIFE - MS).await, Exchanged::Done(OFFER));
    world.store.offer_approval(OFFER, at(61)).await.unwrap();
    assert_eq!(exchange(CLIENT, at(61)).await, Exchanged::Refused);
}

async fn racers_exchange_an_approval_once(kind: Kind) {
    let world = kind.world(rules()).await;
    approved_on_a_page(&world).await;
    world.store.offer_approval(OFFER, START).await.unwrap();
    let answers = race(&world, 24, |n, store| async move {
        if n % 4 == 0 {
            store.offer_approval(OFFER, START).await.unwrap();
        }
        store.exchange(&swap(CLIENT), START).await.unwrap()
    })
    .await;
    let done = answers.iter().filter(|answer| **answer == Exchanged::Done(OFFER)).count();
    assert_eq!((done, answers.len()), (1, 24), "{answers:?}");
}

async fn an_exchange_is_answered_again(kind: Kind) {
    let world = kind.world(rules()).await;
    approved_on_a_page(&world).await;
    world.store.offer_approval(OFFER, START).await.unwrap();
    let exchange = async |scope: u8, body: u8| {
        let write =
            |done: &Exchanged, _: Timestamp| matches!(done, Exchanged::Done(_)).then(|| "done".to_owned());
        let remember = Remember { scope: [scope; 32], bodies: vec![[body; 32]], write: Arc::new(write) };
        let item = Exchange { remember: Some(remember), ..swap(CLIENT) };
        world.store.exchange(&item, START).await.unwrap()
    };
    assert_eq!(exchange(1, 1).await, Exchanged::Done(OFFER));
    assert_eq!(exchange(1, 1).await, Exchanged::Answered("done".to_owned()));
    assert_eq!(exchange(1, 2).await, Exchanged::KeyReused);
    assert_eq!(exchange(2, 1).await, Exchanged::Refused);
}

async fn what_ended_long_ago_is_deleted(kind: Kind) {
    let world = kind.world(rules()).await;
    for n in 1..=3 {
        made(&world, page(n)).await;
        world
            .store
            .offer_approval(PageApproval { verification: Uuid::from_u128(n), account: None, ..OFFER }, START)
            .await
            .unwrap();
    }
    let rows = async || (world.count("pages").await, world.count("page_codes").await);
    world.store.forget(10, START + CODE_LIFE + REMEMBERED - MS).await.unwrap();
    assert_eq!(rows().await, (3, 3));
    world.store.forget(2, START + CODE_LIFE + REMEMBERED).await.unwrap();
    assert_eq!(rows().await, (3, 1));
    world.store.forget(2, START + LIFE + REMEMBERED).await.unwrap();
    assert_eq!(rows().await, (1, 0));
}
