//! The audit log: what operators did.

use serde::Serialize;
use uuid::Uuid;

use crate::text_enum::text_enum;
use crate::time::Timestamp;

text_enum! {
    /// What an operator did.
    Act {
        /// Signed in.
        SignIn => "sign-in",
        /// Tried to, with a key that is not one.
        SignInRefused => "sign-in-refused",
        /// Signed out.
        SignOut => "sign-out",
        /// Looked for a number or an id.
        Search => "search",
        /// Looked at a verification.
        View => "view",
        /// Blocked a number.
        Block => "block",
        /// Lifted a block.
        Unblock => "unblock",
        /// Stopped sending.
        Pause => "pause",
        /// Let sending go on.
        Resume => "resume",
        /// Looked at the dead letters.
        DeadLetters => "dead-letters",
        /// Threw the dead letters away.
        Purge => "purge",
        /// Took the bill along.
        Export => "export",
        /// What was asked could not be done.
        Failure => "failure",
    }
}

/// One line of the record of what operators did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// Version 7 UUID: sorts by time.
    pub id: Uuid,
    /// When.
    pub at: Timestamp,
    /// The name of the client that the key was made for; empty when nobody knows.
    pub who: String,
    /// The first characters of the key.
    pub key_prefix: String,
    /// What.
    pub act: Act,
    /// To what.
    pub what: String,
}
