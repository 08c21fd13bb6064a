//! Checking codes: the only way to `approved`.

use hulak_common::code::{Code, CodeLength, Keyring};
use hulak_common::limits::{LimitReached, Policy};
use hulak_common::rules::Rules;
use hulak_common::verification::{Delivery, Status};
use hulak_store::{Check, Checked, Created, TakesEffect};
use uuid::Uuid;

use crate::harness::*;

on_both_stores!(
    the_right_code_approves_once,
    a_wrong_code_is_charged,
    a_malformed_code_spends_nothing,
    an_expired_code_is_refused_before_the_reaper_comes,
    what_has_ended_is_not_checked,
    too_many_wrong_codes_fail_it,
    the_right_code_on_the_last_attempt_is_accepted,
    a_new_verification_does_not_refill_the_numbers_budget,
    the_budgets_last_attempt_may_be_right_and_clears_it,
    the_budget_is_the_clients_own_and_slides,
    a_stranger_finds_nothing,
    a_rotated_secret_still_checks_and_a_lost_one_says_so,
    a_code_keeps_the_length_it_was_made_with,
    a_batch_is_checked_in_order,
);

async fn the_right_code_approves_once(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    world.deliver(&pending, START).await;
    let sent = world.read(&pending).await;
    let check = Check {
        client: CLIENT,
        id: pending.id,
        code: world.right(&pending),
        takes_effect: TakesEffect::AtOnce,
        remember: None,
    };
    let batch = world.store.check(&[check], at(9)).await;
    assert_eq!(announced(&batch.events), [(pending.id, sent.version + 1)].into());
    let Checked::Approved(approved) = only(batch) else { panic!() };
    assert_eq!((approved.status, approved.ended_at), (Status::Approved, Some(at(9))));
    assert_eq!((approved.version, approved.updated_at), (sent.version + 1, at(9)));
    assert_eq!((approved.delivery, approved.checks_remaining), (Delivery::Sent, 5));
    assert_eq!(world.read(&pending).await, approved);
    assert_eq!(world.report(1).await.client.validated_at, Some(at(9)));
    for code in [world.right(&pending), world.wrong(&pending)] {
        assert_eq!(world.check(&pending, code, at(10)).await, Checked::AlreadyApproved);
    }
    assert_eq!(world.read(&pending).await, approved);
    assert_eq!(world.report(1).await.client.failed_checks.count(at(10), secs(DAY)), 0);
}

async fn a_wrong_code_is_charged(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let check = Check {
        client: CLIENT,
        id: pending.id,
        code: world.wrong(&pending),
        takes_effect: TakesEffect::AtOnce,
        remember: None,
    };
    let batch = world.store.check(&[check], at(9)).await;
    assert_eq!(announced(&batch.events), [(pending.id, 2)].into());
    let Checked::Incorrect(charged) = only(batch) else { panic!() };
    assert_eq!((charged.status, charged.checks_remaining, charged.version), (Status::Pending, 4, 2));
    assert_eq!(world.read(&pending).await, charged);
    let client = world.report(1).await.client;
    assert_eq!((client.failed_checks.count(at(9), secs(DAY)), client.validated_at), (1, None));
    world.approve(&pending, at(10)).await;
}

async fn a_malformed_code_spends_nothing(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    for typed in ["", "12345", "1234567", "12345x", "१२३४५६", " 123456"] {
        let checked = world.check(&pending, Code::typed(typed.to_owned()), at(1)).await;
        assert_eq!(checked, Checked::Malformed(CodeLength::default()), "{typed:?}");
    }
    assert_eq!(world.read(&pending).await, pending);
    assert_eq!(world.count("client_numbers").await, 0);
}

async fn an_expired_code_is_refused_before_the_reaper_comes(kind: Kind) {
    let world = kind.world(rules()).await;
    let [late, prompt] = [world.begin(&ask(1), START).await, world.begin(&ask(2), START).await];
    for code in [world.right(&late), world.wrong(&late)] {
        assert_eq!(world.check(&late, code, late.expires_at).await, Checked::Expired);
    }
    assert_eq!(world.count("client_numbers").await, 0, "nothing was charged");
    world.approve(&prompt, prompt.expires_at - MS).await;
}

async fn what_has_ended_is_not_checked(kind: Kind) {
    let world = kind.world(rules()).await;
    let ends = [
        (Status::Expired, Checked::Expired),
        (Status::Canceled, Checked::Canceled),
        (Status::Approved, Checked::AlreadyApproved),
    ];
    for (n, (status, answer)) in (0..).zip(ends) {
        let ended = world.begin(&ask(n), START).await;
        world.force(&ended, status).await;
        assert_eq!(world.check_right(&ended, at(1)).await, answer);
        assert_eq!(world.check_wrong(&ended, at(1)).await, answer);
        // An answer that is final stays so past the time it would have expired at.
        assert_eq!(world.check_right(&ended, at(HOUR)).await, answer);
    }
    assert_eq!(world.count("client_numbers").await, 0);
}

async fn too_many_wrong_codes_fail_it(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    for remaining in (0..5).rev() {
        let Checked::Incorrect(charged) = world.check_wrong(&pending, at(1)).await else { panic!() };
        let status = if remaining == 0 { Status::Failed } else { Status::Pending };
        assert_eq!((charged.checks_remaining, charged.status), (remaining, status));
        assert_eq!(charged.ended_at, (remaining == 0).then_some(at(1)));
    }
    let failed = world.read(&pending).await;
    let Checked::TooMany(limit) = world.check_right(&pending, at(2)).await else { panic!() };
    assert_eq!((limit.policy, limit.quota, limit.retry_at), (Policy::Checks, 5, at(30)));
    assert!(matches!(world.check_wrong(&pending, at(2)).await, Checked::TooMany(_)));
    assert_eq!(world.read(&pending).await, failed);
    assert_eq!(world.report(1).await.client.failed_checks.count(at(2), secs(DAY)), 5);
    // A new one may be asked for when the limit says so.
    assert!(matches!(world.create(&ask(1), limit.retry_at - MS).await, Created::Limited(_)));
    world.begin(&ask(1), limit.retry_at).await;
}

async fn the_right_code_on_the_last_attempt_is_accepted(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    for _ in 0..4 {
        world.check_wrong(&pending, at(1)).await;
    }
    let approved = world.approve(&pending, at(1)).await;
    assert_eq!(approved.checks_remaining, 1);
}

/// Spends `count` wrong checks, at most four on each of as many verifications as that takes.
async fn spend(world: &World, count: u32, now: hulak_common::time::Timestamp) {
    for n in 0..count {
        if n % 4 == 0 {
            world.begin(&ask_in(1, &format!("{now} {n}")), now).await;
        }
        let session = format!("{now} {}", n - n % 4);
        let Created::Again { verification, .. } = world.create(&ask_in(1, &session), now).await else {
            panic!()
        };
        assert!(matches!(world.check_wrong(&verification, now).await, Checked::Incorrect(_)));
    }
}

async fn a_new_verification_does_not_refill_the_numbers_budget(kind: Kind) {
    let world = kind.world(no_limits()).await;
    spend(&world, 20, at(7)).await;
    let fresh = world.begin(&ask(1), at(8)).await;
    let spent = LimitReached { policy: Policy::Checks, quota: 20, window: secs(DAY), retry_at: at(DAY + 7) };
    assert_eq!(world.check_right(&fresh, at(8)).await, Checked::TooMany(spent));
    assert_eq!(world.check_wrong(&fresh, at(8)).await, Checked::TooMany(spent));
    assert_eq!(world.read(&fresh).await, fresh, "nothing more was charged");
    assert_eq!(world.report(1).await.client.failed_checks.count(at(8), secs(DAY)), 20);
}

async fn the_budgets_last_attempt_may_be_right_and_clears_it(kind: Kind) {
    let world = kind.world(no_limits()).await;
    spend(&world, 19, at(7)).await;
    let fresh = world.begin(&ask(1), at(8)).await;
    world.approve(&fresh, at(8)).await;
    assert_eq!(world.report(1).await.client.failed_checks.count(at(8), secs(DAY)), 0);
    spend(&world, 20, at(9)).await;
    let fresh = world.begin(&ask(1), at(9)).await;
    assert!(matches!(world.check_right(&fresh, at(9)).await, Checked::TooMany(_)));
}

async fn the_budget_is_the_clients_own_and_slides(kind: Kind) {
    let world = kind.world(no_limits()).await;
    spend(&world, 1, at(0)).await;
    spend(&world, 19, at(100)).await;
    let theirs = world.begin(&ask_of(OTHER_CLIENT, 1), at(101)).await;
    let another_number = world.begin(&ask(2), at(101)).await;
    for verification in [&theirs, &another_number] {
        world.approve(verification, at(101)).await;
    }
    let early = world.begin(&ask_in(1, "early"), at(DAY) - MS).await;
    assert!(matches!(world.check_right(&early, at(DAY) - MS).await, Checked::TooMany(_)));
    assert!(matches!(world.check_wrong(&early, at(DAY)).await, Checked::Incorrect(_)));
    let Checked::TooMany(limit) = world.check_right(&early, at(DAY)).await else { panic!() };
    assert_eq!(limit.retry_at, at(DAY + 100));
}

async fn a_stranger_finds_nothing(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let right = world.right(&pending);
    let wrong = world.wrong(&pending);
    for (client, id) in [(OTHER_CLIENT, pending.id), (CLIENT, Uuid::nil())] {
        for code in [&right, &wrong, &Code::typed("x".to_owned())] {
            let check =
                Check { client, id, code: code.clone(), takes_effect: TakesEffect::AtOnce, remember: None };
            assert_eq!(only(world.store.check(&[check], at(1)).await), Checked::NotFound);
        }
    }
    assert_eq!(world.read(&pending).await, pending);
    assert_eq!(world.count("client_numbers").await, 0);
    // Nor when the owner's check is in the same batch.
    let check = |client| Check {
        client,
        id: pending.id,
        code: wrong.clone(),
        takes_effect: TakesEffect::AtOnce,
        remember: None,
    };
    let answers =
        all(world.store.check(&[check(OTHER_CLIENT), check(CLIENT), check(OTHER_CLIENT)], at(1)).await);
    assert!(
        matches!(answers.as_slice(), [Checked::NotFound, Checked::Incorrect(_), Checked::NotFound]),
        "{answers:?}"
    );
    assert_eq!(world.read(&pending).await.checks_remaining, 4);
}

async fn a_rotated_secret_still_checks_and_a_lost_one_says_so(kind: Kind) {
    let world = kind.world(rules()).await;
    let with = |keyring| world.another(Rules { keyring, ..rules() });
    let rotated = with(Keyring::new(secret(2), Some(secret(1))));
    let later = with(Keyring::new(secret(3), Some(secret(2))));
    let pending = world.begin(&ask(1), START).await;
    let check = |code| Check {
        client: CLIENT,
        id: pending.id,
        code,
        takes_effect: TakesEffect::AtOnce,
        remember: None,
    };
    for code in [world.right(&pending), world.wrong(&pending)] {
        assert_eq!(only(later.check(&[check(code)], at(1)).await), Checked::UnknownKey);
    }
    assert_eq!(world.read(&pending).await, pending, "nothing was charged");
    let wrong = only(rotated.check(&[check(world.wrong(&pending))], at(1)).await);
    assert!(matches!(wrong, Checked::Incorrect(_)), "{wrong:?}");
    let right = only(rotated.check(&[check(world.right(&pending))], at(1)).await);
    assert!(matches!(right, Checked::Approved(_)), "{right:?}");
    // New ones are made with the new secret.
    let Created::New(new) = only(rotated.create(&[ask(2)], START).await) else { panic!() };
    assert_ne!(new.key_id, pending.key_id);
}

async fn a_code_keeps_the_length_it_was_made_with(kind: Kind) {
    let world = kind.world(rules()).await;
    let pending = world.begin(&ask(1), START).await;
    let right = world.right(&pending);
    let longer = world.another(Rules { code_length: CodeLength::new(8).unwrap(), ..rules() });
    let check = |code| Check {
        client: CLIENT,
        id: pending.id,
        code,
        takes_effect: TakesEffect::AtOnce,
        remember: None,
    };
    let eight = only(longer.check(&[check(Code::typed("12345678".to_owned()))], at(1)).await);
    assert_eq!(eight, Checked::Malformed(CodeLength::default()));
    assert!(matches!(only(longer.check(&[check(right)], at(1)).await), Checked::Approved(_)));
}

async fn a_batch_is_checked_in_order(kind: Kind) {
    let world = kind.world(no_limits()).await;
    let [one, two] = [world.begin(&ask(1), START).await, world.begin(&ask_in(1, "x"), START).await];
    let check =
        |id, code| Check { client: CLIENT, id, code, takes_effect: TakesEffect::AtOnce, remember: None };
    let batch = [
        check(one.id, world.wrong(&one)),
        check(two.id, world.right(&two)),
        check(Uuid::nil(), world.right(&two)),
        check(one.id, world.wrong(&one)),
        check(two.id, world.right(&two)),
        check(one.id, world.right(&one)),
    ];
    let batch = world.store.check(&batch, at(1)).await;
    assert_eq!(announced(&batch.events), [(one.id, 4), (two.id, 2)].into());
    let answers = all(batch);
    let [
        Checked::Incorrect(first),
        Checked::Approved(_),
        Checked::NotFound,
        Checked::Incorrect(second),
        Checked::AlreadyApproved,
        Checked::Approved(last),
    ] = answers.as_slice()
    else {
        panic!("{answers:?}")
    };
    assert_eq!((first.checks_remaining, second.checks_remaining), (4, 3));
    assert_eq!(world.read(&one).await, *last);
    assert_eq!(world.count("client_numbers").await, 1, "one row for both");
}
