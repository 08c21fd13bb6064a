//! Logs. They go to stderr, one line an event, as text or JSON. Codes, keys and whole numbers never get here: their types do not
//! print them.

mod json;

use std::io::{BufWriter, IsTerminal as _};
use std::sync::{Mutex, PoisonError};

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::JsonFields;

use crate::text_enum::text_enum;

text_enum! {
    /// How log lines look.
    LogFormat {
        /// For people.
        Text => "text",
        /// For machines.
        Json => "json",
    }
}

/// Lines that may wait to be written. Beyond it whoever logs waits, as with a terminal that does not scroll.
const LINES: usize = 16_384;

/// Writes what is still waiting, when it is dropped.
static WRITING: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// Lines are written by a thread of its own, as many at a time as there are: a system call for each would cost more than
/// most of what they tell of.
fn writer() -> NonBlocking {
    let stderr = BufWriter::with_capacity(1 << 16, std::io::stderr());
    let (writer, guard) =
        NonBlockingBuilder::default().lossy(false).buffered_lines_limit(LINES).finish(stderr);
    *WRITING.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
    writer
}

/// Writes what is still waiting. Call it at the end of a program; what is logged later may be lost.
pub fn flush() {
    drop(WRITING.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// Starts logging. `filter` is in the syntax of `tracing_subscriber::EnvFilter`, for instance `info,hulak_worker=debug`.
///
/// # Errors
/// When the filter cannot be read, with the reason.
pub fn init(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter = EnvFilter::builder().parse(filter).map_err(|error| error.to_string())?;
    let builder = tracing_subscriber::fmt()
        .with_writer(writer())
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter);
    match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => {
            builder.json().event_format(json::JsonLine).fmt_fields(JsonFields::new()).try_init()
        }
    }
    .map_err(|error| error.to_string())
}
