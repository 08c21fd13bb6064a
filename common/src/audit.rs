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
        /// Deleted the dead letters.
        Purge => "purge",
        /// Downloaded the bill.
        Export => "export",
        /// Made a key, by a command.
        CreateKey => "create-key",
        /// Revoked a key, by a command.
        RevokeKey => "revoke-key",
        /// Changed what is set for a client, by a command.
        SetClient => "set-client",
        /// An action that failed.
        Failure => "failure",
    }
}

/// One entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// Version 7 UUID: sorts by time.
    pub id: Uuid,
    /// When it happened.
    pub at: Timestamp,
    /// The name of the client that the key was made for; empty when the key is unknown.
    pub who: String,
    /// The first characters of the key.
    pub key_prefix: String,
    /// What the operator did.
    pub act: Act,
    /// What the action was about.
    pub what: String,
}
