//! The statuses of a verification and of its messages, and why a message did not go out.

use crate::gateway_codes::GatewayCode;
use crate::text_enum::text_enum;

text_enum! {
    /// The status of a verification.
    Status {
        /// A code can still be checked.
        Pending => "pending",
        /// The right code came.
        Approved => "approved",
        /// It expired.
        Expired => "expired",
        /// Too many wrong codes.
        Failed => "failed",
        /// The client canceled it.
        Canceled => "canceled",
    }
}

text_enum! {
    /// The status of a message; a verification shows that of its newest message.
    Delivery {
        /// Waiting for a worker, for its due time, or for another try.
        Queued => "queued",
        /// A worker has claimed it and is calling the gateway.
        Sending => "sending",
        /// The gateway accepted it.
        Sent => "sent",
        /// The gateway refused it for good.
        Failed => "failed",
        /// Its code expired before it could be sent.
        Expired => "expired",
        /// Its verification ended before it could be sent.
        Canceled => "canceled",
        /// The gateway may have accepted it.
        Unknown => "unknown",
    }
}

impl Delivery {
    /// Whether this message may still go out.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Sending)
    }
}

text_enum! {
    /// Why a message did not go out, or has not yet.
    DeliveryFault {
        /// The gateway knows no such receiver.
        InvalidReceiver => "invalid-receiver",
        /// The gateway refused the message itself.
        InvalidMessage => "invalid-message",
        /// The gateway could not be reached, or said to come back later.
        GatewayUnavailable => "gateway-unavailable",
        /// The gateway refuses the whole account.
        AccountRefused => "account-refused",
        /// The request was written but no readable answer came.
        NoAnswer => "no-answer",
        /// The worker that was sending it died.
        WorkerLost => "worker-lost",
    }
}

/// A fault, with the gateway's code if it gave one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct DeliveryError {
    /// The reason.
    pub code: DeliveryFault,
    /// The gateway's own code.
    pub gateway_code: Option<GatewayCode>,
}
