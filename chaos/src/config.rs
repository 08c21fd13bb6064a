//! What a run is made of: the seed and the sizes, the programs, and the settings they are given.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ChaosError;

/// A run's sizes. With the seed they decide every fault and every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// How long faults and calls go on.
    pub length: Duration,
    /// Verifications that have to be accepted, at least.
    pub verifications: usize,
    /// How often something is killed by SIGKILL.
    pub kills: usize,
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// `hulak`, started as `hulak api`.
    pub api: PathBuf,
    /// `hulak`, started as `hulak worker`.
    pub worker: PathBuf,
}

impl Binaries {
    /// Those that were built beside the running program.
    ///
    /// # Errors
    /// When they are not there.
    pub fn beside_us() -> Result<Self, ChaosError> {
        let us = std::env::current_exe()?;
        let beside = us.parent().unwrap_or(Path::new("."));
        let program = beside.join("chaos-hulak");
        if !program.is_file() {
            let hint = "build it with: cargo build -p hulak-chaos --bins";
            return Err(ChaosError::Setup(format!("{} is not there; {hint}", program.display())));
        }
        Ok(Self { api: program.clone(), worker: program })
    }
}

/// The settings of all programs of a run. Short, so that everything that takes time happens within a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// `HULAK_RESEND_COOLDOWN`.
    pub cooldown: Duration,
    /// `HULAK_NUMBER_HOURLY`.
    pub hourly: u32,
    /// `HULAK_NUMBER_DAILY`.
    pub daily: u32,
    /// `HULAK_CODE_TTL`.
    pub code_ttl: Duration,
    /// `HULAK_CLAIM_LEASE`.
    pub lease: Duration,
    /// `HULAK_GATEWAY_TIMEOUT`.
    pub timeout: Duration,
    /// `HULAK_GATEWAY_RATE`.
    pub rate: u32,
    /// `HULAK_MAX_CHECKS`.
    pub max_checks: u32,
    /// `HULAK_MAX_BACKLOG_AGE`.
    pub backlog_age: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cooldown: Duration::from_secs(2),
            hourly: 6,
            daily: 12,
            code_ttl: Duration::from_secs(60),
            lease: Duration::from_secs(11),
            timeout: Duration::from_secs(1),
            rate: 200,
            max_checks: 5,
            backlog_age: Duration::from_secs(60),
        }
    }
}

impl Settings {
    /// As the programs read them. Codes have ten digits: so no two verifications of a run share one, and every message
    /// that the gateway took can be told from every other.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let seconds = |span: Duration| format!("{}ms", span.as_millis());
        vec![
            ("HULAK_RESEND_COOLDOWN", seconds(self.cooldown)),
            ("HULAK_NUMBER_HOURLY", self.hourly.to_string()),
            ("HULAK_NUMBER_DAILY", self.daily.to_string()),
            ("HULAK_CODE_TTL", seconds(self.code_ttl)),
            ("HULAK_CODE_LENGTH", "10".to_owned()),
            ("HULAK_CLAIM_LEASE", seconds(self.lease)),
            ("HULAK_GATEWAY_TIMEOUT", seconds(self.timeout)),
            ("HULAK_GATEWAY_RATE", self.rate.to_string()),
            ("HULAK_MAX_CHECKS", self.max_checks.to_string()),
            ("HULAK_MAX_BACKLOG_AGE", seconds(self.backlog_age)),
            ("HULAK_SPARROW_TOKEN", "chaos".to_owned()),
            ("HULAK_SPARROW_FROM", "Hulak".to_owned()),
            ("HULAK_LOG", LOG.to_owned()),
        ]
    }
}

/// Everything of ours: what is said at any level must hold no number and no code.
const LOG: &str = "info,lapin=off,hulak_api=debug,hulak_common=debug,hulak_worker=debug";
