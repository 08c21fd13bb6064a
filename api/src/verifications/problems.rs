//! Problems that several calls of a verification answer.

use hulak_common::time::Timestamp;
use hulak_store::{AccountConflict, Checked, Ended};
use uuid::Uuid;

use crate::app::App;
use crate::http::idempotency;
use crate::http::problem::{FieldError, Kind, Problem};

/// What is wrong with an `account_id`.
pub(crate) const NO_ACCOUNT: &str = "must be the id of one of your accounts";

/// What is refused once a verification has ended.
pub(crate) const ENDED: &[Kind] =
    &[Kind::AlreadyApproved, Kind::VerificationCanceled, Kind::VerificationExpired, Kind::TooManyChecks];

/// Why a number cannot be verified for an account.
pub(crate) fn account_conflict(conflict: AccountConflict) -> Problem {
    match conflict {
        AccountConflict::Unknown => {
            Problem::fields(Kind::InvalidRequest, vec![FieldError::new("account_id", NO_ACCOUNT)])
        }
        AccountConflict::AlreadyVerified => {
            Problem::new(Kind::AlreadyVerified, "this number is verified on this account")
        }
        AccountConflict::PhoneTaken => {
            Problem::new(Kind::PhoneTaken, "this number is verified on another account")
        }
    }
}

/// What is answered about a verification that has ended.
pub(super) fn has_ended(ended: Ended, now: Timestamp) -> Problem {
    match ended {
        Ended::Expired => Problem::new(Kind::VerificationExpired, "its code is no longer good"),
        Ended::Approved => Problem::new(Kind::AlreadyApproved, "its code was used already"),
        Ended::Canceled => Problem::new(Kind::VerificationCanceled, "it was taken back"),
        Ended::Failed(limit) => Problem::limited(Kind::TooManyChecks, &limit, now),
    }
}

/// What is answered to a check that did not end in an approval.
pub(crate) fn check_refused(app: &App, id: Uuid, checked: &Checked) -> Problem {
    let ended = |ended| has_ended(ended, app.clock.now());
    match checked {
        Checked::Account(conflict) => account_conflict(*conflict),
        Checked::Incorrect(row) => Problem::incorrect_code(row.checks_remaining),
        Checked::Malformed(length) => {
            let detail = format!("must be {} ASCII digits", length.digits());
            Problem::fields(Kind::MalformedCode, vec![FieldError::new("code", detail)])
        }
        Checked::Expired => ended(Ended::Expired),
        Checked::AlreadyApproved => ended(Ended::Approved),
        Checked::Canceled => ended(Ended::Canceled),
        Checked::TooMany(limit) => ended(Ended::Failed(*limit)),
        Checked::NotFound => Problem::not_found(),
        Checked::UnknownKey => {
            tracing::error!(%id, "its code was made with a secret that is not known here: set HULAK_SECRET_PREVIOUS");
            Problem::unavailable()
        }
        Checked::KeyReused => idempotency::reused(),
        // Their callers have answered these.
        Checked::Approved(_) | Checked::ApprovedFor(..) | Checked::Answered(_) => {
            Problem::new(Kind::Internal, "the request could not be handled")
        }
    }
}
