use std::{io, time::Duration};

use super::install;

/// Why a service could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Not installed, and not installable from here.
    #[error("{missing} not found; install it ({hint})")]
    Missing {
        /// What is not there.
        missing: String,
        /// How to get it.
        hint: String,
    },
    /// The system's package manager could not install it.
    #[error("installing {packages} failed: {reason}")]
    Install {
        /// What was asked for.
        packages: String,
        /// What went wrong.
        reason: String,
    },
    /// A directory, file or process could not be made.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A program that prepares a service, or asks it something, failed.
    #[error("{program} failed ({status})\n{output}")]
    Failed {
        /// Which program.
        program: String,
        /// How it ended.
        status: String,
        /// The end of what it wrote.
        output: String,
    },
    /// The service ended, or was not ready in time.
    #[error("{service} is not ready after {waited:?}: {state}\nthe end of its log:\n{log}")]
    NotReady {
        /// Which service.
        service: &'static str,
        /// How long it was waited for at most.
        waited: Duration,
        /// What it did instead.
        state: String,
        /// The end of its log.
        log: String,
    },
}

impl ServiceError {
    pub(super) fn missing(what: &[install::Package]) -> Self {
        let names: Vec<_> = what.iter().map(|package| package.title()).collect();
        let debian: Vec<_> = what.iter().map(|package| package.debian_name()).collect();
        let hint = format!("on Debian: apt-get install {}", debian.join(" "));
        Self::Missing { missing: names.join(" and "), hint }
    }
}

/// Says what was being done when the system refused.
pub(super) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, ServiceError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, ServiceError> {
        self.map_err(|source| ServiceError::Io { doing: what(), source })
    }
}
