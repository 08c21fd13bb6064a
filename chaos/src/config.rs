//! The seed and the sizes of a run, and the programs' settings.

use std::time::Duration;

/// A run's seed and sizes, which decide every fault and every visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The seed of all random values.
    pub seed: u64,
    /// How long there are faults and visits.
    pub length: Duration,
    /// The least number of accepted verifications.
    pub verifications: usize,
    /// How often something is killed by SIGKILL.
    pub kills: usize,
}

/// The settings of all programs of a run. The times are short, so that a run contains several of each.
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
    /// The settings as environment variables. Codes have ten digits, so that no two verifications of a run share one, and every
    /// message that the gateway accepted can be attributed.
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

/// All of Hulak's debug logs: no level may contain a number or a code.
const LOG: &str = "info,lapin=off,hulak_api=debug,hulak_common=debug,hulak_worker=debug";
