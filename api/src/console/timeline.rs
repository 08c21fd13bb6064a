//! The timeline of a verification in words.

use std::time::Duration;

use hulak_common::timeline::Event;
use hulak_common::verification::Status;

use super::format;

/// How an event is shown.
#[derive(Debug)]
pub(super) struct Description {
    /// Its colour: `good`, `warn`, `bad`, or none.
    pub(super) class: &'static str,
    /// What happened.
    pub(super) what: String,
    /// Why, in sentences; empty when there is nothing to say.
    pub(super) why: String,
}

/// Describes an event.
pub(super) fn describe(event: &Event) -> Description {
    let message = |seq: &i32| format!("Message {seq}");
    let wait = |millis: &u64| format::span(Duration::from_millis(*millis));
    let nothing = String::new;
    let (class, what, why) = match event {
        Event::Asked { seq: 1, .. } => {
            ("", "A code was requested; message 1 is queued".to_owned(), nothing())
        }
        Event::Asked { seq, new_code } => {
            let code = if *new_code { "a new code" } else { "the same code" };
            ("", format!("{} was requested, with {code}", message(seq)), nothing())
        }
        Event::Claimed { seq } => ("", format!("{}: a worker calls the gateway", message(seq)), nothing()),
        Event::Accepted { seq } => ("good", format!("{}: the gateway accepted it", message(seq)), nothing()),
        Event::Failed { seq, error: why } => {
            ("bad", format!("{} failed for good", message(seq)), format::error(*why))
        }
        Event::Again { seq, wait: millis, error: why } => {
            ("warn", format!("{} will be retried in {}", message(seq), wait(millis)), format::error(*why))
        }
        Event::Paced { seq, wait: millis } => (
            "",
            format!("{} waits {}", message(seq), wait(millis)),
            "Another message was sent to this number a moment ago.".to_owned(),
        ),
        Event::Unknown { seq, error: why } => {
            ("warn", format!("{}: the outcome is unknown", message(seq)), format::error(*why))
        }
        Event::TooLate { seq } => {
            ("bad", format!("{} was not sent: the code had expired", message(seq)), nothing())
        }
        Event::NotNeeded { seq } => {
            ("", format!("{} was not sent: the verification had ended", message(seq)), nothing())
        }
        Event::WrongCode { left } => {
            let more = if *left == 1 { "1 try left".to_owned() } else { format!("{left} tries left") };
            ("warn", "A wrong code was entered".to_owned(), format!("{}.", format::sentence(&more)))
        }
        Event::Ended(status) => {
            let (class, text) = match status {
                Status::Approved => ("good", "Approved: the correct code was entered"),
                Status::Expired => ("bad", "Expired: the correct code was not entered in time"),
                Status::Failed => ("bad", "Failed: too many wrong codes"),
                Status::Canceled => ("", "Canceled by the application"),
                Status::Pending => ("", "Pending"),
            };
            (class, text.to_owned(), nothing())
        }
    };
    Description { class, what, why }
}
