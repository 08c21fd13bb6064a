//! Charts as SVG, drawn on the server. Colours and strokes are in the stylesheet; a table behind each chart has its
//! numbers for people who cannot see the chart.

use std::fmt::Write as _;

use hulak_common::time::Timestamp;
use hulak_service::metrics_history::Span;
use maud::{Markup, html};

use super::format;
use super::layout::{self, Column, nothing};

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 160.0;

/// One layer of bars.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) values: Vec<u64>,
    /// One of the stylesheet's colours: 1 to 4, or `good`, `bad`, `warn`.
    pub(super) colour: &'static str,
}

/// A chart with its heading.
#[derive(Debug)]
pub(super) struct Chart<'a> {
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    pub(super) series: Vec<Series>,
    pub(super) span: Span,
    pub(super) now: Timestamp,
    /// Shown instead of an empty chart.
    pub(super) nothing: &'a str,
}

impl Chart<'_> {
    pub(super) fn render(&self) -> Markup {
        let Self { id, title, series, .. } = self;
        let totals: Vec<u64> = series.iter().map(|one| one.values.iter().sum()).collect();
        html! {
            figure .card .chart id=(id) aria-labelledby={ (id) "-title" } {
                figcaption {
                    h3 id={ (id) "-title" } { (title) }
                    ul .legend role="list" {
                        @for (one, total) in series.iter().zip(&totals) {
                            li {
                                span .swatch .{ "c-" (one.colour) } {}
                                (one.name) " " b { (format::number(*total)) }
                            }
                        }
                    }
                }
                @if totals.iter().all(|total| *total == 0) { (nothing(self.nothing)) }
                @else { (self.plot()) (self.table()) }
            }
        }
    }

    /// How many bars the chart has.
    fn bars(&self) -> usize {
        self.series.first().map_or(0, |one| one.values.len())
    }

    fn plot(&self) -> Markup {
        let stacked = (0..self.bars()).map(|n| self.series.iter().filter_map(|one| one.values.get(n)).sum());
        let top = nice(stacked.max().unwrap_or(0));
        let (from, step) = match self.span {
            Span::Hour => ("an hour ago", "a bar is a minute"),
            Span::Day => ("a day ago", "a bar is half an hour"),
        };
        html! {
            div .plot {
                span .top-value aria-hidden="true" { (format::number(top)) }
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" aria-hidden="true" {
                    @for y in [0.0, HEIGHT / 2.0, HEIGHT] {
                        line .rule x1="0" x2=(WIDTH) y1=(y) y2=(y) {}
                    }
                    @for (one, bars) in self.series.iter().zip(self.paths(top)) {
                        path .bar .{ "c-" (one.colour) } d=(bars) {}
                    }
                }
            }
            p ."axis small faint" aria-hidden="true" { span { (from) } span { (step) } span { "now" } }
        }
    }

    /// The bars of each series as an SVG path, each on top of those of the series before it.
    fn paths(&self, top: u64) -> Vec<String> {
        let scale = |value: u64| value as f64 / top as f64 * HEIGHT;
        let width = WIDTH / self.bars().max(1) as f64;
        let mut below = vec![0_u64; self.bars()];
        let path = |one: &Series| {
            let mut path = String::new();
            for (n, value) in one.values.iter().enumerate().filter(|(_, value)| **value > 0) {
                let (height, base) = (scale(*value), HEIGHT - scale(below[n]));
                let (x, w) = (n as f64 * width + width * 0.12, width * 0.76);
                // Writing to a string does not fail.
                let _ = write!(path, "M{x:.1} {base:.1}v-{height:.1}h{w:.1}v{height:.1}z");
                below[n] += value;
            }
            path
        };
        self.series.iter().map(path).collect()
    }

    fn table(&self) -> Markup {
        let bars = self.bars();
        let step = self.span.step().as_millis() as i64;
        let last = self.now.as_millis().div_euclid(step) * step;
        let columns = self.series.iter().map(|one| Column::Number(&one.name));
        let columns: Vec<_> = std::iter::once(Column::Text("From")).chain(columns).collect();
        let row = |n: usize| -> Vec<u64> {
            self.series.iter().map(|one| one.values.get(n).copied().unwrap_or(0)).collect()
        };
        let rows = html! {
            // The newest first, without the steps in which nothing happened.
            @for n in (0..bars).rev().filter(|n| row(*n).iter().any(|value| *value > 0)) {
                @let at = format::moment(Timestamp::from_millis(last - (bars - 1 - n) as i64 * step));
                tr {
                    th scope="row" { (at.get(11..16).unwrap_or(&at)) }
                    @for value in row(n) { td .number { (format::number(value)) } }
                }
            }
        };
        html! {
            details .data {
                summary .small { "Figures" span .unseen { " of: " (self.title) } }
                (layout::table(&format!("{}, as a table", self.title), &columns, rows))
            }
        }
    }
}

/// The top of the scale: the next round number.
fn nice(most: u64) -> u64 {
    let mut step = 1_u64;
    loop {
        for factor in [4, 6, 8, 10, 14, 20, 30] {
            let top = step.saturating_mul(factor);
            if top >= most || top == u64::MAX {
                return top;
            }
        }
        step = step.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: Vec<Vec<u64>>) -> String {
        let series = values
            .into_iter()
            .map(|values| Series { name: "<sent>".to_owned(), values, colour: "good" })
            .collect();
        let now = Timestamp::from_millis(1_800_000_000_000);
        Chart { id: "c", title: "Messages", series, span: Span::Hour, now, nothing: "None." }
            .render()
            .into_string()
    }

    #[test]
    fn bars_are_stacked_and_fit() {
        let html = chart(vec![vec![0, 2], vec![0, 2]]);
        assert!(html.contains("&lt;sent&gt; <b>2</b>"), "{html}");
        // The second bar of the lower layer reaches half of the height, that of the upper layer the top.
        assert!(html.contains("M336.0 160.0v-80.0h228.0v80.0z"), "{html}");
        assert!(html.contains("M336.0 80.0v-80.0h228.0v80.0z"), "{html}");
        assert!(!html.contains("style="), "{html}");
    }

    #[test]
    fn an_empty_chart_has_a_text() {
        let html = chart(vec![vec![0; 60]]);
        assert!(html.contains("None.") && !html.contains("<svg"), "{html}");
    }

    #[test]
    fn scales_end_at_round_numbers() {
        let tops: Vec<_> = [0, 1, 4, 5, 11, 21, 41, 999, 1_001].into_iter().map(nice).collect();
        assert_eq!(tops, [4, 4, 4, 6, 14, 30, 60, 1_000, 1_400]);
        assert!(nice(u64::MAX) == u64::MAX);
    }
}
