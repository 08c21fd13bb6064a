//! Carriers: the people who run Hulak, their web sessions, and what they look up in the console.

use uuid::Uuid;

use crate::phone::PhoneNumber;
use crate::phone_record::{ClientNumber, Number};
use crate::time::Timestamp;

/// Whoever holds a key of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// SHA-256 of the key.
    pub key: [u8; 32],
    /// Its first characters.
    pub prefix: String,
    /// The name of the client that it was made for.
    pub name: String,
}

/// A sign-in to the console, as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewSession {
    /// SHA-256 of what the browser holds.
    pub hash: [u8; 32],
    /// SHA-256 of the key that it was signed in with: when that is revoked, the session is over.
    pub key: [u8; 32],
    /// Until when it lasts.
    pub expires_at: Timestamp,
}

/// Which verifications, across all clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// Those of a number, newest first.
    Phone(PhoneNumber),
    /// One.
    Id(Uuid),
}

/// A number over all clients.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberFile {
    /// What counts for all of them.
    pub number: Number,
    /// What each of them knows, with its name.
    pub clients: Vec<(String, ClientNumber)>,
}

/// A block of a number for all clients, or its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockEverywhere {
    /// The number.
    pub phone: PhoneNumber,
    /// Until when, and why; nothing lifts it.
    pub block: Option<(Timestamp, Option<String>)>,
}
