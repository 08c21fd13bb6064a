//! What a request for a code came to. The API and hosted pages ask for codes, and answer in shapes of their own.

use axum::http::StatusCode;
use hulak_common::verification::Verification;
use hulak_store::Created;

use crate::app::App;
use crate::http::idempotency;
use crate::http::problem::{Kind, Problem};
use crate::verifications::problems::account_conflict;

/// What is answered with success.
#[expect(clippy::large_enum_variant, reason = "it is matched where it is made, and never kept")]
pub(crate) enum Outcome {
    /// This verification.
    Verification(StatusCode, Verification),
    /// The answer that was kept of the first request with this `Idempotency-Key`.
    Kept(String),
}

/// Publishes the message, if there is one. 202: a message is on its way. 200: this number's live verification, unchanged.
///
/// # Errors
/// All refusals of a request for a code.
pub(crate) fn outcome(app: &App, created: Created) -> Result<Outcome, Problem> {
    if let Some(message) = created.to_publish() {
        app.publisher.publish(message);
    }
    match created {
        Created::New(row) | Created::Again { verification: row, .. } => {
            Ok(Outcome::Verification(StatusCode::ACCEPTED, row))
        }
        Created::Live(row) => Ok(Outcome::Verification(StatusCode::OK, row)),
        Created::Answered(text) => Ok(Outcome::Kept(text)),
        Created::Blocked { until } => Err(Problem::blocked(until)),
        Created::Account(conflict) => Err(account_conflict(conflict)),
        Created::Limited(limit) => Err(Problem::limited(Kind::RateLimited, &limit, app.clock.now())),
        Created::KeyReused => Err(idempotency::reused()),
    }
}

/// The status and the verification that an answer is kept of. A refusal is not kept: another try may end otherwise.
pub(crate) fn to_keep(created: &Created) -> Option<(StatusCode, &Verification)> {
    match created {
        Created::New(row) | Created::Again { verification: row, .. } => Some((StatusCode::ACCEPTED, row)),
        Created::Live(row) => Some((StatusCode::OK, row)),
        _ => None,
    }
}
