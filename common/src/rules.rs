//! The rules that the store decides by.

use std::time::Duration;

use crate::code::{CodeLength, Keyring};
use crate::limits::NumberLimits;
use crate::rate_limit::Quota;
use crate::test_numbers::TestNumbers;
use crate::text_enum::text_enum;

/// What the stores' decisions go by.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Quotas and pace of a number.
    pub limits: NumberLimits,
    /// How long a code lives from its message on.
    pub code_ttl: Duration,
    /// Digits of new codes.
    pub code_length: CodeLength,
    /// Wrong codes a verification bears.
    pub max_checks: u32,
    /// Wrong codes a client's number bears in 24 hours.
    pub number_max_failed_checks: u32,
    /// What is done about a send that nobody knows the outcome of.
    pub ambiguous: AmbiguousPolicy,
    /// How long a claim holds.
    pub claim_lease: Duration,
    /// The keys that codes are derived with.
    pub keyring: Keyring,
    /// What one client or address may ask for.
    pub quotas: Quotas,
    /// Numbers whose codes are fixed.
    pub test_numbers: TestNumbers,
}

/// What one client or address may ask for; nothing is limited that is not set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Codes a client application.
    pub client: Option<Quota>,
    /// Codes an address.
    pub address: Option<Quota>,
}

text_enum! {
    /// What is done about a send that nobody knows the outcome of.
    AmbiguousPolicy {
        /// It is sent once more, with the same code.
        ResendOnce => "resend-once",
        /// It is left alone.
        Never => "never",
    }
}
