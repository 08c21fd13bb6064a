//! What was measured, for people and for machines.

mod figures;
mod text;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

pub use figures::{FIGURES, Figure, Target, Verdict};

use crate::BenchError;
use crate::config::Options;
use crate::driver::Measured;
use crate::machine::Machine;
use crate::process::{Cpu, Memory};
use crate::protocol::Latency;
use crate::stats::Spread;

/// One sample of one figure.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Sample {
    /// Its round, from 1.
    pub round: u32,
    /// The value.
    pub value: f64,
    /// Divided by what it is compared with, as measured in the same round.
    pub ratio: Option<f64>,
    /// How long was measured.
    pub seconds: f64,
    /// Processor seconds of a thousand, by process.
    pub cpu_per_thousand: Cpu,
    /// Bytes at the end, by process.
    pub memory: Memory,
    /// Of the answers.
    pub latency: Option<Latency>,
    /// Connections that the server closed meanwhile.
    pub reconnects: u64,
}

impl Sample {
    /// A value that is nothing but itself.
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

    /// The same, beside what it is compared with.
    #[must_use]
    pub fn over(mut self, divisor: f64) -> Self {
        self.ratio = (divisor > 0.0).then(|| self.value / divisor);
        self
    }
}

/// A run.
#[derive(Debug)]
pub struct Report {
    options: Options,
    machine: Machine,
    notes: Vec<String>,
    samples: BTreeMap<&'static str, Vec<Sample>>,
}

/// A figure over all rounds.
#[derive(Debug, Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    figure: &'static Figure,
    value: Spread,
    ratio: Option<Spread>,
    verdict: Option<Verdict>,
    samples: &'a [Sample],
}

#[derive(Serialize)]
struct Whole<'a> {
    a_measurement: bool,
    rounds: u32,
    seconds: f64,
    warmup: f64,
    machine: &'a Machine,
    notes: &'a [String],
    figures: Vec<Row<'a>>,
}

impl Report {
    /// Nothing is measured yet.
    #[must_use]
    pub fn new(options: Options, machine: Machine) -> Self {
        Self { options, machine, notes: Vec::new(), samples: BTreeMap::new() }
    }

    /// Something that a reader has to know.
    pub fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// One more sample.
    pub fn add(&mut self, key: &'static str, sample: Sample) {
        self.samples.entry(key).or_default().push(sample);
    }

    fn rows(&self) -> Vec<Row<'_>> {
        let row = |figure: &'static Figure| {
            let samples = self.samples.get(figure.key)?.as_slice();
            let value = Spread::of(samples.iter().map(|sample| sample.value))?;
            let ratio = Spread::of(samples.iter().filter_map(|sample| sample.ratio));
            let judged = figure.divisor.map_or(Some(value), |_| ratio);
            let verdict = figure.target.zip(judged).map(|(target, is)| target.judge(is.median));
            Some(Row { figure, value, ratio, verdict, samples })
        };
        FIGURES.iter().filter_map(row).collect()
    }

    /// For people.
    #[must_use]
    pub fn markdown(&self) -> String {
        text::markdown(self, &self.rows())
    }

    /// Writes both files.
    ///
    /// # Errors
    /// When the directory is not there.
    pub fn write(&self, directory: &Path) -> Result<(), BenchError> {
        let whole = Whole {
            a_measurement: self.options.is_a_measurement(),
            rounds: self.options.rounds,
            seconds: self.options.seconds,
            warmup: self.options.warmup,
            machine: &self.machine,
            notes: &self.notes,
            figures: self.rows(),
        };
        let mut json = serde_json::to_string_pretty(&whole)?;
        json.push('\n');
        std::fs::create_dir_all(directory)?;
        std::fs::write(directory.join("report.json"), json)?;
        Ok(std::fs::write(directory.join("report.md"), self.markdown())?)
    }
}
