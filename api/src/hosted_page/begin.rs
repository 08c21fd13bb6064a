//! The hosted page and the calls it makes, with its own token. What it gets lets it follow its verification; the
//! approval token stays here, until the application's server comes for it.

use axum::Json;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use hulak_common::api_key::DEFAULT_CLIENT;
use hulak_common::code::{Code, Salt};
use hulak_common::hosted_page::{CREATES, HostedPage, LIFE};
use hulak_common::phone::PhoneNumber;
use hulak_common::sms_template::LastLine;
use hulak_common::time::Timestamp;
use hulak_common::verification::{LiveKey, Locale, Purpose, Route, Status, Verification};
use hulak_runtime::host_guard;
use hulak_runtime::html;
use hulak_store::{Check, Checked, Create, Created, NewPage, PageApproval, PageMade, Spent};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use super::checks::{self, incorrect, refusal};
use super::create::{account_conflict, blocked};
use crate::auth::PageCaller;
use crate::body::{Body, OnceBody};
use crate::client_ip::EndUser;
use crate::hosted::{self, HostedPages};
use crate::idempotency::{self, Kept};
use crate::openapi::schemas;
use crate::problem::{Kind, Problem};
use crate::resource::VerificationView;
use crate::state::{App, SharedApp};
use crate::token::{PageScope, TokenScope};
use crate::validation::{Fields, serve};

/// `GET /verify`.
///
/// # Errors
/// 404 when hosted pages are off; 421 for a host that is not ours.
pub async fn page(State(app): State<SharedApp>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    app.require_hosted()?;
    require_host(&app, &uri, &headers)?;
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let document = hosted::page(hosted::preferred(accepted.unwrap_or_default()));
    let media = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::VARY, "accept-language")];
    let mut response = (media, document).into_response();
    html::protect(response.headers_mut());
    Ok(response)
}

/// `GET /assets/{file}`.
///
/// # Errors
/// 404 for what the page does not need, or when hosted pages are off; 421 for a host that is not ours.
pub async fn asset(
    State(app): State<SharedApp>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    app.require_hosted()?;
    require_host(&app, request.uri(), request.headers())?;
    let missing = || Problem::new(Kind::NotFound, "the page has no such file");
    let asset = html::find(&name, &hosted::FILES).ok_or_else(missing)?;
    Ok(asset.answer(query.as_deref(), request.headers()).into_response())
}

/// A page of ours is not to be had under a stranger's name (DNS rebinding).
fn require_host(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let named = host_guard::requested(uri, headers);
    if named.is_some_and(|name| host_guard::is_trusted(&name, app.public_host.as_deref())) {
        return Ok(());
    }
    Err(Problem::new(Kind::Misdirected, "this page answers to its own name only"))
}

/// What a page knows of itself.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PageState)]
pub(crate) struct StateView {
    /// The name of the application.
    app_name: String,
    /// What the proof is for.
    #[schema(value_type = schemas::PurposeName)]
    purpose: &'static str,
    /// The language that the application asked for.
    #[schema(value_type = Option<schemas::LocaleName>, required)]
    locale: Option<&'static str>,
    /// Whether it is a demonstration, which leads nowhere.
    demonstration: bool,
    /// Where the messages of a demonstration are read.
    #[schema(value_type = Option<schemas::WebAddress>, required)]
    inbox: Option<String>,
    /// How often it may still ask for a code.
    #[schema(minimum = 0, maximum = 3)]
    creates_left: i32,
    /// Until when it is good.
    #[schema(value_type = schemas::Moment)]
    expires_at: Timestamp,
    /// The verification that it began, while it is pending.
    #[schema(required)]
    begun: Option<BegunView>,
}

/// A verification that a page has begun.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PageVerification)]
pub(crate) struct BegunView {
    /// It, as its client token sees it.
    verification: VerificationView,
    /// For following it, and for sending its code again.
    #[schema(value_type = schemas::ClientTokenText)]
    client_token: String,
    /// The digits of its code.
    #[schema(minimum = 4, maximum = 10)]
    code_length: u8,
}

fn begun(app: &App, row: &Verification, now: Timestamp) -> BegunView {
    let scope = TokenScope { client: row.key.client, verification: row.id };
    BegunView {
        verification: VerificationView::new(row, &app.carriers, true, now),
        client_token: app.client_tokens.mint(scope).expose_secret().to_owned(),
        code_length: row.code_length.digits(),
    }
}

/// Where the page stands: a page that is loaded again goes on where it was.
///
/// # Errors
/// 401; 410 `page-expired`, unless a code of its is still good.
pub async fn read(State(app): State<SharedApp>, PageCaller(scope): PageCaller) -> Result<Response, Problem> {
    let page = find(&app, scope).await?;
    let now = app.clock.now();
    let row = match page.verification {
        Some(id) => app.verification(scope.client, id, 0).await.ok(),
        None => None,
    };
    let live = row.filter(|row| row.status_at(now) == Status::Pending);
    if page.has_expired(now) && live.is_none() {
        return Err(expired());
    }
    let demonstration = page.redirect_uri.is_none();
    let view = StateView {
        inbox: app.hosted.inbox().filter(|_| demonstration).map(str::to_owned),
        app_name: page.app_name.unwrap_or_else(|| app.templates.app_name().to_owned()),
        purpose: page.purpose.as_str(),
        locale: page.locale.map(Locale::as_str),
        demonstration,
        creates_left: page.creates_left,
        expires_at: page.expires_at,
        begun: live.map(|row| begun(&app, &row, now)),
    };
    Ok(unkept(StatusCode::OK, Json(view)))
}

async fn find(app: &App, scope: PageScope) -> Result<HostedPage, Problem> {
    let page = app.unbatched(scope.client, app.store.page(scope.client, scope.page)).await?;
    // A page is remembered for a day beyond its end; after that it has expired all the same.
    page.ok_or_else(expired)
}

fn expired() -> Problem {
    Problem::new(Kind::PageExpired, "a page is good for 15 minutes")
}

fn unkept(status: StatusCode, body: impl IntoResponse) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], body).into_response()
}

/// The body of the request.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(description = "A number that a person typed.")]
pub struct BeginRequest {
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
pub async fn begin(
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
    serve(&app, &phone)?;
    let (remember, _place) = app.once.enter(key, &scope, keep)?;
    let spending = app.store.spend_page(scope.client, scope.page, app.clock.now());
    let page = match app.unbatched(scope.client, spending).await? {
        Spent::Granted(page) => page,
        Spent::UsedUp(page) => return still_live(&app, &page, phone).await,
        Spent::Expired | Spent::NotFound => return Err(expired()),
    };
    let item = Create { address: peer, remember, ..item(&app, &page, phone, locale) };
    let created = app.create(item).await;
    settle(&app, scope, &created).await;
    let created = created?;
    if let Some(message) = created.to_publish() {
        app.publisher.publish(message);
    }
    let now = app.clock.now();
    match created {
        Created::New(row) | Created::Again { verification: row, .. } => {
            Ok(unkept(StatusCode::ACCEPTED, Json(begun(&app, &row, now))))
        }
        Created::Live(row) => Ok(unkept(StatusCode::OK, Json(begun(&app, &row, now)))),
        Created::Blocked { until } => Err(blocked(until)),
        Created::Account(conflict) => Err(account_conflict(conflict)),
        Created::Limited(limit) => Err(Problem::limited(Kind::RateLimited, &limit, now)),
        Created::Answered(text) => again(&app, scope.client, &text).await,
        Created::KeyReused => Err(idempotency::reused()),
    }
}

/// A code that no message came of is given back. When nobody knows whether one did, it is not: a page never sends more
/// than it may.
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
struct First {
    id: Uuid,
}

fn keep(created: &Created, _now: Timestamp) -> Option<String> {
    let (status, row) = match created {
        Created::New(row) | Created::Again { verification: row, .. } => (StatusCode::ACCEPTED, row),
        Created::Live(row) => (StatusCode::OK, row),
        _ => return None,
    };
    Kept::write(status, String::new(), First { id: row.id })
}

/// As it stands now: the page wants to go on from there.
async fn again(app: &App, client: Uuid, text: &str) -> Result<Response, Problem> {
    let Kept { status, etag, body: First { id } } = Kept::read(text)?;
    let row = app.verification(client, id, 0).await?;
    let view = begun(app, &row, app.clock.now());
    Ok(Kept { status, etag, body: idempotency::object(&view) }.answer())
}

/// The body of the request. Its `Debug` shows nothing.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(description = "What the person typed.")]
pub struct PageCheckRequest {
    /// The verification that the page began.
    #[schema(format = Uuid)]
    verification: String,
    /// The digits of the code, ASCII only, and as many as the message had.
    #[schema(min_length = 4, max_length = 10, pattern = "^[0-9]+$", examples("123456"))]
    code: String,
}

impl std::fmt::Debug for PageCheckRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PageCheckRequest")
    }
}

/// The answer to the right code.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PageApproval)]
pub(crate) struct FinishedView {
    /// Always `approved`.
    #[schema(pattern = "^approved$")]
    status: &'static str,
    /// Where the browser goes now, with `page_code` and `state`; null at the end of a demonstration.
    #[schema(value_type = Option<schemas::WebAddress>, required)]
    redirect: Option<String>,
}

/// Checks a code. The approval stays here: the browser takes a code back to the application, whose server exchanges it.
///
/// # Errors
/// As the check of a verification.
pub async fn check(
    State(app): State<SharedApp>,
    PageCaller(scope): PageCaller,
    OnceBody(request, key): OnceBody<PageCheckRequest>,
) -> Result<Response, Problem> {
    let id = request.verification.parse().map_err(|_| Problem::not_found())?;
    let code = Code::typed(request.code);
    let page = find(&app, scope).await?;
    let row = app.verification(scope.client, id, 0).await?;
    // To a page, every verification but its own does not exist.
    if row.key.session != page.session() {
        return Err(Problem::not_found());
    }
    let (remember, _place) = app.once.enter(key, &scope, checks::keep(&app, true))?;
    match app.check(Check { client: scope.client, id, code, remember }).await? {
        Checked::Approved(_) => finish(&app, &page, id, None).await,
        Checked::ApprovedFor(_, account) => finish(&app, &page, id, Some(account.id)).await,
        Checked::Answered(text) => match Kept::read(&text)?.body {
            checks::First::Approved { account, .. } => finish(&app, &page, id, account).await,
            checks::First::Incorrect(left) => Err(incorrect(left).replayed()),
        },
        other => Err(refusal(&app, id, &other)),
    }
}

async fn finish(
    app: &App,
    page: &HostedPage,
    verification: Uuid,
    account: Option<Uuid>,
) -> Result<Response, Problem> {
    let client = page.client;
    let mut redirect = None;
    if let Some(uri) = &page.redirect_uri {
        let approval = PageApproval { client, verification, account };
        app.unbatched(client, app.store.offer_approval(approval, app.clock.now())).await?;
        let code = app.page_tokens.mint_code(TokenScope { client, verification });
        redirect = Some(back(uri.as_str(), code.expose_secret(), &page.state)?);
    }
    Ok(unkept(StatusCode::OK, Json(FinishedView { status: "approved", redirect })))
}

/// The application's address, with what the browser brings along.
fn back(uri: &str, code: &str, state: &str) -> Result<String, Problem> {
    let mut url = Url::parse(uri).map_err(|error| {
        tracing::error!(%error, "a page's redirect_uri cannot be read");
        Problem::new(Kind::Internal, "the approval is recorded, but nobody can be sent back with it")
    })?;
    url.query_pairs_mut().append_pair("page_code", code).append_pair("state", state);
    Ok(url.into())
}

/// The body of the request.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(description = "Nothing yet.")]
pub struct DemonstrationRequest {}

/// A page for whoever came without one.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PageToken)]
pub(crate) struct TokenView {
    /// What opens the page.
    #[schema(pattern = "^pt_[A-Za-z0-9_-]+$")]
    token: String,
    /// Until when it is good.
    #[schema(value_type = schemas::Moment)]
    expires_at: Timestamp,
}

/// Makes a demonstration: a page of the client `default` that leads nowhere.
///
/// # Errors
/// 404 where there are none; 421 for a host that is not ours.
pub async fn demonstrate(
    State(app): State<SharedApp>,
    uri: Uri,
    headers: HeaderMap,
    Body(DemonstrationRequest {}): Body<DemonstrationRequest>,
) -> Result<Response, Problem> {
    if !matches!(app.hosted, HostedPages::Demonstration { .. }) {
        return Err(Problem::new(Kind::NotFound, "there are no demonstrations here"));
    }
    require_host(&app, &uri, &headers)?;
    app.require_store()?;
    let clients = app.store.clients().await.map_err(|error| app.refuse(&error))?;
    let missing = || Problem::new(Kind::NotFound, "there is no client `default`");
    let client = clients.into_iter().find(|client| client.name == DEFAULT_CLIENT).ok_or_else(missing)?;
    let now = app.clock.now();
    let page = HostedPage {
        id: app.rng.uuid_v7(now),
        client: client.id,
        purpose: Purpose::Verify,
        account: None,
        locale: None,
        app_name: client.settings.app_name,
        redirect_uri: None,
        state: String::new(),
        creates_left: CREATES,
        verification: None,
        created_at: now,
        expires_at: now + LIFE,
    };
    let new = NewPage { page, remember: None };
    let made = app.unbatched(client.id, app.store.make_page(&new, now)).await?;
    let PageMade::Done(page) = made else {
        return Err(Problem::new(Kind::Internal, "the page could not be made"));
    };
    let token = app.page_tokens.mint(PageScope { client: page.client, page: page.id });
    let body = TokenView { token: token.expose_secret().to_owned(), expires_at: page.expires_at };
    Ok(unkept(StatusCode::CREATED, Json(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_brings_code_and_state_along() {
        assert_eq!(
            back("https://a.example/done?x=1", "pc_1", "a b&c=d").unwrap(),
            "https://a.example/done?x=1&page_code=pc_1&state=a+b%26c%3Dd"
        );
        assert_eq!(
            back("https://a.example", "pc_1", "").unwrap(),
            "https://a.example/?page_code=pc_1&state="
        );
    }
}
