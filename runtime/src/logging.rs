//! Logs: one line an event on stderr, as text or JSON. Codes, keys and whole phone numbers never get into them: their types
//! do not print them.

mod json;

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::JsonFields;

use hulak_common::text_enum::text_enum;

text_enum! {
    /// How log lines look.
    LogFormat {
        /// For people.
        Text => "text",
        /// For machines.
        Json => "json",
    }
}

/// Lines that may wait to be written. Beyond it the thread that logs waits.
const LINES: usize = 16_384;

/// How long lines are gathered, and so how many of them a `kill -9` may lose.
const GATHER: Duration = Duration::from_millis(10);

/// Writes the waiting lines when it is dropped.
static WRITING: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// A thread of its own writes the lines, all that wait at a time: a system call for each would cost more than most of the
/// work that they log.
fn writer() -> NonBlocking {
    let stderr = Gathering(BufWriter::with_capacity(1 << 16, io::stderr()));
    let (writer, guard) =
        NonBlockingBuilder::default().lossy(false).buffered_lines_limit(LINES).finish(stderr);
    *WRITING.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
    writer
}

/// Rests after each write. A thread that logs meanwhile need not wake the writer, which costs about as much as the line itself.
struct Gathering<W>(W);

impl<W: Write> Write for Gathering<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.0.flush();
        thread::sleep(GATHER);
        flushed
    }
}

/// Writes the waiting lines. Call it at the end of a program; later lines may be lost.
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
