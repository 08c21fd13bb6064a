//! Numbers, times and errors as people read them.

use std::time::Duration;

use hulak_common::gateway_codes::{GatewayCode, meaning};
use hulak_common::time::Timestamp;
use hulak_common::verification::{DeliveryError, DeliveryFault};

/// What a code of the gateway means, as a sentence.
pub(super) fn gateway_code(code: GatewayCode) -> String {
    let meaning = meaning(code).unwrap_or("a code that its documentation does not list");
    format!("The gateway says {code}: {meaning}.")
}

/// Why a message failed, by the name of its error.
pub(super) fn fault(name: &str) -> &str {
    match name {
        "invalid-receiver" => "the gateway does not know the receiver",
        "invalid-message" => "the gateway refuses the message",
        "gateway-unavailable" => "the gateway cannot be reached",
        "account-refused" => "the gateway refuses the account",
        "no-answer" => "the gateway did not answer",
        "worker-lost" => "the worker stopped while it was sending",
        "too-late" => "the code expired first",
        other => other,
    }
}

/// Why a message failed, as sentences; empty without an error.
pub(super) fn error(error: Option<DeliveryError>) -> String {
    match error {
        None => String::new(),
        Some(DeliveryError { code, gateway_code: None }) => format!("{}.", sentence(fault(code.as_str()))),
        Some(DeliveryError { code: DeliveryFault::InvalidReceiver, gateway_code: Some(own) }) => {
            format!("{} (gateway code {own}).", sentence(fault("invalid-receiver")))
        }
        Some(DeliveryError { code, gateway_code: Some(own) }) => {
            format!("{}. {}", sentence(fault(code.as_str())), gateway_code(own))
        }
    }
}

/// The text with a capital letter at its beginning.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// `850 ms`, `12 s`, `3 min 5 s`, `2 h 10 min`, `4 days`.
pub(super) fn span(span: Duration) -> String {
    let (seconds, millis) = (span.as_secs(), span.as_millis());
    match seconds {
        0 => format!("{millis} ms"),
        1..60 => format!("{seconds} s"),
        60..3_600 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..172_800 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A time in seconds: `250 ms`, `1.5 s`, `3 min 5 s`; `–` when there is none.
pub(super) fn seconds(seconds: Option<f64>) -> String {
    match seconds {
        None => "–".to_owned(),
        Some(seconds) if seconds < 1.0 => format!("{:.0} ms", seconds * 1_000.0),
        Some(seconds) if seconds < 10.0 => format!("{seconds:.1} s"),
        Some(seconds) => span(Duration::from_secs_f64(seconds.min(1e9).round())),
    }
}

/// Days, rounded: `5 hours`, `2.5 days`.
pub(super) fn days(days: f64) -> String {
    if days < 1.0 {
        format!("{:.0} hours", (days * 24.0).max(0.0))
    } else if days < 10.0 {
        format!("{days:.1} days")
    } else {
        format!("{days:.0} days")
    }
}

/// `1,234,567`.
pub(super) fn number(number: impl Into<i128>) -> String {
    let number: i128 = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        text.push('-');
    }
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share in whole percents; `–` of nothing.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "–".to_owned() } else { format!("{:.0} %", part as f64 * 100.0 / whole as f64) }
}

/// A moment in Nepal time, where the operators are: `2026-11-25 01:45:00`.
pub(super) fn moment(at: Timestamp) -> String {
    let nepal = at + Duration::from_secs(5 * 3_600 + 45 * 60);
    let text = nepal.to_string();
    match (text.get(..10), text.get(11..19)) {
        (Some(day), Some(time)) => format!("{day} {time}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!(number(1_234_567_u64), "1,234,567");
        assert_eq!((number(999_u64), number(-1_000_i64)), ("999".to_owned(), "-1,000".to_owned()));
        assert_eq!(span(Duration::from_millis(850)), "850 ms");
        assert_eq!(span(Duration::from_secs(125)), "2 min 5 s");
        assert_eq!(seconds(Some(0.25)), "250 ms");
        assert_eq!(moment("2026-11-24T20:00:00Z".parse().unwrap()), "2026-11-25 01:45:00");
        assert_eq!((percent(1, 3), percent(0, 0)), ("33 %".to_owned(), "–".to_owned()));
    }

    #[test]
    fn an_error_is_a_sentence_with_the_gateways_code() {
        let why = |code, own| error(Some(DeliveryError { code, gateway_code: GatewayCode::new(own) }));
        assert_eq!(
            why(DeliveryFault::InvalidReceiver, "1007"),
            "The gateway does not know the receiver (gateway code 1007)."
        );
        assert_eq!(
            why(DeliveryFault::AccountRefused, "1012"),
            "The gateway refuses the account. The gateway says 1012: no credits left."
        );
    }
}
