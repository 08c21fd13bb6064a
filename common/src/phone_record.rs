//! What the store keeps of a number: for all clients together, and for one client.

use uuid::Uuid;

use crate::limits::SlidingLog;
use crate::phone::PhoneNumber;
use crate::time::Timestamp;

/// A number's counts, quotas and pace, over all clients, because all of them disturb the same person.
#[derive(Debug, Clone, PartialEq)]
pub struct Number {
    /// The number.
    pub phone: PhoneNumber,
    /// Messages the gateway accepted for it, exactly.
    pub otp_count: i64,
    /// Sends with unknown outcome.
    pub ambiguous_count: i64,
    /// When the gateway last accepted one.
    pub last_sent_at: Option<Timestamp>,
    /// No message to it is claimed before this time.
    pub paced_until: Option<Timestamp>,
    /// When messages were asked for.
    pub asked: SlidingLog,
    /// Until when operators have blocked it for all clients.
    pub blocked_until: Option<Timestamp>,
    /// Why.
    pub block_reason: Option<String>,
}

impl Number {
    /// A number never seen.
    #[must_use]
    pub fn new(phone: PhoneNumber) -> Self {
        Self {
            phone,
            otp_count: 0,
            ambiguous_count: 0,
            last_sent_at: None,
            paced_until: None,
            asked: SlidingLog::default(),
            blocked_until: None,
            block_reason: None,
        }
    }

    /// Whether verifications for it are refused now for all clients, and until when.
    #[must_use]
    pub fn blocked(&self, now: Timestamp) -> Option<Timestamp> {
        self.blocked_until.filter(|until| *until > now)
    }
}

/// A number within one client.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientNumber {
    /// The client application.
    pub client: Uuid,
    /// The number.
    pub phone: PhoneNumber,
    /// When it was last verified.
    pub validated_at: Option<Timestamp>,
    /// When wrong codes came, since the last right one.
    pub failed_checks: SlidingLog,
    /// Until when no verification may be made for it.
    pub blocked_until: Option<Timestamp>,
    /// Why.
    pub block_reason: Option<String>,
}

impl ClientNumber {
    /// A number this client has not seen.
    #[must_use]
    pub fn new(client: Uuid, phone: PhoneNumber) -> Self {
        Self {
            client,
            phone,
            validated_at: None,
            failed_checks: SlidingLog::default(),
            blocked_until: None,
            block_reason: None,
        }
    }

    /// Whether verifications for it are refused now, and until when.
    #[must_use]
    pub fn blocked(&self, now: Timestamp) -> Option<Timestamp> {
        self.blocked_until.filter(|until| *until > now)
    }
}

/// The answer of `GET /v1/phones/{phone}`.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberReport {
    /// Over all clients.
    pub number: Number,
    /// Within the asking client.
    pub client: ClientNumber,
}
