//! The report of a run: `report.md` for people, `report.json` for programs.

mod measures;
mod results;
mod sample;
mod text;

use std::path::Path;

use serde::Serialize;

pub use measures::{MEASURES, Measure, Rating, Target};
pub use results::Report;
use results::{Comparison, Row};
pub use sample::{Release, Sample};

use crate::error::BenchError;
use crate::machine::Machine;

#[derive(Serialize)]
struct Json<'a> {
    a_measurement: bool,
    rounds: u32,
    seconds: f64,
    warmup: f64,
    machine: &'a Machine,
    notes: &'a [String],
    figures: Vec<Row<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    comparisons: Vec<Comparison>,
}

impl Report {
    /// The report as text.
    #[must_use]
    pub fn markdown(&self) -> String {
        text::markdown(self)
    }

    /// Writes both files.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, directory: &Path) -> Result<(), BenchError> {
        let json = Json {
            a_measurement: self.options.is_a_measurement(),
            rounds: self.options.rounds,
            seconds: self.options.seconds,
            warmup: self.options.warmup,
            machine: &self.machine,
            notes: &self.notes,
            figures: self.rows(),
            comparisons: self.comparisons(),
        };
        let mut json = serde_json::to_string_pretty(&json)?;
        json.push('\n');
        std::fs::create_dir_all(directory)?;
        std::fs::write(directory.join("report.json"), json)?;
        Ok(std::fs::write(directory.join("report.md"), self.markdown())?)
    }
}
