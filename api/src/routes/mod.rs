//! The handlers, by what they are about.

pub mod checks;
pub mod create;
pub mod phones;
pub mod read;
pub mod wellknown;
