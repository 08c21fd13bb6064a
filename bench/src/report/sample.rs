//! One sample: a value, and what it cost.

use serde::Serialize;

use crate::load_process::Measured;
use crate::protocol::Latency;
use crate::usage::{Cpu, Memory};

/// Which of two releases is measured. Without `--against` there is only the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Release {
    /// The programs beside the benchmark, or those of `--programs`.
    This,
    /// The programs of `--against`.
    Other,
}

/// One sample of one measure.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Sample {
    /// Its round, from 1.
    pub round: u32,
    /// The value.
    pub value: f64,
    /// The value divided by its ceiling of the same round.
    pub ratio: Option<f64>,
    /// How long was measured.
    pub seconds: f64,
    /// Processor seconds of a thousand, by process.
    pub cpu_per_thousand: Cpu,
    /// Bytes at the end, by process.
    pub memory: Memory,
    /// Of the answers.
    pub latency: Option<Latency>,
    /// Connections that the server closed during the sample.
    pub reconnects: u64,
}

impl Sample {
    /// A value alone.
    #[must_use]
    pub fn of(value: f64) -> Self {
        Self { value, ..Self::default() }
    }

    /// A rate of work, with what it cost.
    #[must_use]
    pub fn rate(value: f64, measured: &Measured) -> Self {
        let outcome = &measured.outcome;
        Self {
            cpu_per_thousand: measured.cpu_per_thousand(value * outcome.seconds),
            ..Self::with(value, measured)
        }
    }

    /// Another value of the same work.
    #[must_use]
    pub fn with(value: f64, measured: &Measured) -> Self {
        let outcome = &measured.outcome;
        Self {
            value,
            seconds: outcome.seconds,
            memory: measured.memory.clone(),
            latency: (outcome.latency.count > 0).then_some(outcome.latency),
            reconnects: outcome.reconnects,
            ..Self::default()
        }
    }

    /// The same with its ratio to `divisor`.
    #[must_use]
    pub fn over(mut self, divisor: f64) -> Self {
        self.ratio = (divisor > 0.0).then(|| self.value / divisor);
        self
    }
}
