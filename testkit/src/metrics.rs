//! What `/metrics` says, read as strictly as Prometheus reads it.

use std::collections::{BTreeMap, BTreeSet};

/// A sample's name and labels, sorted by label: `name{a="1",b="2"}`.
type Series = String;

/// The metrics of one program at one moment.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    samples: BTreeMap<Series, f64>,
    /// By name: its type.
    kinds: BTreeMap<String, String>,
    helped: BTreeSet<String>,
    /// Every label with every value it has somewhere.
    labels: BTreeMap<String, BTreeSet<String>>,
}

impl Metrics {
    /// Reads them from an admin address.
    ///
    /// # Panics
    /// When there is no answer, or it cannot be read.
    pub async fn of(http: &reqwest::Client, admin: &str) -> Self {
        let answer = http.get(format!("{admin}/metrics")).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let media = answer.headers()["content-type"].to_str().expect("a media type").to_owned();
        assert!(media.starts_with("text/plain; version=0.0.4"), "{media}");
        Self::parse(&answer.text().await.expect("a body"))
    }

    /// Reads the text format.
    ///
    /// # Panics
    /// When something in it is not as the format wants it, a sample has no type or help, or a series comes twice.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut metrics = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help");
                assert!(!help.is_empty() && metrics.helped.insert(name.to_owned()), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(metrics.kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
            } else {
                metrics.sample(line);
            }
        }
        metrics
    }

    fn sample(&mut self, line: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => {
                (name, labels.strip_suffix('}').unwrap_or_else(|| panic!("no end: {line}")))
            }
            None => (series, ""),
        };
        let family = self.family(name).unwrap_or_else(|| panic!("without a type: {line}"));
        assert!(self.helped.contains(&family), "without a help: {line}");
        let mut sorted = BTreeMap::new();
        for label in labels.split("\",").filter(|label| !label.is_empty()) {
            let (label, value) = label.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
            let value = value.trim_end_matches('"');
            self.labels.entry(label.to_owned()).or_default().insert(value.to_owned());
            assert!(sorted.insert(label, value).is_none(), "a label twice: {line}");
        }
        assert!(self.samples.insert(series_of(name, &sorted), value).is_none(), "twice: {line}");
    }

    /// The metric that a sample belongs to.
    fn family(&self, name: &str) -> Option<String> {
        let parts = ["_bucket", "_sum", "_count"].into_iter().filter_map(|part| name.strip_suffix(part));
        let family =
            parts.into_iter().find(|family| self.kinds.get(*family).is_some_and(|kind| kind == "histogram"));
        family.or_else(|| self.kinds.contains_key(name).then_some(name)).map(str::to_owned)
    }

    /// A sample's value; `None` when there is no such series.
    #[must_use]
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.samples.get(&series_of(name, &labels.iter().copied().collect())).copied()
    }

    /// How much a sample has grown since `before`.
    ///
    /// # Panics
    /// When there is no such series now.
    #[must_use]
    pub fn since(&self, before: &Self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let now = self.get(name, labels).unwrap_or_else(|| panic!("no {name} {labels:?}"));
        now - before.get(name, labels).unwrap_or(0.0)
    }

    /// The names of all metrics; a histogram has one.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }

    /// Every label, with every value it has somewhere.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, BTreeSet<String>> {
        &self.labels
    }

    /// How many series there are.
    #[must_use]
    pub fn series(&self) -> usize {
        self.samples.len()
    }
}

fn series_of(name: &str, labels: &BTreeMap<&str, &str>) -> Series {
    let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    format!("{name}{{{}}}", labels.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_by_name_and_labels() {
        let metrics = Metrics::parse(
            "# HELP a_total Some.\n# TYPE a_total counter\na_total{y=\"2\",x=\"1\"} 3\n\n# HELP b Some.\n# TYPE b histogram\nb_bucket{le=\"+Inf\"} 1\nb_sum 0.5\nb_count 1\n",
        );
        assert_eq!(metrics.get("a_total", &[("x", "1"), ("y", "2")]), Some(3.0));
        assert_eq!(metrics.get("b_sum", &[]), Some(0.5));
        assert_eq!(metrics.names().collect::<Vec<_>>(), ["a_total", "b"]);
    }

    #[test]
    #[should_panic(expected = "without a help")]
    fn a_metric_needs_a_help() {
        let _refused = Metrics::parse("# TYPE a counter\na 1\n");
    }
}
