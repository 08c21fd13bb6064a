//! The tokens that the API makes, and the keys to check them with. Approval tokens prove that a number was verified; the
//! others are credentials of a phone, a browser or a hosted page.

pub(crate) mod approval;
pub(crate) mod client;
pub(crate) mod jwks;
mod keyed;
pub(crate) mod page;

#[cfg(test)]
mod tests;
