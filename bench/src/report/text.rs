//! The report as Markdown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::measures::{Rating, Target};
use super::results::{Comparison, Report, Row};
use super::sample::Sample;
use crate::options::OPEN_LOOP_FACTOR;
use crate::stats::Spread;

pub(super) fn markdown(report: &Report) -> String {
    let (rows, mut text) = (report.rows(), String::new());
    head(&mut text, report);
    comparisons(&mut text, &report.comparisons());
    results(&mut text, &rows);
    latencies(&mut text, &rows);
    cost(&mut text, &rows);
    memory(&mut text, &rows);
    text
}

/// Writing to a string cannot fail.
macro_rules! line {
    ($text:expr, $($argument:tt)*) => {
        let _cannot_fail = writeln!($text, $($argument)*);
    };
}

fn head(text: &mut String, report: &Report) {
    let (options, machine) = (&report.options, &report.machine);
    line!(text, "# Benchmark\n");
    if !options.is_a_measurement() {
        line!(
            text,
            "**Not a valid measurement**: fewer than three rounds of 15 s, or programs built for development.\n"
        );
    }
    let gib = machine.memory as f64 / f64::from(1 << 30);
    line!(text, "| | |\n|---|---|");
    line!(
        text,
        "| machine | {} × {}, {gib:.0} GiB, Linux {} |",
        machine.cores,
        machine.model,
        machine.kernel
    );
    line!(
        text,
        "| versions | Hulak {}, {}, PostgreSQL {}, RabbitMQ {} |",
        machine.revision,
        machine.rustc,
        machine.versions.postgres,
        machine.versions.rabbitmq
    );
    line!(
        text,
        "| run | {} rounds, samples of {} s (in open loops: {} s) after {} s of warm-up, load before the start {} |",
        options.rounds,
        options.seconds,
        options.seconds * OPEN_LOOP_FACTOR,
        options.warmup,
        machine.load_before
    );
    line!(text, "\nEverything ran on this one machine: load, programs, simulator, PostgreSQL, RabbitMQ.\n");
    for note in &report.notes {
        line!(text, "- {note}");
    }
    line!(text, "");
}

fn comparisons(text: &mut String, comparisons: &[Comparison]) {
    if comparisons.is_empty() {
        return;
    }
    line!(
        text,
        "## Both releases\n\nThis release divided by the other one, round by round, and the median.\n"
    );
    line!(text, "| measure | this | other | by round | median |\n|---|---|---|---|---|");
    for Comparison { measure, this, other, ratios, ratio } in comparisons {
        let by_round: Vec<_> = ratios.iter().map(|ratio| format!("{ratio:.3}")).collect();
        line!(
            text,
            "| {} | {} {unit} | {} {unit} | {} | {:.3} |",
            measure.title,
            spread(this, digits(this.median)),
            spread(other, digits(other.median)),
            by_round.join(" "),
            ratio.median,
            unit = measure.unit
        );
    }
    line!(text, "");
}

fn results(text: &mut String, rows: &[Row<'_>]) {
    line!(
        text,
        "## Results\n\nMedians of all rounds, with (smallest … largest). Each ratio is between values of the same round.\n"
    );
    line!(text, "| measure | value | ratio | bound | goal | |\n|---|---|---|---|---|---|");
    for row in rows {
        let measure = row.measure;
        let value = format!("{} {}", spread(&row.value, digits(row.value.median)), measure.unit);
        let ratio = row.ratio.map_or(String::new(), |ratio| {
            format!("{} of {}", spread(&ratio, 2), measure.divisor.unwrap_or("?"))
        });
        let (must, want) = measure.target.map(Target::texts).unwrap_or_default();
        let rating = match row.rating {
            None => "",
            Some(Rating::Good) => "goal reached",
            Some(Rating::Ok) => "ok",
            Some(Rating::Missed) => "**missed**",
        };
        line!(text, "| {} | {value} | {ratio} | {must} | {want} | {rating} |", measure.title);
    }
}

fn latencies(text: &mut String, rows: &[Row<'_>]) {
    let rows: Vec<_> =
        rows.iter().filter(|row| row.samples.iter().any(|sample| sample.latency.is_some())).collect();
    if rows.is_empty() {
        return;
    }
    line!(
        text,
        "\n## Latencies\n\nMilliseconds, medians of the rounds. In a closed loop they depend on the number of connections."
    );
    line!(
        text,
        "The rows \"at half its ceiling\" are of open loops: measured from the time when each request was due.\n"
    );
    line!(text, "| measure | p50 | p90 | p99 | p99.9 | slowest |\n|---|---|---|---|---|---|");
    for row in rows {
        let of = |pick: fn(&crate::protocol::Latency) -> f64| {
            let picked =
                Spread::of(row.samples.iter().filter_map(|sample| sample.latency.as_ref().map(pick)));
            picked.map_or(String::new(), |spread| format!("{:.1}", spread.median))
        };
        let (p50, p90, p99) = (of(|l| l.p50), of(|l| l.p90), of(|l| l.p99));
        line!(
            text,
            "| {} | {p50} | {p90} | {p99} | {} | {} |",
            row.measure.title,
            of(|l| l.p999),
            of(|l| l.max)
        );
    }
}

fn cost(text: &mut String, rows: &[Row<'_>]) {
    let of = |sample: &Sample| sample.cpu_per_thousand.clone();
    let note = "Processor seconds of a thousand requests or messages, by program; PostgreSQL and RabbitMQ with their child processes.";
    by_process(text, rows, &format!("## Processor time\n\n{note}"), of, |seconds| format!("{seconds:.3}"));
}

fn memory(text: &mut String, rows: &[Row<'_>]) {
    let of =
        |sample: &Sample| sample.memory.iter().map(|(name, bytes)| (name.clone(), *bytes as f64)).collect();
    let note = "MB at the end of the samples; all workers together.";
    by_process(text, rows, &format!("## Memory\n\n{note}"), of, |bytes| format!("{:.0}", bytes / 1e6));
}

fn by_process(
    text: &mut String,
    rows: &[Row<'_>],
    title: &str,
    of: impl Fn(&Sample) -> BTreeMap<String, f64>,
    show: impl Fn(f64) -> String,
) {
    let names: BTreeSet<String> =
        rows.iter().flat_map(|row| row.samples.iter().flat_map(|sample| of(sample).into_keys())).collect();
    if names.is_empty() {
        return;
    }
    let columns = names.iter().map(String::as_str).collect::<Vec<_>>().join(" | ");
    line!(text, "\n{title}\n\n| measure | {columns} |\n|---{}|", "|---".repeat(names.len()));
    for row in rows.iter().filter(|row| row.samples.iter().any(|sample| !of(sample).is_empty())) {
        let cell = |name: &String| {
            let values = Spread::of(row.samples.iter().filter_map(|sample| of(sample).get(name).copied()));
            values.map_or(String::new(), |values| show(values.median))
        };
        let cells = names.iter().map(cell).collect::<Vec<_>>().join(" | ");
        line!(text, "| {} | {cells} |", row.measure.title);
    }
}

fn digits(value: f64) -> usize {
    if value >= 100.0 { 0 } else { 1 }
}

fn spread(spread: &Spread, digits: usize) -> String {
    let Spread { median, min, max, samples } = spread;
    if *samples == 1 {
        return format!("{median:.digits$}");
    }
    format!("{median:.digits$} ({min:.digits$} … {max:.digits$})")
}
