//! Plain words for what machines say.

use std::time::Duration;

use hulak_common::time::Timestamp;
use hulak_common::timeline::Event;
use hulak_common::verification::{DeliveryError, DeliveryFault, Status};

/// What a code of the gateway means.
pub(super) fn gateway_code(code: i32) -> String {
    let meaning = match code {
        1000 => "a required field is missing",
        1001 => "our address is not on the account's list",
        1002 => "the token is wrong",
        1003 | 1004 => "the account is not active",
        1005 | 1006 => "the account has expired",
        1007 => "no such receiver",
        1008 => "the sender's name is not approved",
        1010 => "the text is empty",
        1011 => "no valid receiver",
        1012 => "no credits left",
        1013 => "not enough credits",
        _ => "a code that its documentation does not name",
    };
    format!("The gateway says {code}: {meaning}.")
}

/// Why a message failed.
pub(super) fn fault(name: &str) -> &str {
    match name {
        "invalid-receiver" => "the gateway knows no such receiver",
        "invalid-message" => "the gateway refuses the message",
        "gateway-unavailable" => "the gateway is not to be reached",
        "account-refused" => "the gateway refuses the account",
        "no-answer" => "the gateway did not answer",
        "worker-lost" => "the worker that was sending it died",
        "too-late" => "its code expired first",
        other => other,
    }
}

pub(super) fn error(error: Option<DeliveryError>) -> String {
    match error {
        None => String::new(),
        Some(DeliveryError { code, gateway_code: None }) => format!("{}.", sentence(fault(code.as_str()))),
        Some(DeliveryError { code: DeliveryFault::InvalidReceiver, gateway_code: Some(number) }) => {
            format!("{} (its code {number}).", sentence(fault("invalid-receiver")))
        }
        Some(DeliveryError { code, gateway_code: Some(number) }) => {
            format!("{}. {}", sentence(fault(code.as_str())), gateway_code(number))
        }
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// One entry of a story: how it is coloured, what happened, and why.
pub(super) fn event(event: &Event) -> (&'static str, String, String) {
    let message = |seq: &i32| format!("Message {seq}");
    let wait = |millis: &u64| span(Duration::from_millis(*millis));
    match event {
        Event::Asked { seq: 1, .. } => {
            ("", "A code was asked for; message 1 is queued".to_owned(), String::new())
        }
        Event::Asked { seq, new_code } => {
            let code = if *new_code { "a new code" } else { "the same code" };
            ("", format!("{} was asked for, with {code}", message(seq)), String::new())
        }
        Event::Claimed { seq } => {
            ("", format!("{}: a worker calls the gateway", message(seq)), String::new())
        }
        Event::Accepted { seq } => {
            ("good", format!("{}: the gateway accepted it", message(seq)), String::new())
        }
        Event::Failed { seq, error: why } => {
            ("bad", format!("{} failed for good", message(seq)), error(*why))
        }
        Event::Again { seq, wait: millis, error: why } => {
            ("warn", format!("{} is tried again in {}", message(seq), wait(millis)), error(*why))
        }
        Event::Paced { seq, wait: millis } => (
            "",
            format!("{} waits {}", message(seq), wait(millis)),
            "The number was sent another message a moment ago.".to_owned(),
        ),
        Event::Unknown { seq, error: why } => {
            ("warn", format!("{}: nobody knows whether it went out", message(seq)), error(*why))
        }
        Event::TooLate { seq } => {
            ("bad", format!("{} was not sent: its code had expired", message(seq)), String::new())
        }
        Event::NotNeeded { seq } => {
            ("", format!("{} was not sent: the verification had ended", message(seq)), String::new())
        }
        Event::WrongCode { left } => {
            let more = if *left == 1 { "1 more try".to_owned() } else { format!("{left} more tries") };
            ("warn", "A wrong code was typed".to_owned(), format!("{}.", sentence(&more)))
        }
        Event::Ended(status) => {
            let (class, text) = match status {
                Status::Approved => ("good", "Approved: the right code was typed"),
                Status::Expired => ("bad", "Expired: the right code did not come in time"),
                Status::Failed => ("bad", "Failed: too many wrong codes"),
                Status::Canceled => ("", "Canceled by the application"),
                Status::Pending => ("", "Pending"),
            };
            (class, text.to_owned(), String::new())
        }
    }
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

/// A time in seconds as people read it.
pub(super) fn seconds(seconds: Option<f64>) -> String {
    match seconds {
        None => "–".to_owned(),
        Some(seconds) if seconds < 1.0 => format!("{:.0} ms", seconds * 1_000.0),
        Some(seconds) if seconds < 10.0 => format!("{seconds:.1} s"),
        Some(seconds) => span(Duration::from_secs_f64(seconds.min(1e9).round())),
    }
}

/// Days, roughly.
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

/// A share in whole percents.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "–".to_owned() } else { format!("{:.0} %", part as f64 * 100.0 / whole as f64) }
}

/// A moment in Nepal, where those who read this sit: `24 Nov, 21:05:09`.
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
        let why = |code, number| error(Some(DeliveryError { code, gateway_code: Some(number) }));
        assert_eq!(
            why(DeliveryFault::InvalidReceiver, 1007),
            "The gateway knows no such receiver (its code 1007)."
        );
        assert_eq!(
            why(DeliveryFault::AccountRefused, 1012),
            "The gateway refuses the account. The gateway says 1012: no credits left."
        );
    }
}
