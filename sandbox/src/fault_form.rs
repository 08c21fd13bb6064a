//! The faults on the inbox's page: what is wrong at present, and a form that changes it.

use std::fmt::Write as _;

use hulak_runtime::html::escape;

use crate::faults::{FORCED_STATUSES, Faults};
use crate::refusal::Refusal;

/// Answers that take longer than this are worth a word.
const SLOW_MS: u64 = 1_000;

/// Ready-made faults: name, and the body of the `PUT /faults` that makes them.
const PRESETS: [(&str, &str); 6] = [
    ("All well", "{}"),
    ("Slow", "{\"latency_ms\":3000,\"jitter_ms\":2000}"),
    ("Flaky", "{\"error_rate\":0.2,\"drop_rate\":0.05}"),
    ("No answers", "{\"timeout_rate\":1}"),
    ("Down", "{\"response_code\":503}"),
    ("No credits", "{\"response_code\":1012}"),
];

/// What is wrong at present, for people; `None` when nothing is.
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

/// A forced code with its words: `1012 (No Credits Available)`.
fn answer(code: u16) -> String {
    Refusal::from_code(code).map_or_else(|| format!("HTTP {code}"), |refusal| format!("{code} ({refusal})"))
}

fn span(latency_ms: u64, jitter_ms: u64) -> String {
    if jitter_ms == 0 {
        return format!("{latency_ms} ms");
    }
    format!("{latency_ms} to {} ms", latency_ms + jitter_ms)
}

/// A share as people write it: no digits that say nothing.
fn percent(rate: f64) -> String {
    let text = format!("{:.2}", rate * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The form. It works by the script: a browser's own forms know no `PUT`.
pub(crate) fn render(body: &mut String, faults: &Faults, credits: u64) {
    // Writing to a string does not fail.
    body.push_str(
        "<section class=\"card stack scripted\">\n<h2>Faults</h2>\n\
         <p class=\"soft small\">See how your app copes when the gateway does not.</p>\n\
         <div class=\"row presets\" role=\"group\" aria-label=\"Ready-made faults\">\n",
    );
    for (name, fields) in PRESETS {
        let fields = escape(fields);
        let _ = writeln!(
            body,
            "<button type=\"button\" class=\"small\" data-preset=\"{fields}\">{name}</button>"
        );
    }
    body.push_str(
        "</div>\n<details>\n<summary>Set each of them</summary>\n<form id=\"faults\" class=\"stack\">\n",
    );
    answers(body, faults.response_code);
    let retry = faults.retry_after_s.map(|seconds| seconds.to_string()).unwrap_or_default();
    number(body, "retry_after_s", "Retry-After, seconds", &retry, 86_400, "");
    body.push_str("<div class=\"grid pair\">\n");
    number(body, "latency_ms", "Latency, ms", &faults.latency_ms.to_string(), 60_000, "required");
    number(body, "jitter_ms", "Jitter, ms", &faults.jitter_ms.to_string(), 60_000, "required");
    body.push_str("</div>\n<div class=\"grid pair\">\n");
    for (name, label, rate) in [
        ("error_rate", "HTTP 500, %", faults.error_rate),
        ("drop_rate", "Answer lost, %", faults.drop_rate),
        ("timeout_rate", "No answer, %", faults.timeout_rate),
    ] {
        number(body, name, label, &percent(rate), 100, "required step=\"any\" data-percent");
    }
    number(body, "credits", "Credits", &credits.to_string(), u64::MAX, "required");
    body.push_str(
        "</div>\n<p class=\"message bad\" id=\"faults-error\" role=\"alert\"></p>\n\
         <button class=\"primary\">Apply</button>\n</form>\n</details>\n</section>\n",
    );
}

fn answers(body: &mut String, forced: Option<u16>) {
    body.push_str(
        "<div class=\"field\"><label for=\"response_code\">Every call is answered</label>\n\
         <select id=\"response_code\" name=\"response_code\">\n<option value=\"\">as it should be</option>\n\
         <optgroup label=\"Refusals of the gateway\">\n",
    );
    let codes = Refusal::ALL.into_iter().map(|refusal| refusal.code());
    for code in codes.clone() {
        option(body, code, forced);
    }
    body.push_str("</optgroup>\n<optgroup label=\"HTTP\">\n");
    for code in FORCED_STATUSES {
        option(body, code, forced);
    }
    body.push_str("</optgroup>\n</select></div>\n");
}

fn option(body: &mut String, code: u16, forced: Option<u16>) {
    let selected = if forced == Some(code) { " selected" } else { "" };
    let _ = writeln!(body, "<option value=\"{code}\"{selected}>{}</option>", escape(&answer(code)));
}

fn number(body: &mut String, name: &str, label: &str, value: &str, max: u64, more: &str) {
    let max = if max == u64::MAX { String::new() } else { format!(" max=\"{max}\"") };
    let _ = writeln!(
        body,
        "<div class=\"field\"><label for=\"{name}\">{label}</label>\n\
         <input id=\"{name}\" name=\"{name}\" type=\"number\" inputmode=\"decimal\" min=\"0\"{max} value=\"{value}\" {more}></div>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Change;

    #[test]
    fn what_is_wrong_is_said() {
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
    fn every_preset_can_be_taken() {
        for (name, fields) in PRESETS {
            let fields: serde_json::Value = serde_json::from_str(fields).unwrap();
            Change::read(Faults::default(), fields.as_object().unwrap())
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
