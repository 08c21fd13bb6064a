//! The results: all samples of a run, by measure and by release.

use std::collections::BTreeMap;

use serde::Serialize;

use super::measures::{MEASURES, Measure, Rating};
use super::sample::{Release, Sample};
use crate::machine::Machine;
use crate::options::Options;
use crate::stats::Spread;

/// A run.
#[derive(Debug)]
pub struct Report {
    pub(super) options: Options,
    pub(super) machine: Machine,
    pub(super) notes: Vec<String>,
    samples: BTreeMap<(Release, &'static str), Vec<Sample>>,
}

/// A measure over all rounds.
#[derive(Debug, Serialize)]
pub(super) struct Row<'a> {
    #[serde(flatten)]
    pub(super) measure: &'static Measure,
    pub(super) value: Spread,
    pub(super) ratio: Option<Spread>,
    #[serde(rename = "verdict")]
    pub(super) rating: Option<Rating>,
    pub(super) samples: &'a [Sample],
}

/// A measure of both releases.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    #[serde(flatten)]
    pub(super) measure: &'static Measure,
    /// Of this release.
    pub(super) this: Spread,
    /// Of the other one.
    pub(super) other: Spread,
    /// This release's value divided by the other one's, round by round.
    pub(super) ratios: Vec<f64>,
    /// Of those.
    pub(super) ratio: Spread,
}

impl Report {
    /// A report without results yet.
    #[must_use]
    pub fn new(options: Options, machine: Machine) -> Self {
        Self { options, machine, notes: Vec::new(), samples: BTreeMap::new() }
    }

    /// Adds a remark for the reader, once.
    pub fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Adds a sample.
    pub fn add(&mut self, release: Release, key: &'static str, sample: Sample) {
        self.samples.entry((release, key)).or_default().push(sample);
    }

    pub(super) fn rows(&self) -> Vec<Row<'_>> {
        let row = |measure: &'static Measure| {
            let samples = self.samples.get(&(Release::This, measure.key))?.as_slice();
            let value = Spread::of(samples.iter().map(|sample| sample.value))?;
            let ratio = Spread::of(samples.iter().filter_map(|sample| sample.ratio));
            let rated = measure.divisor.map_or(Some(value), |_| ratio);
            let rating = measure.target.zip(rated).map(|(target, is)| target.rate(is.median));
            Some(Row { measure, value, ratio, rating, samples })
        };
        MEASURES.iter().filter_map(row).collect()
    }

    pub(super) fn comparisons(&self) -> Vec<Comparison> {
        let compare = |measure: &'static Measure| {
            let [this, other] = [Release::This, Release::Other]
                .map(|release| self.samples.get(&(release, measure.key)).map_or(&[][..], Vec::as_slice));
            let ratio = |sample: &Sample| {
                let same_round = other.iter().find(|other| other.round == sample.round)?;
                (same_round.value > 0.0).then(|| sample.value / same_round.value)
            };
            let ratios: Vec<f64> = this.iter().filter_map(ratio).collect();
            let spread = |samples: &[Sample]| Spread::of(samples.iter().map(|sample| sample.value));
            Some(Comparison {
                measure,
                this: spread(this)?,
                other: spread(other)?,
                ratio: Spread::of(ratios.iter().copied())?,
                ratios,
            })
        };
        MEASURES.iter().filter_map(compare).collect()
    }
}
