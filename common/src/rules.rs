//! The rules that the store decides by.

use std::time::Duration;

use crate::code::{CodeLength, Keyring};
use crate::limits::NumberLimits;
use crate::rate_limit::Quota;
use crate::test_numbers::TestNumbers;
use crate::text_enum::text_enum;

/// The rules of the store's decisions.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Quotas and pace of a number.
    pub limits: NumberLimits,
    /// How long a code lives after its message was asked for.
    pub code_ttl: Duration,
    /// Digits of new codes.
    pub code_length: CodeLength,
    /// Wrong codes after which a verification fails.
    pub max_checks: u32,
    /// Wrong codes after which a client's number is refused for 24 hours.
    pub number_max_failed_checks: u32,
    /// What happens to a send with unknown outcome.
    pub ambiguous: AmbiguousPolicy,
    /// How long a claim's lease lasts.
    pub claim_lease: Duration,
    /// The keys that codes are derived with.
    pub keyring: Keyring,
    /// What one client or address may ask for.
    pub quotas: Quotas,
    /// Numbers whose codes are fixed.
    pub test_numbers: TestNumbers,
}

/// The quotas of one client or address; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Codes a client application.
    pub client: Option<Quota>,
    /// Codes an address.
    pub address: Option<Quota>,
}

text_enum! {
    /// What happens to a send with unknown outcome.
    AmbiguousPolicy {
        /// It is sent once more, with the same code.
        ResendOnce => "resend-once",
        /// It is not repeated.
        Never => "never",
    }
}
