//! `/v1/pages`, and the hosted page with its own calls.

use axum::http::StatusCode;
use serde_json::json;
use utoipa::openapi::ContentBuilder;
use utoipa::openapi::path::{HttpMethod, ParameterIn};

use super::examples;
use super::headers::{self, ASSET, NO_STORE, parameter};
use super::operation::Op;
use crate::problem::Kind;
use crate::routes::checks::Approved;
use crate::routes::hosted::{
    BeginRequest, BegunView, DemonstrationRequest, FinishedView, PageCheckRequest, StateView, TokenView,
};
use crate::routes::pages::{ExchangeRequest, PageRequest, PageView};

const TAG: &str = "Hosted page";
/// What is refused once a verification has ended.
const ENDED: &[Kind] =
    &[Kind::AlreadyApproved, Kind::VerificationCanceled, Kind::VerificationExpired, Kind::TooManyChecks];

pub(super) fn operations() -> Vec<Op> {
    vec![make(), exchange(), read(), begin(), check(), demonstrate(), page(), asset()]
}

/// Where hosted pages are off, none of this is there.
fn op(method: HttpMethod, path: &'static str, id: &str) -> Op {
    Op::new(method, path, TAG, id).problems(&[Kind::NotFound, Kind::Internal])
}

fn make() -> Op {
    let minimal = json!({
        "purpose": "verify", "redirect_uri": "https://shop.example/verified", "state": "5f2c…of your session"
    });
    op(HttpMethod::Post, "/v1/pages", "makePage")
        .says(
            "Make a page",
            "A page where a person types a number and its code, good for 15 minutes and 3 codes. At its end the browser comes \
             back to `redirect_uri` with `state` and a `page_code`, which your server exchanges. Compare `state` with the \
             session of the browser that brings it.",
        )
        .key()
        .once()
        .body::<PageRequest>(true, "What the page is for.", vec![("minimal", "A page", minimal)])
        .json::<PageView>(
            StatusCode::CREATED,
            "The page. Send the browser to its address.",
            &[&NO_STORE],
            vec![("page", "A page", examples::page())],
        )
}

fn exchange() -> Op {
    op(HttpMethod::Post, "/v1/pages/exchange", "exchangePageCode")
        .says(
            "Exchange a page code",
            "What a browser brought back for the approval, once and within 10 minutes. With the same `Idempotency-Key` the \
             approval is given again.",
        )
        .key()
        .once()
        .body::<ExchangeRequest>(
            true,
            "What the browser brought.",
            vec![("code", "A page code", json!({"page_code": examples::PAGE_CODE}))],
        )
        .json::<Approved>(
            StatusCode::OK,
            "The approval, as a check answers it.",
            &[&NO_STORE],
            vec![("approved", "The approval", examples::approval())],
        )
        .problems(&[Kind::InvalidPageCode, Kind::AlreadyApproved])
}

fn read() -> Op {
    op(HttpMethod::Get, "/v1/page", "readPage")
        .says("Where a page stands", "What the page shows. A page that is loaded again goes on where it was.")
        .page_token()
        .json::<StateView>(
            StatusCode::OK,
            "The page.",
            &[&NO_STORE],
            vec![("fresh", "A fresh page", examples::page_state())],
        )
        .problems(&[Kind::PageExpired])
}

fn begin() -> Op {
    op(HttpMethod::Post, "/v1/page/verifications", "beginOnPage")
        .says(
            "Ask for a code on a page",
            "As the creation of a verification, for what the page was made for. Counts as one of the page's codes when a \
             message comes of it.",
        )
        .page_token()
        .once()
        .body::<BeginRequest>(
            true,
            "The number.",
            vec![("typed", "A number", json!({"phone": examples::TYPED, "locale": "ne"}))],
        )
        .json::<BegunView>(
            StatusCode::ACCEPTED,
            "A message is on its way.",
            &[&NO_STORE],
            vec![("begun", "A verification", examples::begun())],
        )
        .json::<BegunView>(
            StatusCode::OK,
            "This number's live verification, unchanged.",
            &[&NO_STORE],
            vec![("live", "The live one", examples::begun())],
        )
        .problems(&[
            Kind::InvalidPhone,
            Kind::UnsupportedPhone,
            Kind::PhoneBlocked,
            Kind::AlreadyVerified,
            Kind::PhoneTaken,
            Kind::PageExpired,
            Kind::PageUsedUp,
            Kind::RateLimited,
            Kind::Overloaded,
        ])
}

fn check() -> Op {
    let body = json!({"verification": examples::ID, "code": "123456"});
    let done = json!({
        "status": "approved",
        "redirect": format!("https://shop.example/verified?page_code={}&state=5f2c", examples::PAGE_CODE)
    });
    op(HttpMethod::Post, "/v1/page/check", "checkOnPage")
        .says(
            "Check a code on a page",
            "The approval itself stays here: the browser takes a page code to the application, whose server exchanges it.",
        )
        .page_token()
        .once()
        .body::<PageCheckRequest>(true, "What the person typed.", vec![("typed", "A code", body)])
        .json::<FinishedView>(
            StatusCode::OK,
            "The code was right.",
            &[&NO_STORE],
            vec![("approved", "The way back", done)],
        )
        .problems(ENDED)
        .problems(&[
            Kind::IncorrectCode,
            Kind::MalformedCode,
            Kind::AlreadyVerified,
            Kind::PhoneTaken,
            Kind::PageExpired,
            Kind::Overloaded,
        ])
}

fn demonstrate() -> Op {
    let made = json!({"token": examples::PAGE_TOKEN, "expires_at": examples::moment(900)});
    op(HttpMethod::Post, "/v1/page/demonstration", "demonstratePage")
        .says(
            "Make a demonstration",
            "A page that leads nowhere, for whoever opens `/verify` alone. Only where messages reach a simulator.",
        )
        .body::<DemonstrationRequest>(true, "Nothing yet.", vec![("nothing", "Nothing", json!({}))])
        .json::<TokenView>(
            StatusCode::CREATED,
            "What opens the page.",
            &[&NO_STORE],
            vec![("made", "A demonstration", made)],
        )
        .problems(&[Kind::Misdirected, Kind::Unavailable])
}

fn page() -> Op {
    let content = ContentBuilder::new().schema(Some(headers::text())).build();
    op(HttpMethod::Get, "/verify", "getHostedPage")
        .says(
            "The hosted page",
            "In English or Nepali. Its token stands behind the `#` of the address, which browsers send to nobody.",
        )
        .content_of(StatusCode::OK, "The page.", &[&NO_STORE], "text/html", content)
        .problems(&[Kind::Misdirected])
}

fn asset() -> Op {
    let text = ContentBuilder::new().schema(Some(headers::text())).build();
    let names = headers::text().enum_values(Some(["hulak.css", "logo.svg", "verify.css", "verify.js"]));
    op(HttpMethod::Get, "/assets/{file}", "getHostedPageFile")
        .says("What the hosted page is made of", "Scripts, styles and the logo.")
        .path(parameter(ParameterIn::Path, "file", "The file.", names, "hulak.css"))
        .content_of(StatusCode::OK, "The file.", &[&ASSET], "text/css", text.clone())
        .content_of(StatusCode::OK, "The file.", &[&ASSET], "text/javascript", text.clone())
        .content_of(StatusCode::OK, "The file.", &[&ASSET], "image/svg+xml", text)
        .empty(StatusCode::NOT_MODIFIED, "The browser has it.", &[&ASSET])
        .problems(&[Kind::Misdirected])
}
