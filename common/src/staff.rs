//! Operators: the people who run Hulak, their web sessions, and what they look up in the console.

use uuid::Uuid;

use crate::phone::PhoneNumber;
use crate::phone_record::{ClientNumber, Number};
use crate::time::Timestamp;

/// The holder of an operator's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// SHA-256 of the key.
    pub key: [u8; 32],
    /// Its first characters.
    pub prefix: String,
    /// The name of the client that it was made for.
    pub name: String,
}

/// A web session of the console, as the store keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewSession {
    /// SHA-256 of the browser's cookie.
    pub hash: [u8; 32],
    /// SHA-256 of the key that it was signed in with: when that is revoked, the session is over.
    pub key: [u8; 32],
    /// Until when it lasts.
    pub expires_at: Timestamp,
}

/// A search for verifications, over all clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// Those of a phone number, newest first.
    Phone(PhoneNumber),
    /// The one with this id.
    Id(Uuid),
}

/// A number over all clients.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberFile {
    /// The record that all clients share.
    pub number: Number,
    /// The record of each client, with the client's name.
    pub clients: Vec<(String, ClientNumber)>,
}

/// A block of a number for all clients, or its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockEverywhere {
    /// The number.
    pub phone: PhoneNumber,
    /// Until when, and why; `None` lifts the block.
    pub block: Option<(Timestamp, Option<String>)>,
}
