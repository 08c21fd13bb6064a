//! The operator console and the operator calls, on the admin address.
//!
//! Pages are written here, charts included, and stay whole without a script; the only script fetches the live part anew.
//! What they do and what the calls under `/operator` do is the same code, and every act is in the record first.

mod acts;
mod auth;
mod bill;
mod calls;
mod chart;
mod figures;
mod overview;
mod pages;
mod story;
mod verdict;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use hulak_broker::Broker;
use hulak_common::audit::{Act, AuditEntry};
use hulak_common::clock::SharedClock;
use hulak_common::phone::Carriers;
use hulak_common::rng::Rng;
use hulak_common::staff::Operator;
use hulak_runtime::html::{self, Asset};
use hulak_store::{Monitor, Store, StoreError};

use crate::problem::Problem;
use auth::Failures;
use figures::Figures;

/// The console's own files.
pub(crate) const FILES: [&Asset; 2] = [&STYLE, &SCRIPT];
static STYLE: Asset = Asset::style("console.css", include_str!("console.css"));
static SCRIPT: Asset = Asset::script("console.js", include_str!("console.js"));

/// Forms and bodies here are small.
const MAX_BODY: usize = 8 * 1024;

/// What the console is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) public_url: String,
    pub(crate) operators: Carriers,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) monitor: Monitor,
    pub(crate) clock: SharedClock,
    pub(crate) rng: Rng,
}

/// What its handlers share.
#[derive(Debug)]
pub(crate) struct Console {
    parts: Parts,
    failures: Failures,
    figures: Figures,
}

type Shared = Arc<Console>;

impl std::ops::Deref for Console {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Console {
    /// Turns a store's trouble into an answer, and lets the monitor know.
    fn refuse(&self, error: &StoreError) -> Problem {
        if matches!(error, StoreError::Unavailable(_)) {
            self.monitor.report_trouble();
        }
        Problem::from(error)
    }

    /// Writes an act down. Without that it may not be done.
    async fn record(&self, who: &Operator, act: Act, what: impl Into<String>) -> Result<(), Problem> {
        let at = self.clock.now();
        let entry = AuditEntry {
            id: self.rng.uuid_v7(at),
            at,
            who: who.name.clone(),
            key_prefix: who.prefix.clone(),
            act,
            what: what.into(),
        };
        self.store.audit(&entry).await.map_err(|error| self.refuse(&error))
    }
}

/// The console's addresses.
pub(crate) fn router(parts: Parts) -> Router {
    let console = Arc::new(Console { parts, failures: Failures::default(), figures: Figures::default() });
    let calls = Router::new()
        .route("/operator/status", get(calls::status))
        .route("/operator/search", post(calls::search))
        .route("/operator/verifications/{id}", get(calls::verification))
        .route("/operator/block", put(calls::block).delete(calls::unblock))
        .route("/operator/pause", put(calls::pause).delete(calls::resume))
        .route("/operator/dead", get(calls::dead).delete(calls::purge))
        .route("/operator/usage", get(calls::usage))
        .route("/operator/record", get(calls::record))
        .layer(middleware::from_fn_with_state(Arc::clone(&console), as_problem));
    let pages = Router::new()
        .route("/console", get(pages::home))
        .route("/console/live", get(pages::live))
        .route("/console/sign-in", post(auth::sign_in))
        .route("/console/sign-out", post(auth::sign_out))
        .route("/console/find", post(story::find))
        .route("/console/verifications/{id}", get(story::verification))
        .route("/console/block", post(story::block))
        .route("/console/unblock", post(story::unblock))
        .route("/console/pause", post(acts::pause))
        .route("/console/resume", post(acts::resume))
        .route("/console/dead", get(acts::dead))
        .route("/console/purge", post(acts::purge))
        .route("/console/record", get(pages::record))
        .route("/console/bill.csv", get(bill::csv))
        .layer(middleware::from_fn_with_state(Arc::clone(&console), as_page));
    calls
        .merge(pages)
        .layer(middleware::from_fn(auth::same_origin))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(console)
}

/// Refusals as the API writes them.
async fn as_problem(State(console): State<Shared>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem.render(&console.public_url),
        None => {
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
            response
        }
    }
}

/// Refusals as pages.
async fn as_page(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = pages::refusal(&problem);
    }
    html::protect(response.headers_mut());
    response
}

/// A whole page.
fn html(status: StatusCode, page: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}
