//! The promises that are checked, and what breaks them.

/// A promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Promise {
    /// Nothing accepted is lost.
    Lost,
    /// Nothing is sent twice, except an ambiguous send.
    Doubled,
    /// Nothing is sent after its verification has ended, and nothing without a row for it.
    Unasked,
    /// A number's cooldown and quotas, and the account's rate.
    OverLimit,
    /// A number's counts agree with the gateway's.
    Counts,
    /// One approval, for the right code only.
    Approvals,
    /// The APIs show the state of the rows.
    Shown,
    /// Clients get only answers that they can act on.
    Answers,
    /// The programs keep running, and stop in order.
    Programs,
    /// No phone number and no code in a log.
    Leaks,
}

impl Promise {
    /// All promises.
    pub const ALL: [Self; 10] = [
        Self::Lost,
        Self::Doubled,
        Self::Unasked,
        Self::OverLimit,
        Self::Counts,
        Self::Approvals,
        Self::Shown,
        Self::Answers,
        Self::Programs,
        Self::Leaks,
    ];

    /// The title of its row in the table.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled outside ambiguous",
            Self::Unasked => "sent unasked",
            Self::OverLimit => "over limit",
            Self::Counts => "count mismatches",
            Self::Approvals => "approvals not exactly one",
            Self::Shown => "shown wrongly",
            Self::Answers => "unexpected answers",
            Self::Programs => "programs that died or did not stop",
            Self::Leaks => "numbers or codes in logs",
        }
    }
}

/// A broken promise, and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The promise.
    pub promise: Promise,
    /// What was found.
    pub what: String,
}
