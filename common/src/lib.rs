//! The domain: what Hulak knows of phone numbers, codes, limits, verifications, messages, accounts and clients. No I/O.
//!
//! # Layout
//! - Numbers and codes: [`phone`], [`test_numbers`], [`code`], [`api_key`].
//! - What is verified: [`verification`] and its messages, [`status`], [`timeline`], [`phone_record`], [`hosted_page`].
//! - Who asks: [`client`], [`account`], [`origin`], [`staff`] and [`audit`] for operators.
//! - Rules: [`rules`], [`limits`] (windows of a number), [`cooldown`], [`rate_limit`] (a client's or an address's), [`idempotency`].
//! - Messages: [`sms_template`], [`sms`] (parts), [`job`] (what travels over the broker), [`gateway_codes`], [`usage`],
//!   [`worker_registry`].
//! - Foundations: [`time`], [`clock`], [`rng`], [`text_enum`], [`trace_context`].

// Named for its version alone, which chooses how `url` reads host names in other scripts.
use idna_adapter as _;

pub mod account;
pub mod api_key;
pub mod audit;
pub mod client;
pub mod clock;
pub mod code;
pub mod cooldown;
pub mod gateway_codes;
pub mod hosted_page;
pub mod idempotency;
pub mod job;
pub mod limits;
pub mod origin;
pub mod phone;
pub mod phone_record;
pub mod rate_limit;
pub mod rng;
pub mod rules;
pub mod sms;
pub mod sms_template;
pub mod staff;
pub mod status;
pub mod test_numbers;
pub mod text_enum;
pub mod time;
pub mod timeline;
pub mod trace_context;
pub mod usage;
pub mod verification;
pub mod worker_registry;
