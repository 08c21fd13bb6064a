//! `POST /v1/page/verifications`: a request for a code on a page.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use hulak_common::code::Salt;
use hulak_common::hosted_page::HostedPage;
use hulak_common::phone::PhoneNumber;
use hulak_common::sms_template::LastLine;
use hulak_common::time::Timestamp;
use hulak_common::verification::{LiveKey, Locale, Route, Status};
use hulak_store::{Create, Created, Spent};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::openapi::path::HttpMethod;
use uuid::Uuid;

use crate::app::{App, SharedApp};
use crate::hosted_page::describe::op;
use crate::hosted_page::page::{BegunView, begun, expired, unkept};
use crate::http::auth::PageCaller;
use crate::http::body::OnceBody;
use crate::http::client_ip::EndUser;
use crate::http::idempotency::{self, Kept};
use crate::http::problem::{Kind, Problem};
use crate::http::validation::Fields;
use crate::openapi::headers::NO_STORE;
use crate::openapi::operation::Op;
use crate::openapi::{examples, schemas};
use crate::tokens::page::PageScope;
use crate::verifications::created::{self, Outcome};

/// The body of the request.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(description = "A number that a person typed.")]
pub(super) struct BeginRequest {
    /// The number.
    #[schema(value_type = schemas::TypedPhone)]
    phone: String,
    /// The language of the message; the page's when absent.
    #[schema(value_type = Option<schemas::LocaleName>)]
    locale: Option<String>,
}

/// Asks for a code. 202: a message is on its way. 200: this number's live verification, unchanged.
///
/// # Errors
/// As `POST /v1/verifications`; 410 `page-expired`, `page-used-up`.
pub(super) async fn begin(
    State(app): State<SharedApp>,
    PageCaller(scope): PageCaller,
    EndUser(peer): EndUser,
    OnceBody(request, key): OnceBody<BeginRequest>,
) -> Result<Response, Problem> {
    let mut fields = Fields::default();
    let phone = fields.phone(&request.phone);
    let locale = fields.optional("locale", request.locale.as_deref(), str::parse::<Locale>);
    fields.finish()?;
    // Without one there was an error, which `finish` has told.
    let phone = phone.ok_or_else(|| Problem::fields(Kind::InvalidPhone, Vec::new()))?;
    app.require_served(&phone)?;
    let (remember, _in_flight) = app.once.enter(key, &scope, keep)?;
    let spending = app.store.spend_page(scope.client, scope.page, app.clock.now());
    let page = match app.unbatched(scope.client, spending).await? {
        Spent::Granted(page) => page,
        Spent::UsedUp(page) => return still_live(&app, &page, phone).await,
        Spent::Expired | Spent::NotFound => return Err(expired()),
    };
    let item = Create { address: peer, remember, ..item(&app, &page, phone, locale) };
    let created = app.create(item).await;
    settle(&app, scope, &created).await;
    match created::outcome(&app, created?)? {
        Outcome::Verification(status, row) => Ok(unkept(status, Json(begun(&app, &row, app.clock.now())))),
        Outcome::Kept(text) => replay(&app, scope.client, &text).await,
    }
}

/// Gives a code back to the page when no message was recorded for it. When that is unknown, the code stays spent: a page never
/// sends more than it may.
async fn settle(app: &App, scope: PageScope, created: &Result<Created, Problem>) {
    let PageScope { client, page } = scope;
    let noted = match created {
        Ok(Created::New(row) | Created::Again { verification: row, added: true }) => {
            app.store.note_page(client, page, row.id).await
        }
        Ok(Created::Again { verification: row, added: false } | Created::Live(row)) => {
            let refunded = app.store.refund_page(client, page).await;
            refunded.and(app.store.note_page(client, page, row.id).await)
        }
        Err(problem) if problem.kind() != Kind::Overloaded => Ok(()),
        Ok(_) | Err(_) => app.store.refund_page(client, page).await,
    };
    if let Err(error) = noted {
        tracing::warn!(%error, "what became of a page's code was not noted");
    }
}

/// A second click on the last code finds what the first one began.
async fn still_live(app: &App, page: &HostedPage, phone: PhoneNumber) -> Result<Response, Problem> {
    let used_up = || Problem::new(Kind::PageUsedUp, "a page is good for 3 codes");
    let id = page.verification.ok_or_else(used_up)?;
    let row = app.verification(page.client, id, 0).await?;
    let now = app.clock.now();
    if row.key.phone != phone || row.status_at(now) != Status::Pending {
        return Err(used_up());
    }
    Ok(unkept(StatusCode::OK, Json(begun(app, &row, now))))
}

fn item(app: &App, page: &HostedPage, phone: PhoneNumber, locale: Option<Locale>) -> Create {
    let locale = locale.or(page.locale).unwrap_or(Locale::En);
    let key = LiveKey {
        client: page.client,
        phone,
        purpose: page.purpose,
        account: page.account,
        session: page.session(),
    };
    Create {
        locale,
        origin: origin(app, locale),
        app_name: page.app_name.clone(),
        route: if app.test_numbers.contains(phone) { Route::Null } else { Route::Gateway },
        ..Create::new(app.rng.uuid_v7(app.clock.now()), Salt(app.rng.bytes()), key)
    }
}

/// The last line by which a browser fills in the code here and nowhere else, where the message has room for it.
/// Browsers do so over TLS only.
fn origin(app: &App, locale: Locale) -> Option<String> {
    let host = app.public_host.as_deref().filter(|_| app.public_url.starts_with("https://"))?;
    let named = host.chars().any(|letter| letter.is_ascii_alphabetic()) && !host.starts_with('[');
    let fits = app.templates.check_line(locale, LastLine::Origin(host)).is_ok();
    (named && fits).then(|| host.to_owned())
}

/// The first answer, by which it is made again.
#[derive(Debug, Serialize, Deserialize)]
struct KeptBegin {
    id: Uuid,
}

fn keep(created: &Created, _now: Timestamp) -> Option<String> {
    let (status, row) = created::to_keep(created)?;
    Kept::write(status, String::new(), KeptBegin { id: row.id })
}

/// Answers with the verification as it is now: the page goes on from there.
async fn replay(app: &App, client: Uuid, text: &str) -> Result<Response, Problem> {
    let Kept { status, etag, body: KeptBegin { id } } = Kept::read(text)?;
    let row = app.verification(client, id, 0).await?;
    let view = begun(app, &row, app.clock.now());
    Ok(Kept { status, etag, body: idempotency::object(&view) }.answer())
}

pub(super) fn operation() -> Op {
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
