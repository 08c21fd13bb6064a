//! The SMS gateway, and what its answers mean for us.

use std::time::Duration;

use async_trait::async_trait;
use hulak_common::phone::PhoneNumber;
use hulak_common::verification::{DeliveryError, DeliveryFault};
use hulak_runtime::metrics::Call;
use secrecy::SecretString;

/// How a send ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The gateway took the message.
    Accepted,
    /// It refuses this message for good: the receiver, or the message itself, cannot be used.
    Refused(DeliveryError),
    /// It refuses everything of this account. That says nothing about the message.
    Account {
        /// Its code for it.
        gateway_code: i32,
    },
    /// Nothing was sent; later it may be.
    NotNow {
        /// How long the gateway asks us to wait.
        retry_after: Option<Duration>,
    },
    /// The request was written and no readable answer came. Nobody can find out.
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
    /// The account is refused.
    Refused {
        /// The gateway's code for it.
        gateway_code: i32,
    },
    /// No answer that tells anything.
    NoAnswer,
}

/// An SMS gateway.
#[async_trait]
pub trait Gateway: Send + Sync + std::fmt::Debug + 'static {
    /// Sends one message. Ends within the gateway timeout.
    async fn send(&self, to: PhoneNumber, text: &SecretString) -> Answer;
    /// Asks how the account is doing. Costs nothing.
    async fn probe(&self) -> Probe;
}

impl Answer {
    /// What is counted of it.
    #[must_use]
    pub const fn call(&self) -> Call {
        match self {
            Self::Accepted => Call::Accepted,
            Self::Refused(_) => Call::Refused,
            Self::Account { .. } => Call::Account,
            Self::NotNow { .. } => Call::NotNow,
            Self::Unknown => Call::Unknown,
        }
    }

    /// The gateway's own code, when it refused.
    #[must_use]
    pub const fn gateway_code(&self) -> Option<i32> {
        match self {
            Self::Refused(error) => error.gateway_code,
            Self::Account { gateway_code } => Some(*gateway_code),
            Self::Accepted | Self::NotNow { .. } | Self::Unknown => None,
        }
    }

    /// A refusal of one message.
    #[must_use]
    pub fn refused(code: DeliveryFault, gateway_code: i32) -> Self {
        Self::Refused(DeliveryError { code, gateway_code: Some(gateway_code) })
    }
}
