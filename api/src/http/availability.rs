//! What the health of the database means for a request.

use hulak_store::{Health, Monitor, StoreError};

use crate::http::problem::Problem;

/// Refuses at once while the database is known to be away.
///
/// # Errors
/// 503 `unavailable`.
pub(crate) fn require_store(monitor: &Monitor) -> Result<(), Problem> {
    if monitor.health() == Health::Up { Ok(()) } else { Err(Problem::unavailable()) }
}

/// Turns an error of the store into an answer. When the database did not answer, the monitor checks it.
pub(crate) fn problem(monitor: &Monitor, error: &StoreError) -> Problem {
    if matches!(error, StoreError::Unavailable(_)) {
        monitor.report_trouble();
    }
    Problem::from(error)
}
