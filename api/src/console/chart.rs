//! Charts as SVG, drawn where the figures are. Colours and strokes are the stylesheet's; a table behind each chart has the
//! figures for those who do not see it.

use std::fmt::Write as _;

use hulak_common::time::Timestamp;
use hulak_runtime::html::escape;
use hulak_service::metrics_history::Span;

use super::words;

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 160.0;

/// One line or one layer of bars.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) values: Vec<u64>,
    /// Which of the stylesheet's colours: 1 to 4, or `good`, `bad`, `warn`.
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
    /// Said instead of an empty chart.
    pub(super) nothing: &'a str,
}

impl Chart<'_> {
    pub(super) fn html(&self) -> String {
        let Self { id, title, series, nothing, .. } = self;
        let mut out = String::with_capacity(16 * 1024);
        let totals: Vec<u64> = series.iter().map(|one| one.values.iter().sum()).collect();
        // Writing to a string does not fail.
        let _ = write!(
            out,
            "<figure class=\"card chart\" id=\"{id}\" aria-labelledby=\"{id}-title\"><figcaption>\
            <h3 id=\"{id}-title\">{}</h3><ul class=\"legend\" role=\"list\">",
            escape(title)
        );
        for (one, total) in series.iter().zip(&totals) {
            let _ = write!(
                out,
                "<li><span class=\"swatch c-{}\"></span>{} <b>{}</b></li>",
                one.colour,
                escape(&one.name),
                words::number(*total)
            );
        }
        out.push_str("</ul></figcaption>");
        if totals.iter().sum::<u64>() == 0 {
            let _ = write!(out, "<p class=\"nothing soft\">{}</p></figure>", escape(nothing));
            return out;
        }
        self.draw(&mut out);
        self.table(&mut out);
        out.push_str("</figure>");
        out
    }

    fn draw(&self, out: &mut String) {
        let bars = self.series.first().map_or(0, |one| one.values.len());
        let stacked: Vec<u64> =
            (0..bars).map(|n| self.series.iter().filter_map(|one| one.values.get(n)).sum()).collect();
        let top = nice(stacked.iter().copied().max().unwrap_or(0));
        let _ = write!(
            out,
            "<div class=\"plot\"><span class=\"top-value\" aria-hidden=\"true\">{}</span>\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">",
            words::number(top)
        );
        for line in 0..=2 {
            let y = HEIGHT * f64::from(line) / 2.0;
            let _ = write!(out, "<line class=\"rule\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{y}\" y2=\"{y}\"/>");
        }
        let width = WIDTH / bars.max(1) as f64;
        let mut below = vec![0_u64; bars];
        for one in &self.series {
            let _ = write!(out, "<path class=\"bar c-{}\" d=\"", one.colour);
            for (n, value) in one.values.iter().enumerate().filter(|(_, value)| **value > 0) {
                let scale = |value: u64| value as f64 / top as f64 * HEIGHT;
                let (height, base) = (scale(*value), HEIGHT - scale(below[n]));
                let (x, w) = (n as f64 * width + width * 0.12, width * 0.76);
                let _ = write!(out, "M{x:.1} {base:.1}v-{height:.1}h{w:.1}v{height:.1}z");
                below[n] += value;
            }
            out.push_str("\"/>");
        }
        let (from, step) = match self.span {
            Span::Hour => ("an hour ago", "a bar is a minute"),
            Span::Day => ("a day ago", "a bar is half an hour"),
        };
        let _ = write!(
            out,
            "</svg></div><p class=\"axis small faint\" aria-hidden=\"true\"><span>{from}</span><span>{step}</span><span>now</span></p>"
        );
    }

    fn table(&self, out: &mut String) {
        let _ = write!(
            out,
            "<details class=\"data\"><summary class=\"small\">Figures<span class=\"unseen\"> of: {}</span></summary>\
             <div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"{}, as a table\"><table><thead><tr><th scope=\"col\">From</th>",
            escape(self.title),
            escape(self.title)
        );
        for one in &self.series {
            let _ = write!(out, "<th scope=\"col\" class=\"number\">{}</th>", escape(&one.name));
        }
        out.push_str("</tr></thead><tbody>");
        let bars = self.series.first().map_or(0, |one| one.values.len());
        let step = self.span.step();
        let last = self.now.as_millis().div_euclid(step.as_millis() as i64) * step.as_millis() as i64;
        // The newest first; minutes in which nothing happened are left out.
        for n in (0..bars).rev() {
            let values: Vec<u64> =
                self.series.iter().map(|one| one.values.get(n).copied().unwrap_or(0)).collect();
            if values.iter().all(|value| *value == 0) {
                continue;
            }
            let back = (bars - 1 - n) as i64 * step.as_millis() as i64;
            let at = words::moment(Timestamp::from_millis(last - back));
            let _ = write!(out, "<tr><th scope=\"row\">{}</th>", at.get(11..16).unwrap_or(&at));
            for value in values {
                let _ = write!(out, "<td class=\"number\">{}</td>", words::number(value));
            }
            out.push_str("</tr>");
        }
        out.push_str("</tbody></table></div></details>");
    }
}

/// The next round number above.
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
        Chart { id: "c", title: "Messages", series, span: Span::Hour, now, nothing: "None." }.html()
    }

    #[test]
    fn bars_stand_on_each_other_and_fit() {
        let html = chart(vec![vec![0, 2], vec![0, 2]]);
        assert!(html.contains("&lt;sent&gt; <b>2</b>"), "{html}");
        // The second bar of the lower layer reaches half of the height, that of the upper layer the top.
        assert!(html.contains("M336.0 160.0v-80.0h228.0v80.0z"), "{html}");
        assert!(html.contains("M336.0 80.0v-80.0h228.0v80.0z"), "{html}");
        assert!(!html.contains("style="), "{html}");
    }

    #[test]
    fn nothing_is_said_in_words() {
        let html = chart(vec![vec![0; 60]]);
        assert!(html.contains("None.") && !html.contains("<svg"), "{html}");
    }

    #[test]
    fn tops_are_round() {
        let tops: Vec<_> = [0, 1, 4, 5, 11, 21, 41, 999, 1_001].into_iter().map(nice).collect();
        assert_eq!(tops, [4, 4, 4, 6, 14, 30, 60, 1_000, 1_400]);
        assert!(nice(u64::MAX) == u64::MAX);
    }
}
