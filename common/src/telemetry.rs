//! Logs. They go to stderr, one line an event, as text or JSON. Codes, keys and whole numbers never get here: their types do not
//! print them.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

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

/// Starts logging. `filter` is in the syntax of `tracing_subscriber::EnvFilter`, for instance `info,hulak_worker=debug`.
///
/// # Errors
/// When the filter cannot be read, with the reason.
pub fn init(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter = EnvFilter::builder().parse(filter).map_err(|error| error.to_string())?;
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter);
    match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|error| error.to_string())
}
