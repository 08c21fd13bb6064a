//! The handlers, by what they are about.

pub mod accounts;
pub mod again;
pub mod checks;
pub mod create;
pub mod docs;
pub mod events;
pub mod groups;
pub mod hosted;
pub mod list;
pub mod pages;
pub mod phones;
pub mod read;
pub mod wellknown;
