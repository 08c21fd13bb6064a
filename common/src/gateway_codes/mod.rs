//! The codes with which gateways refuse, and what they mean: one file for each gateway, read by its client in the worker and by
//! the console.

mod code;
pub mod sparrow;

pub use code::{GatewayCode, KnownCode, Refused};

/// What a code means, as the end of a sentence; `None` for a code that the gateway's documentation does not name.
#[must_use]
pub fn meaning(code: GatewayCode) -> Option<&'static str> {
    KnownCode::find(&sparrow::CODES, code).map(|known| known.meaning)
}
