//! The gateway's refusals.

/// Why the gateway refuses a call, with the numbers and words of its documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// 1000
    #[error("A required field is missing")]
    MissingField,
    /// 1001
    #[error("Invalid IP Address")]
    InvalidAddress,
    /// 1002
    #[error("Invalid Token")]
    InvalidToken,
    /// 1003 or 1004
    #[error("Account Inactive")]
    Inactive {
        /// Which of the two.
        second: bool,
    },
    /// 1005 or 1006
    #[error("Account has been expired")]
    Expired {
        /// Which of the two.
        second: bool,
    },
    /// 1007
    #[error("Invalid Receiver")]
    InvalidReceiver,
    /// 1008
    #[error("Invalid Sender")]
    InvalidSender,
    /// 1010
    #[error("Text cannot be empty")]
    EmptyText,
    /// 1011
    #[error("No valid receiver")]
    NoValidReceiver,
    /// 1012
    #[error("No Credits Available")]
    NoCredits,
    /// 1013
    #[error("Insufficient Credits")]
    InsufficientCredits,
}

impl Refusal {
    /// Every refusal, in the order of the codes.
    pub const ALL: [Self; 13] = [
        Self::MissingField,
        Self::InvalidAddress,
        Self::InvalidToken,
        Self::Inactive { second: false },
        Self::Inactive { second: true },
        Self::Expired { second: false },
        Self::Expired { second: true },
        Self::InvalidReceiver,
        Self::InvalidSender,
        Self::EmptyText,
        Self::NoValidReceiver,
        Self::NoCredits,
        Self::InsufficientCredits,
    ];

    /// The `response_code`.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::MissingField => 1000,
            Self::InvalidAddress => 1001,
            Self::InvalidToken => 1002,
            Self::Inactive { second: false } => 1003,
            Self::Inactive { second: true } => 1004,
            Self::Expired { second: false } => 1005,
            Self::Expired { second: true } => 1006,
            Self::InvalidReceiver => 1007,
            Self::InvalidSender => 1008,
            Self::EmptyText => 1010,
            Self::NoValidReceiver => 1011,
            Self::NoCredits => 1012,
            Self::InsufficientCredits => 1013,
        }
    }

    /// The refusal of that code; 1009 does not exist.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| refusal.code() == code)
    }

    /// Whether `/credit/` can say this too.
    #[must_use]
    pub const fn concerns_credit(self) -> bool {
        matches!(self.code(), 1001..=1006 | 1012)
    }
}
