//! The handlers, by what they are about.

pub mod again;
pub mod checks;
pub mod create;
pub mod list;
pub mod phones;
pub mod read;
pub mod wellknown;
