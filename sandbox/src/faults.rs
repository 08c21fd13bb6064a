//! Faults on demand.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// The longest latency and the longest jitter.
const MAX_DELAY_MS: u64 = 60_000;

/// HTTP statuses that can be forced, besides the gateway's own codes: those of proxies and failing servers. A forced 403 has no
/// code in its body.
pub(crate) const FORCED_STATUSES: [u16; 6] = [403, 429, 500, 502, 503, 504];

/// How the simulator misbehaves, on sends and credit calls alike.
///
/// One draw a call decides between error, drop, timeout and an answer. When the rates add up to more than one, the
/// first named win.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Faults {
    /// How long every answer takes.
    pub latency_ms: u64,
    /// At most this much more, uniformly distributed.
    pub jitter_ms: u64,
    /// The share of calls answered with HTTP 500; their messages are not taken.
    pub error_rate: f64,
    /// The share of accepted calls whose connection is closed without an answer; their messages are taken.
    pub drop_rate: f64,
    /// The share of accepted calls that are held for a minute without an answer; their messages are taken.
    pub timeout_rate: f64,
    /// Every call gets this refusal (1000 to 1013), or this HTTP status (403, 429, 500, 502, 503, 504); no message is
    /// taken. Credit calls heed the codes they can report and the statuses.
    pub response_code: Option<u16>,
    /// The `Retry-After` of a forced HTTP status.
    pub retry_after_s: Option<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Self { latency_ms: 50, ..Self::none() }
    }
}

/// The answer that a `response_code` forces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forced {
    Refusal(Refusal),
    Status { status: u16, retry_after_s: Option<u64> },
}

/// How one call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Answer,
    Error,
    Drop,
    Timeout,
}

impl Faults {
    /// A gateway without faults that answers at once.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            latency_ms: 0,
            jitter_ms: 0,
            error_rate: 0.0,
            drop_rate: 0.0,
            timeout_rate: 0.0,
            response_code: None,
            retry_after_s: None,
        }
    }

    pub(crate) fn forced(&self) -> Option<Forced> {
        let code = self.response_code?;
        if FORCED_STATUSES.contains(&code) {
            return Some(Forced::Status { status: code, retry_after_s: self.retry_after_s });
        }
        Refusal::from_code(code).map(Forced::Refusal)
    }

    pub(crate) fn fate(&self, fraction: f64) -> Fate {
        let Self { error_rate, drop_rate, timeout_rate, .. } = *self;
        if fraction < error_rate {
            Fate::Error
        } else if fraction < error_rate + drop_rate {
            Fate::Drop
        } else if fraction < error_rate + drop_rate + timeout_rate {
            Fate::Timeout
        } else {
            Fate::Answer
        }
    }

    pub(crate) fn delay(&self, fraction: f64) -> Duration {
        let fixed = Duration::from_millis(self.latency_ms.min(MAX_DELAY_MS));
        fixed + Duration::from_millis(self.jitter_ms.min(MAX_DELAY_MS)).mul_f64(fraction)
    }
}

/// A field of `PUT /faults` that is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {detail}")]
pub struct InvalidFault {
    /// The field.
    pub field: String,
    /// What is wrong with it.
    pub detail: String,
}

/// The change of a `PUT /faults`: fields that are absent stay as they are.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) faults: Faults,
    pub(crate) credits: Option<u64>,
}

impl Change {
    /// Reads the change of `present`: if one field is invalid, none is changed.
    pub(crate) fn read(present: Faults, fields: &Map<String, Value>) -> Result<Self, InvalidFault> {
        let mut change = Self { faults: present, credits: None };
        for (field, value) in fields {
            change
                .set(field, value)
                .map_err(|detail| InvalidFault { field: field.clone(), detail: detail.to_owned() })?;
        }
        Ok(change)
    }

    fn set(&mut self, field: &str, value: &Value) -> Result<(), &'static str> {
        let faults = &mut self.faults;
        match field {
            "latency_ms" => faults.latency_ms = delay(value)?,
            "jitter_ms" => faults.jitter_ms = delay(value)?,
            "error_rate" => faults.error_rate = rate(value)?,
            "drop_rate" => faults.drop_rate = rate(value)?,
            "timeout_rate" => faults.timeout_rate = rate(value)?,
            "response_code" => faults.response_code = response_code(value)?,
            "retry_after_s" => faults.retry_after_s = retry_after(value)?,
            "credits" => self.credits = Some(value.as_u64().ok_or("must be a whole number, 0 or more")?),
            _ => return Err("is not a field of the faults"),
        }
        Ok(())
    }
}

fn delay(value: &Value) -> Result<u64, &'static str> {
    value
        .as_u64()
        .filter(|millis| *millis <= MAX_DELAY_MS)
        .ok_or("must be a whole number of milliseconds from 0 to 60000")
}

fn rate(value: &Value) -> Result<f64, &'static str> {
    value.as_f64().filter(|rate| (0.0..=1.0).contains(rate)).ok_or("must be a number from 0 to 1")
}

fn response_code(value: &Value) -> Result<Option<u16>, &'static str> {
    if value.is_null() {
        return Ok(None);
    }
    value
        .as_u64()
        .and_then(|code| u16::try_from(code).ok())
        .filter(|code| FORCED_STATUSES.contains(code) || Refusal::from_code(*code).is_some())
        .map(Some)
        .ok_or("must be null, a gateway code (1000 to 1008, 1010 to 1013) or one of 403, 429, 500, 502, 503, 504")
}

fn retry_after(value: &Value) -> Result<Option<u64>, &'static str> {
    if value.is_null() {
        return Ok(None);
    }
    let seconds = value.as_u64().filter(|seconds| *seconds <= 86_400);
    seconds.map(Some).ok_or("must be null or a whole number of seconds from 0 to 86400")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_draw_decides() {
        let faults = Faults { error_rate: 0.25, drop_rate: 0.25, timeout_rate: 0.25, ..Faults::none() };
        let fates = [0.0, 0.24, 0.25, 0.49, 0.5, 0.74, 0.75, 0.99].map(|draw| faults.fate(draw));
        use Fate::{Answer, Drop, Error, Timeout};
        assert_eq!(fates, [Error, Error, Drop, Drop, Timeout, Timeout, Answer, Answer]);
        assert_eq!(Faults { drop_rate: 1.0, ..Faults::none() }.fate(0.999), Drop);
        assert_eq!(Faults::none().fate(0.0), Answer);
    }

    #[test]
    fn jitter_only_adds() {
        let faults = Faults { latency_ms: 100, jitter_ms: 50, ..Faults::none() };
        assert_eq!(faults.delay(0.0), Duration::from_millis(100));
        assert_eq!(faults.delay(0.5), Duration::from_millis(125));
    }

    #[test]
    fn a_status_is_forced_with_its_delay() {
        let faults = Faults { response_code: Some(429), retry_after_s: Some(3), ..Faults::none() };
        assert_eq!(faults.forced(), Some(Forced::Status { status: 429, retry_after_s: Some(3) }));
        let faults = Faults { response_code: Some(1012), ..Faults::none() };
        assert_eq!(faults.forced(), Some(Forced::Refusal(Refusal::NoCredits)));
    }
}
