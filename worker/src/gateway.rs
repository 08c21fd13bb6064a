//! What a worker needs of an SMS gateway: two calls, and what their answers mean. The clients are in [`crate::gateways`].

use std::time::Duration;

use async_trait::async_trait;
use hulak_common::gateway_codes::GatewayCode;
use hulak_common::phone::PhoneNumber;
use hulak_common::verification::{DeliveryError, DeliveryFault};
use hulak_runtime::metrics::Call;
use secrecy::SecretString;

/// How a call to send a message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendResult {
    /// The gateway took the message.
    Accepted,
    /// The gateway refuses this message for good: its receiver or its text cannot be used.
    Refused(DeliveryError),
    /// The gateway refuses everything of this account. That says nothing about the message.
    AccountRefused {
        /// The gateway's code.
        gateway_code: GatewayCode,
    },
    /// Nothing was sent; a later call may succeed.
    NotNow {
        /// How long the gateway asks us to wait.
        retry_after: Option<Duration>,
    },
    /// The request was written and no readable answer came: the message may have been sent.
    Unknown,
}

/// How a probe ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Probe {
    /// The account is in order.
    Good {
        /// Credits left, when the gateway says.
        credits: Option<f64>,
    },
    /// The account is refused because it has no credits left.
    OutOfCredits {
        /// The gateway's code.
        gateway_code: GatewayCode,
    },
    /// The account is refused for another reason.
    Refused {
        /// The gateway's code.
        gateway_code: GatewayCode,
    },
    /// No readable answer.
    NoAnswer,
}

/// An SMS gateway.
#[async_trait]
pub trait Gateway: Send + Sync + std::fmt::Debug + 'static {
    /// Sends one message. Ends within the gateway timeout.
    async fn send(&self, to: PhoneNumber, text: &SecretString) -> SendResult;
    /// Asks for the state of the account. Costs nothing.
    async fn probe(&self) -> Probe;
}

impl SendResult {
    /// The label that metrics count it under.
    #[must_use]
    pub const fn call(&self) -> Call {
        match self {
            Self::Accepted => Call::Accepted,
            Self::Refused(_) => Call::Refused,
            Self::AccountRefused { .. } => Call::Account,
            Self::NotNow { .. } => Call::NotNow,
            Self::Unknown => Call::Unknown,
        }
    }

    /// The gateway's own code, when it refused.
    #[must_use]
    pub const fn gateway_code(&self) -> Option<GatewayCode> {
        match self {
            Self::Refused(error) => error.gateway_code,
            Self::AccountRefused { gateway_code } => Some(*gateway_code),
            Self::Accepted | Self::NotNow { .. } | Self::Unknown => None,
        }
    }

    /// A refusal of one message.
    #[must_use]
    pub const fn refused(code: DeliveryFault, gateway_code: GatewayCode) -> Self {
        Self::Refused(DeliveryError { code, gateway_code: Some(gateway_code) })
    }
}
