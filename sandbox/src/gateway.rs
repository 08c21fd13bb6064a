//! The gateway's own paths, as its documentation describes them.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use axum::{Json, Router};
use hulak_common::sms;
use serde::Serialize;

use crate::faults::{Fate, Forced};
use crate::fields::Fields;
use crate::ledger::{Receipt, Submission};
use crate::no_answer;
use crate::refusal::Refusal;
use crate::simulator::Sandbox;

pub(crate) fn routes(sandbox: Sandbox) -> Router {
    let sms = on(MethodFilter::GET.or(MethodFilter::POST), send).head(no_head);
    let credit = on(MethodFilter::GET, credit).head(no_head);
    Router::new()
        .route("/v2/sms/", sms.clone())
        .route("/v2/sms", sms)
        .route("/v2/credit/", credit.clone())
        .route("/v2/credit", credit)
        .with_state(sandbox)
}

/// Without this, a HEAD would be served as a GET and would send a message.
async fn no_head() -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}

/// Why a call has failed.
enum Failure {
    Refused(Refusal),
    Status { status: u16, retry_after_s: Option<u64> },
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Forced> for Failure {
    fn from(forced: Forced) -> Self {
        match forced {
            Forced::Refusal(refusal) => Self::Refused(refusal),
            Forced::Status { status, retry_after_s } => Self::Status { status, retry_after_s },
        }
    }
}

#[derive(Serialize)]
struct RefusalBody {
    response_code: u16,
    response: String,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(refusal) => {
                let body = RefusalBody { response_code: refusal.code(), response: refusal.to_string() };
                (StatusCode::FORBIDDEN, Json(body)).into_response()
            }
            Self::Status { status, retry_after_s } => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let mut response = (status, format!("{status}\n")).into_response();
                if let Some(seconds) = retry_after_s {
                    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                }
                response
            }
        }
    }
}

#[derive(Serialize)]
struct SentBody {
    count: u64,
    response_code: u16,
    response: String,
    message_id: u64,
    credit_available: f64,
    credit_consumed: u64,
}

impl IntoResponse for Receipt {
    fn into_response(self) -> Response {
        #[expect(clippy::cast_precision_loss, reason = "the gateway writes credits as a decimal number")]
        let credit_available = self.available as f64;
        Json(SentBody {
            count: self.count,
            response_code: 200,
            // The spelling is the gateway's.
            response: format!("{} mesages has been queued for delivery", self.count),
            message_id: self.first_id,
            credit_available,
            credit_consumed: self.consumed,
        })
        .into_response()
    }
}

/// The message is taken before the first wait: if the caller hangs up, its message is sent nevertheless.
async fn send(State(sandbox): State<Sandbox>, request: Request) -> Response {
    let fields = Fields::read(request).await;
    // Counted when the whole call has arrived, so that the counters add up when callers hang up half way.
    sandbox.ledger().count_request();
    let response = match fields {
        Ok(fields) => sandbox.submit(&fields),
        Err(response) => {
            sandbox.ledger().count_refused();
            response
        }
    };
    sandbox.touch();
    sandbox.delay().await;
    response
}

#[derive(Serialize)]
struct CreditBody {
    credits_available: u64,
    credits_consumed: u64,
    response_code: u16,
}

async fn credit(State(sandbox): State<Sandbox>, request: Request) -> Response {
    let response = match Fields::read(request).await {
        Ok(fields) => sandbox.report_credit(&fields),
        Err(response) => response,
    };
    sandbox.delay().await;
    response
}

impl Sandbox {
    fn submit(&self, fields: &Fields) -> Response {
        let fate = self.draw_fate();
        let taken = self.try_submit(fields, fate);
        let mut ledger = self.ledger();
        match (taken, fate) {
            (Err(failure), _) => {
                ledger.count_refused();
                failure.into_response()
            }
            (Ok(_), Fate::Drop) => {
                ledger.count_dropped();
                no_answer::after(Duration::ZERO)
            }
            (Ok(_), Fate::Timeout) => {
                ledger.count_timed_out();
                no_answer::after(no_answer::HOLD)
            }
            (Ok(receipt), Fate::Answer | Fate::Error) => receipt.into_response(),
        }
    }

    fn try_submit(&self, fields: &Fields, fate: Fate) -> Result<Receipt, Failure> {
        if let Some(forced) = self.lock_faults().forced() {
            return Err(forced.into());
        }
        if fate == Fate::Error {
            return Err(Failure::Status { status: 500, retry_after_s: None });
        }
        let wanted = self.check(fields)?;
        Ok(self.ledger().take(&wanted, &*self.0.clock)?)
    }

    fn check<'a>(&self, fields: &'a Fields) -> Result<Submission<'a>, Refusal> {
        let field = |name| fields.get(name).ok_or(Refusal::MissingField);
        let (token, from, to, text) = (field("token")?, field("from")?, field("to")?, field("text")?);
        self.check_token(token)?;
        if !is_right(self.0.from.as_deref(), from) {
            return Err(Refusal::InvalidSender);
        }
        if text.trim().is_empty() {
            return Err(Refusal::EmptyText);
        }
        let receivers = receivers(to)?;
        let parts = u64::try_from(sms::measure(text).parts).unwrap_or(u64::MAX);
        Ok(Submission { receivers, from, text, parts })
    }

    fn check_token(&self, token: &str) -> Result<(), Refusal> {
        if is_right(self.0.token.as_deref(), token) { Ok(()) } else { Err(Refusal::InvalidToken) }
    }

    fn report_credit(&self, fields: &Fields) -> Response {
        let fate = self.draw_fate();
        match (self.try_credit(fields, fate), fate) {
            (Err(failure), _) => failure.into_response(),
            (Ok(_), Fate::Drop) => no_answer::after(Duration::ZERO),
            (Ok(_), Fate::Timeout) => no_answer::after(no_answer::HOLD),
            (Ok(body), Fate::Answer | Fate::Error) => Json(body).into_response(),
        }
    }

    fn try_credit(&self, fields: &Fields, fate: Fate) -> Result<CreditBody, Failure> {
        match self.lock_faults().forced() {
            Some(Forced::Refusal(refusal)) if !refusal.concerns_credit() => {}
            Some(forced) => return Err(forced.into()),
            None => {}
        }
        if fate == Fate::Error {
            return Err(Failure::Status { status: 500, retry_after_s: None });
        }
        // A missing token is an invalid one here: `/credit/` has no code for a missing field.
        self.check_token(fields.get("token").unwrap_or_default())?;
        let ledger = self.ledger();
        let credits_available = ledger.stats().credits;
        if credits_available == 0 {
            return Err(Refusal::NoCredits.into());
        }
        Ok(CreditBody { credits_available, credits_consumed: ledger.consumed(), response_code: 200 })
    }
}

fn is_right(configured: Option<&str>, given: &str) -> bool {
    configured.map_or(!given.trim().is_empty(), |configured| configured == given)
}

/// The valid receivers of a comma-separated list; the others are ignored. A single invalid number is an invalid receiver; of
/// several, or none, the answer is that no receiver is valid.
fn receivers(to: &str) -> Result<Vec<&str>, Refusal> {
    let named: Vec<&str> = to.split(',').map(str::trim).filter(|number| !number.is_empty()).collect();
    let valid: Vec<&str> = named.iter().copied().filter(|number| is_mobile(number)).collect();
    match (named.len(), valid.len()) {
        (1, 0) => Err(Refusal::InvalidReceiver),
        (_, 0) => Err(Refusal::NoValidReceiver),
        _ => Ok(valid),
    }
}

fn is_mobile(number: &str) -> bool {
    number.len() == 10
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && ["96", "97", "98"].iter().any(|prefix| number.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_are_sorted_out() {
        assert_eq!(receivers("9812345678").unwrap(), ["9812345678"]);
        assert_eq!(receivers(" 9812345678, 12 ,,9612345678").unwrap(), ["9812345678", "9612345678"]);
        for to in ["12", "9512345678", "98123456789", "9779812345678", "+9779812345678", "९८१२३४५६७८"]
        {
            assert_eq!(receivers(to).unwrap_err(), Refusal::InvalidReceiver, "{to}");
        }
        for to in ["12,13", "", " , "] {
            assert_eq!(receivers(to).unwrap_err(), Refusal::NoValidReceiver, "{to}");
        }
    }
}
