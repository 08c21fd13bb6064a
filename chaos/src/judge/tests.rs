//! The checks against invented evidence: they must find every kind of broken promise, and no other.

use hulak_common::verification::{Delivery, Route, Status};
use uuid::Uuid;

use super::judge;
use crate::config::Settings;
use crate::evidence::{Evidence, Message, Number, Shown, Taken, Verification};
use crate::fault_log::{FaultKind, FaultWindow};
use crate::load::log::Checked;
use crate::millis::Millis;
use crate::promise::Promise;

const PHONE: &str = "9812345678";
const CODE: &str = "0123456789";
const ID: Uuid = Uuid::from_u128(1);

/// One verification whose one message was sent; all records agree.
fn good() -> Evidence {
    Evidence {
        verifications: vec![Verification {
            id: ID,
            client: Uuid::nil(),
            phone: PHONE.to_owned(),
            status: Status::Pending,
            delivery: Delivery::Sent,
            messages: 1,
            codes: vec![CODE.to_owned()],
            expires_at: 60_000,
            ended_at: None,
        }],
        messages: vec![message(1, Delivery::Sent)],
        numbers: vec![Number { phone: PHONE.to_owned(), otp_count: 1, ambiguous_count: 0 }],
        taken: vec![taken(100)],
        accepted: [(ID, PHONE.to_owned())].into(),
        decided: vec![vec![10]],
        shown: vec![Shown { id: ID, delivery: "sent".to_owned(), messages: 1 }],
        counted: vec![(PHONE.to_owned(), 1, 0)],
        ..Evidence::default()
    }
}

fn message(seq: i32, state: Delivery) -> Message {
    Message {
        verification: ID,
        seq,
        phone: PHONE.to_owned(),
        epoch: 0,
        route: Route::Gateway,
        state,
        attempts: 1,
        ambiguous: 0,
        gateway_code: None,
        created_at: 0,
    }
}

fn taken(at: Millis) -> Taken {
    Taken { phone: PHONE.to_owned(), code: Some(CODE.to_owned()), at }
}

fn checked(code: &str, status: Option<u16>) -> Checked {
    Checked { verification: ID, code: code.to_owned(), status }
}

fn broken(evidence: &Evidence) -> Vec<Promise> {
    let mut promises: Vec<_> =
        judge(evidence, &Settings::default()).broken.into_iter().map(|broken| broken.promise).collect();
    promises.dedup();
    promises
}

/// The message was sent with unknown outcome, and sent again.
fn repeated() -> Evidence {
    let mut evidence = good();
    evidence.messages[0].ambiguous = 1;
    evidence.numbers[0].ambiguous_count = 1;
    evidence.counted[0].2 = 1;
    evidence.taken.push(taken(5_000));
    evidence
}

#[test]
fn kept_promises_are_not_reported() {
    assert_eq!(broken(&good()), []);
    let judgement = judge(&repeated(), &Settings::default());
    assert_eq!(judgement.broken, []);
    assert_eq!((judgement.totals.duplicates, judgement.totals.ambiguous), (1, 1));
}

#[test]
fn a_lost_message_is_found() {
    let mut evidence = good();
    evidence.accepted.insert(Uuid::from_u128(2), PHONE.to_owned());
    assert_eq!(broken(&evidence), [Promise::Lost], "accepted, and no row");

    let mut evidence = good();
    evidence.messages[0].state = Delivery::Queued;
    assert!(broken(&evidence).contains(&Promise::Lost), "never final");

    let mut evidence = good();
    evidence.messages.clear();
    assert!(broken(&evidence).contains(&Promise::Lost), "a message is gone");

    for (state, code, lost) in [(Delivery::Failed, None, true), (Delivery::Failed, Some(1007), false)] {
        let mut evidence = unsent(state);
        evidence.messages[0].gateway_code = code;
        assert_eq!(broken(&evidence).contains(&Promise::Lost), lost, "{state:?} {code:?}");
    }
}

fn unsent(state: Delivery) -> Evidence {
    let mut evidence = good();
    evidence.messages[0].state = state;
    evidence.verifications[0].delivery = state;
    evidence.shown[0].delivery = state.as_str().to_owned();
    (evidence.numbers[0].otp_count, evidence.counted[0].1) = (0, 0);
    evidence.taken.clear();
    evidence
}

#[test]
fn expiring_needs_a_reason() {
    let mut evidence = unsent(Delivery::Expired);
    assert_eq!(broken(&evidence), [], "nothing else went out either: the machine was busy");
    overtake(&mut evidence);
    assert_eq!(broken(&evidence), [Promise::Lost]);
    let window = |from, to| FaultWindow { kind: FaultKind::Other, what: String::new(), from, to: Some(to) };
    evidence.windows = vec![window(5_000, 40_000)];
    assert_eq!(broken(&evidence), []);
    evidence.windows = vec![window(0, 10_000), window(20_000, 25_000)];
    assert_eq!(broken(&evidence), [Promise::Lost], "the last 35 s were calm");
    evidence.messages[0].attempts = 6;
    assert_eq!(broken(&evidence), [], "its backoff was longer than that");
}

/// Three others that were requested much later and sent at once.
fn overtake(evidence: &mut Evidence) {
    for n in 1..=3_u32 {
        let (id, phone, at) =
            (Uuid::from_u128(100 + u128::from(n)), format!("980000000{n}"), 45_000 + i64::from(n));
        let code = format!("000000000{n}");
        let (template, message) = (evidence.verifications[0].clone(), message(1, Delivery::Sent));
        evidence.verifications.push(Verification {
            id,
            phone: phone.clone(),
            codes: vec![code.clone()],
            delivery: Delivery::Sent,
            ..template
        });
        evidence.messages.push(Message { verification: id, phone: phone.clone(), created_at: at, ..message });
        evidence.numbers.push(Number { phone: phone.clone(), otp_count: 1, ambiguous_count: 0 });
        evidence.shown.push(Shown { id, delivery: "sent".to_owned(), messages: 1 });
        evidence.counted.push((phone.clone(), 1, 0));
        evidence.taken.push(Taken { phone, code: Some(code), at: at + 100 });
    }
}

#[test]
fn a_doubled_message_is_found() {
    let mut evidence = good();
    evidence.taken.push(taken(5_000));
    assert!(broken(&evidence).contains(&Promise::Doubled));

    let mut evidence = repeated();
    evidence.taken.push(taken(9_000));
    assert!(broken(&evidence).contains(&Promise::Doubled));

    let mut evidence = repeated();
    evidence.messages[0].ambiguous = 2;
    assert!(broken(&evidence).contains(&Promise::Doubled), "tried a third time");
}

#[test]
fn an_unasked_message_is_found() {
    let mut evidence = good();
    evidence.taken[0].code = Some("9999999999".to_owned());
    assert!(broken(&evidence).contains(&Promise::Unasked), "no row has that code");

    let mut evidence = good();
    evidence.messages[0].route = Route::Null;
    assert!(broken(&evidence).contains(&Promise::Unasked), "it goes nowhere");

    let mut evidence = good();
    evidence.verifications[0].status = Status::Canceled;
    evidence.verifications[0].ended_at = Some(50);
    assert_eq!(broken(&evidence), [], "claimed before the end, called after it");
    evidence.taken[0].at = 7_000;
    assert_eq!(broken(&evidence), [Promise::Unasked]);
    evidence.windows =
        vec![FaultWindow { kind: FaultKind::Holding, what: String::new(), from: 20, to: Some(6_000) }];
    assert_eq!(broken(&evidence), [], "held back by the connection");
}

/// Messages for a number each, all sent, so many milliseconds apart.
fn spread(count: u32, apart: Millis) -> Evidence {
    let mut evidence = Evidence::default();
    for n in 0..count {
        let (id, phone) = (Uuid::from_u128(u128::from(n) + 1), format!("98{n:08}"));
        let at = Millis::from(n) * apart;
        let sent = good();
        let own =
            |message: Message| Message { verification: id, phone: phone.clone(), created_at: at, ..message };
        evidence.messages.extend(sent.messages.into_iter().map(own));
        let own =
            |row: Verification| Verification { id, phone: phone.clone(), expires_at: at + 60_000, ..row };
        evidence.verifications.extend(sent.verifications.into_iter().map(own));
        evidence.numbers.push(Number { phone: phone.clone(), otp_count: 1, ambiguous_count: 0 });
        evidence.shown.push(Shown { id, delivery: "sent".to_owned(), messages: 1 });
        evidence.counted.push((phone.clone(), 1, 0));
        evidence.taken.push(Taken { phone, code: Some(CODE.to_owned()), at });
    }
    evidence
}

#[test]
fn the_accounts_rate_is_held() {
    // The settings allow 200 a second, and a tenth more.
    assert_eq!(broken(&spread(1_000, 5)), []);
    let mut evidence = spread(1_000, 4);
    assert_eq!(broken(&evidence), [Promise::OverLimit]);
    let window = |kind, from, to| FaultWindow { kind, what: String::new(), from, to: Some(to) };
    evidence.windows = vec![window(FaultKind::Kill, 0, 4_000)];
    assert_eq!(broken(&evidence), [Promise::OverLimit], "a kill is no excuse");
    evidence.windows = vec![window(FaultKind::Other, -5_000, 60_000)];
    assert_eq!(broken(&evidence), [Promise::OverLimit], "nor is a fault that releases nothing");
    evidence = spread(300, 2);
    evidence.windows = vec![window(FaultKind::Holding, -5_000, -100)];
    assert_eq!(broken(&evidence), [], "they were held back, and came together");
}

#[test]
fn cooldown_and_quota_are_held() {
    let mut evidence = repeated();
    evidence.taken[1].at = 1_900;
    assert_eq!(broken(&evidence), [Promise::OverLimit]);
    evidence.taken[1].at = 2_100;
    assert_eq!(broken(&evidence), []);

    let mut evidence = good();
    evidence.messages = (1..=7).map(|seq| message(seq, Delivery::Sent)).collect();
    evidence.taken = (0..7).map(|n| taken(n * 3_000)).collect();
    (evidence.numbers[0].otp_count, evidence.counted[0].1) = (7, 7);
    (evidence.verifications[0].messages, evidence.shown[0].messages) = (7, 7);
    assert_eq!(broken(&evidence), [Promise::OverLimit]);
}

#[test]
fn counts_are_exact() {
    for (otp, unsure) in [(0, 0), (2, 0), (1, 1)] {
        let mut evidence = good();
        (evidence.numbers[0].otp_count, evidence.numbers[0].ambiguous_count) = (otp, unsure);
        evidence.counted = vec![(PHONE.to_owned(), otp, unsure)];
        assert_eq!(broken(&evidence), [Promise::Counts], "{otp} {unsure}");
    }
    let mut evidence = good();
    evidence.taken.clear();
    assert_eq!(broken(&evidence), [Promise::Counts], "recorded as sent, and the gateway never had it");
}

#[test]
fn a_code_is_single_use() {
    let approved = |checks: Vec<Checked>| {
        let mut evidence = good();
        evidence.verifications[0].status = Status::Approved;
        evidence.verifications[0].ended_at = Some(500);
        evidence.checks = checks;
        broken(&evidence)
    };
    let (won, lost, silent) = (checked(CODE, Some(200)), checked(CODE, Some(409)), checked(CODE, None));
    assert_eq!(approved(vec![won.clone(), lost.clone()]), []);
    assert_eq!(approved(vec![silent.clone(), lost.clone()]), [], "its answer was lost");
    assert_eq!(approved(vec![won.clone(), won.clone()]), [Promise::Approvals]);
    assert_eq!(approved(vec![lost.clone()]), [Promise::Approvals], "no check was answered so");
    assert_eq!(approved(Vec::new()), [Promise::Approvals], "no check was made");
    assert_eq!(approved(vec![checked("1", Some(200))]), [Promise::Approvals], "a wrong code");

    let mut evidence = good();
    evidence.checks = vec![won];
    assert_eq!(broken(&evidence), [Promise::Approvals], "approved, and forgotten");
    evidence.checks = (0..6).map(|_| checked("1", Some(422))).collect();
    assert_eq!(broken(&evidence), [Promise::Approvals], "guesses without end");
}

#[test]
fn a_wrong_answer_of_the_api_is_found() {
    let mut evidence = good();
    evidence.shown[0].delivery = "queued".to_owned();
    assert_eq!(broken(&evidence), [Promise::Shown]);

    let mut evidence = good();
    evidence.counted[0].1 = 2;
    assert_eq!(broken(&evidence), [Promise::Shown]);

    let mut evidence = good();
    evidence.leaks.push(format!("worker 1: sent to {PHONE}"));
    let judgement = judge(&evidence, &Settings::default());
    assert_eq!(judgement.broken[0].promise, Promise::Leaks);
    assert!(!judgement.broken[0].what.contains(PHONE), "{:?}", judgement.broken);
}
