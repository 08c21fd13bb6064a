//! Carriers' codes as labels, a bounded number of them.

use std::sync::OnceLock;

use metrics::{Counter, Histogram, Label};

use super::catalogue::Metric;
use hulak_common::phone::{Carriers, PhoneNumber};

/// An installation's own table may have any number of carriers; those beyond share a label.
const MOST: usize = 32;
static CARRIERS: OnceLock<Labels> = OnceLock::new();

const OTHER: &str = "other";
const UNKNOWN: &str = "unknown";

/// The labels of these carriers; the first call counts.
pub(super) fn start(carriers: &Carriers) {
    CARRIERS.get_or_init(|| Labels::new(carriers.clone()));
}

/// The labels of the carriers that the process started with.
pub(super) fn labels() -> &'static Labels {
    CARRIERS.get_or_init(|| Labels::new(Carriers::builtin()))
}

/// A carrier, as a column of a table of handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column(usize);

/// The labels: up to [`MOST`] carriers, then `other` and `unknown`.
#[derive(Debug)]
pub(super) struct Labels {
    carriers: Carriers,
    codes: Vec<String>,
}

impl Labels {
    pub(super) fn new(carriers: Carriers) -> Self {
        let mut codes = carriers.codes();
        codes.truncate(MOST);
        Self { carriers, codes }
    }

    pub(super) fn of(&self, phone: PhoneNumber) -> Column {
        let others = self.codes.len();
        match self.carriers.lookup(&phone) {
            None => Column(others + 1),
            Some(code) => Column(self.codes.iter().position(|known| known == code).unwrap_or(others)),
        }
    }

    /// Every label; `other` only where there are more carriers than labels.
    fn each(&self) -> impl Iterator<Item = Label> + '_ {
        let codes = self.codes.iter().map(String::as_str).chain([OTHER, UNKNOWN]);
        codes.map(|code| Label::new("operator", code.to_owned()))
    }

    fn used(&self, column: usize) -> bool {
        column != self.codes.len() || self.codes.len() == MOST
    }
}

/// A counter for each carrier and each of a few kinds.
#[derive(Debug)]
pub(super) struct Counters {
    columns: usize,
    counters: Vec<Counter>,
}

impl Counters {
    /// `rows` are the labels of the kinds; a kind without one is not counted.
    pub(super) fn new(metric: &Metric, labels: &Labels, rows: &[Option<Label>]) -> Self {
        let mut counters = Vec::new();
        for row in rows {
            for (column, operator) in labels.each().enumerate() {
                counters.push(match row {
                    Some(row) if labels.used(column) => metric.counter(vec![row.clone(), operator]),
                    _ => Counter::noop(),
                });
            }
        }
        Self { columns: labels.codes.len() + 2, counters }
    }

    /// Counters of one kind only.
    pub(super) fn plain(metric: &Metric, labels: &Labels) -> Self {
        let counter = |(column, operator)| match labels.used(column) {
            true => metric.counter(vec![operator]),
            false => Counter::noop(),
        };
        Self { columns: labels.codes.len() + 2, counters: labels.each().enumerate().map(counter).collect() }
    }

    pub(super) fn add(&self, row: usize, Column(column): Column, count: u64) {
        if let Some(counter) = self.counters.get(row * self.columns + column) {
            counter.increment(count);
        }
    }
}

/// A histogram for each carrier.
#[derive(Debug)]
pub(super) struct Histograms(Vec<Histogram>);

impl Histograms {
    pub(super) fn new(metric: &Metric, labels: &Labels) -> Self {
        let histogram = |(column, operator)| match labels.used(column) {
            true => metric.histogram(vec![operator]),
            false => Histogram::noop(),
        };
        Self(labels.each().enumerate().map(histogram).collect())
    }

    pub(super) fn record(&self, Column(column): Column, took: std::time::Duration) {
        if let Some(histogram) = self.0.get(column) {
            histogram.record(took.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(labels: &Labels, phone: &str) -> String {
        let Column(column) = labels.of(PhoneNumber::parse(phone).unwrap());
        labels.each().nth(column).unwrap().value().to_owned()
    }

    #[test]
    fn a_number_has_its_operators_label() {
        let labels = Labels::new(Carriers::builtin());
        assert_eq!(label(&labels, "9841234567"), "ntc");
        assert_eq!(label(&labels, "9801234567"), "ncell");
        assert_eq!(label(&labels, "9831234567"), UNKNOWN);
    }

    #[test]
    fn a_table_of_any_length_makes_a_bounded_number_of_labels() {
        let table: String = (100..900).map(|n| format!("op-{n} = [\"98{n}\"]\n")).collect();
        let labels = Labels::new(Carriers::parse(&table).unwrap());
        assert_eq!(labels.each().count(), MOST + 2);
        assert_eq!(label(&labels, "9810012345"), "op-100");
        assert_eq!(label(&labels, "9889912345"), OTHER);
        assert_eq!(label(&labels, "9700000000"), UNKNOWN);
    }
}
