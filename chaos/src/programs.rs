//! Hulak's programs, as they were built with this harness.

use std::path::{Path, PathBuf};

use hulak_testkit::program::Program;

use crate::error::ChaosError;

/// The programs of a run, by role.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The API.
    pub api: Program,
    /// A worker.
    pub worker: Program,
}

impl Programs {
    /// The programs in these files, which may be one file.
    #[must_use]
    pub fn new(api: impl Into<PathBuf>, worker: impl Into<PathBuf>) -> Self {
        Self { api: Program::in_role(api, "api"), worker: Program::in_role(worker, "worker") }
    }

    /// The programs beside this one, unless others are given.
    ///
    /// # Errors
    /// When they are not there.
    pub fn find(api: Option<PathBuf>, worker: Option<PathBuf>) -> Result<Self, ChaosError> {
        let own = std::env::current_exe()?;
        let directory = own.parent().unwrap_or(Path::new("."));
        let api = api.unwrap_or_else(|| directory.join("chaos-api"));
        let worker = worker.unwrap_or_else(|| directory.join("chaos-worker"));
        for file in [&api, &worker] {
            if !file.is_file() {
                let hint = "build it with: cargo build -p hulak-chaos --bins";
                return Err(ChaosError::Setup(format!("{} is not there; {hint}", file.display())));
            }
        }
        Ok(Self::new(api, worker))
    }
}
