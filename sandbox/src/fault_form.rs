//! The faults on the inbox's page: those that are set, and a form that changes them.

use maud::{Markup, html};

use crate::faults::{FORCED_STATUSES, Faults};
use crate::refusal::Refusal;

/// Answers that take longer than this are mentioned.
const SLOW_MS: u64 = 1_000;

/// Presets: the name, and the body of the `PUT /faults` that makes them.
const PRESETS: [(&str, &str); 6] = [
    ("No faults", "{}"),
    ("Slow", "{\"latency_ms\":3000,\"jitter_ms\":2000}"),
    ("Flaky", "{\"error_rate\":0.2,\"drop_rate\":0.05}"),
    ("No answers", "{\"timeout_rate\":1}"),
    ("Down", "{\"response_code\":503}"),
    ("No credits", "{\"response_code\":1012}"),
];

/// The faults that are set, in words; `None` when there are none.
pub(crate) fn describe(faults: &Faults, credits: u64) -> Option<String> {
    let mut words = Vec::new();
    if credits == 0 {
        words.push("There are no credits left, so every message is refused.".to_owned());
    }
    if let Some(code) = faults.response_code {
        words.push(format!("Every call is answered {}.", answer(code)));
    }
    for (rate, what) in [
        (faults.error_rate, "of the calls fail with HTTP 500"),
        (faults.drop_rate, "of the answers are lost"),
        (faults.timeout_rate, "of the calls get no answer for a minute"),
    ] {
        if rate > 0.0 {
            words.push(format!("{} % {what}.", percent(rate)));
        }
    }
    if faults.latency_ms + faults.jitter_ms > SLOW_MS {
        words.push(format!("Answers take {}.", span(faults.latency_ms, faults.jitter_ms)));
    }
    (!words.is_empty()).then(|| words.join(" "))
}

/// A forced code with its name: `1012 (No Credits Available)`.
fn answer(code: u16) -> String {
    Refusal::from_code(code).map_or_else(|| format!("HTTP {code}"), |refusal| format!("{code} ({refusal})"))
}

fn span(latency_ms: u64, jitter_ms: u64) -> String {
    if jitter_ms == 0 {
        return format!("{latency_ms} ms");
    }
    format!("{latency_ms} to {} ms", latency_ms + jitter_ms)
}

/// A share in percent, without zeros at its end.
fn percent(rate: f64) -> String {
    let text = format!("{:.2}", rate * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The form. It needs the script: HTML forms cannot send a `PUT`.
pub(crate) fn render(faults: &Faults, credits: u64) -> Markup {
    let retry = faults.retry_after_s.map(|seconds| seconds.to_string()).unwrap_or_default();
    let rates = [
        ("error_rate", "HTTP 500, %", faults.error_rate),
        ("drop_rate", "Answer lost, %", faults.drop_rate),
        ("timeout_rate", "No answer, %", faults.timeout_rate),
    ];
    html! {
        section ."card stack scripted" {
            h2 { "Faults" }
            p ."soft small" { "See what your app does when the gateway fails." }
            div ."row presets" role="group" aria-label="Fault presets" {
                @for (name, fields) in PRESETS {
                    button .small type="button" data-preset=(fields) { (name) }
                }
            }
            details {
                summary { "Set each fault" }
                form #faults .stack {
                    (answers(faults.response_code))
                    (field("retry_after_s", "Retry-After, seconds", html! {
                        input #retry_after_s name="retry_after_s" type="number" inputmode="decimal" min="0"
                            max="86400" value=(retry);
                    }))
                    div ."grid pair" {
                        (number("latency_ms", "Latency, ms", faults.latency_ms, Some(60_000)))
                        (number("jitter_ms", "Jitter, ms", faults.jitter_ms, Some(60_000)))
                    }
                    div ."grid pair" {
                        @for (name, label, rate) in rates {
                            (field(name, label, html! {
                                input id=(name) name=(name) type="number" inputmode="decimal" min="0" max="100"
                                    value=(percent(rate)) required step="any" data-percent;
                            }))
                        }
                        (number("credits", "Credits", credits, None))
                    }
                    p #faults-error ."message bad" role="alert" {}
                    button .primary { "Apply" }
                }
            }
        }
    }
}

fn answers(forced: Option<u16>) -> Markup {
    let option = |code| html! { option value=(code) selected[forced == Some(code)] { (answer(code)) } };
    html! {
        div .field {
            label for="response_code" { "Every call is answered" }
            select #response_code name="response_code" {
                option value="" { "normally" }
                optgroup label="Gateway errors" {
                    @for refusal in Refusal::ALL { (option(refusal.code())) }
                }
                optgroup label="HTTP" {
                    @for code in FORCED_STATUSES { (option(code)) }
                }
            }
        }
    }
}

fn field(name: &str, label: &str, input: Markup) -> Markup {
    html! { div .field { label for=(name) { (label) } (input) } }
}

/// A whole number that the form needs.
fn number(name: &str, label: &str, value: u64, max: Option<u64>) -> Markup {
    field(
        name,
        label,
        html! {
            input id=(name) name=(name) type="number" inputmode="decimal" min="0" max=[max] value=(value)
                required;
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Change;

    #[test]
    fn the_faults_that_are_set_are_described() {
        assert_eq!(describe(&Faults::default(), 1), None);
        assert_eq!(describe(&Faults { latency_ms: 1_000, ..Faults::none() }, 1), None);
        for (faults, words) in [
            (Faults { response_code: Some(1012), ..Faults::none() }, "answered 1012 (No Credits Available)."),
            (Faults { response_code: Some(503), ..Faults::none() }, "answered HTTP 503."),
            (Faults { error_rate: 0.125, ..Faults::none() }, "12.5 % of the calls fail"),
            (Faults { timeout_rate: 1.0, ..Faults::none() }, "100 % of the calls get no answer"),
            (Faults { latency_ms: 900, jitter_ms: 200, ..Faults::none() }, "take 900 to 1100 ms."),
        ] {
            let said = describe(&faults, 1).unwrap();
            assert!(said.contains(words), "{said}");
        }
        assert!(describe(&Faults::none(), 0).unwrap().contains("no credits left"));
    }

    #[test]
    fn every_preset_is_valid() {
        for (name, fields) in PRESETS {
            let fields: serde_json::Value = serde_json::from_str(fields).unwrap();
            Change::read(Faults::default(), fields.as_object().unwrap())
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
