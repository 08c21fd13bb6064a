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
    /// The roles of `hulak` in this file.
    #[must_use]
    pub fn of(hulak: impl Into<PathBuf>) -> Self {
        let hulak = hulak.into();
        Self { api: Program::in_role(&hulak, "api"), worker: Program::in_role(hulak, "worker") }
    }

    /// The program beside this one, unless another is given.
    ///
    /// # Errors
    /// When it is not there.
    pub fn find(hulak: Option<PathBuf>) -> Result<Self, ChaosError> {
        let own = std::env::current_exe()?;
        let hulak = hulak.unwrap_or_else(|| own.parent().unwrap_or(Path::new(".")).join("chaos-hulak"));
        if !hulak.is_file() {
            let hint = "build it with: cargo build -p hulak-chaos --bins";
            return Err(ChaosError::Setup(format!("{} is not there; {hint}", hulak.display())));
        }
        Ok(Self::of(hulak))
    }
}
