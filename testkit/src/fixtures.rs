//! Rows and settings to begin with: a test changes the fields that it is about, so that a new field touches one place.

use std::time::Duration;

use hulak_common::code::{Keyring, Salt, Secret};
use hulak_common::limits::NumberLimits;
use hulak_common::phone::PhoneNumber;
use hulak_common::rng::Rng;
use hulak_common::rules::{AmbiguousPolicy, Quotas, Rules};
use hulak_common::test_numbers::TestNumbers;
use hulak_common::time::Timestamp;
use hulak_common::verification::{Delivery, LiveKey, Locale, Purpose, Status, Verification};
use uuid::Uuid;

/// The default settings of the programs, with a random secret.
///
/// # Panics
/// Never: 32 bytes are a secret.
#[must_use]
pub fn rules() -> Rules {
    let secret = Secret::from_bytes(Rng::system().bytes::<32>().to_vec()).expect("32 bytes");
    Rules {
        limits: NumberLimits::default(),
        code_ttl: Duration::from_secs(300),
        code_length: Default::default(),
        max_checks: 5,
        number_max_failed_checks: 20,
        ambiguous: AmbiguousPolicy::ResendOnce,
        claim_lease: Duration::from_secs(30),
        keyring: Keyring::new(secret, None),
        quotas: Quotas::default(),
        test_numbers: TestNumbers::default(),
    }
}

/// A client's plain wish to verify a number: without an account and without a session.
#[must_use]
pub fn live_key(client: Uuid, phone: PhoneNumber) -> LiveKey {
    LiveKey { client, phone, purpose: Purpose::Verify, account: None, session: String::new() }
}

/// A pending verification, whose first message is queued and whose code lives for five minutes from `now`.
#[must_use]
pub fn verification(id: Uuid, key: LiveKey, now: Timestamp) -> Verification {
    Verification {
        id,
        key,
        locale: Locale::En,
        app_hash: None,
        origin: None,
        app_name: None,
        metadata: "{}".to_owned(),
        salt: Salt([0; 20]),
        key_id: rules().keyring.current().id(),
        code_length: Default::default(),
        created_at: now,
        status: Status::Pending,
        epoch: 0,
        epoch_started_at: now,
        checks_remaining: 5,
        resend_after: now + Duration::from_secs(30),
        expires_at: now + Duration::from_secs(300),
        delivery: Delivery::Queued,
        messages: 1,
        last_sent_at: None,
        next_attempt_at: None,
        error: None,
        ended_at: None,
        updated_at: now,
        version: 1,
        history: Default::default(),
    }
}

/// The `n`-th code after `code`, of the same length: a wrong one for every `n` from 1 to 10^length - 1.
///
/// # Panics
/// When `code` is no number.
#[must_use]
pub fn wrong(code: &str, n: u64) -> String {
    let right: u64 = code.parse().expect("a code has digits only");
    let count = 10_u64.pow(u32::try_from(code.len()).expect("a code is short"));
    format!("{:0width$}", (right + n) % count, width = code.len())
}
