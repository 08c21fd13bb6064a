//! `/v1/phones/{phone}`: what is known of a number, and its block.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hulak_common::phone::PhoneNumber;
use hulak_common::time::Timestamp;
use hulak_store::Block;
use serde::Deserialize;

use crate::auth::Client;
use crate::body::Body;
use crate::openapi::schemas;
use crate::problem::{FieldError, Kind, Problem};
use crate::resource::PhoneView;
use crate::state::SharedApp;

/// The longest reason of a block, in characters.
pub(crate) const MAX_REASON: usize = 500;
/// A block without an end: 9999-12-30, about the last day that can be written.
pub(crate) const FOREVER: Timestamp = Timestamp::from_millis(253_402_128_000_000);

/// The body of a block.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(description = "A block of a number.")]
pub struct BlockRequest {
    /// The end of the block, in time to come; for good when absent.
    #[schema(value_type = Option<schemas::Moment>)]
    until: Option<String>,
    /// Why, for who reads it later.
    #[schema(value_type = Option<schemas::BlockReason>)]
    reason: Option<String>,
}

/// Blocks a number within the caller's client: no verification is begun and no code is sent again until then.
///
/// # Errors
/// 422 `invalid-phone`, `invalid-request`.
pub async fn block(
    state: State<SharedApp>,
    client: Client,
    path: Path<String>,
    Body(request): Body<BlockRequest>,
) -> Result<Response, Problem> {
    let mut errors = Vec::new();
    let now = state.clock.now();
    let until = request.until.map_or(Some(FOREVER), |text| {
        let until = text.parse::<Timestamp>().ok().filter(|until| (now..=FOREVER).contains(until));
        if until.is_none() {
            let detail = "must be a time to come, like 2030-01-31T12:00:00Z, or null for good";
            errors.push(FieldError::new("until", detail));
        }
        until
    });
    // PostgreSQL keeps any text but the one with this character in it.
    if request
        .reason
        .as_deref()
        .is_some_and(|reason| reason.chars().count() > MAX_REASON || reason.contains('\0'))
    {
        let detail = format!("must have at most {MAX_REASON} characters, and none of them U+0000");
        errors.push(FieldError::new("reason", detail));
    }
    match until {
        Some(until) if errors.is_empty() => set(state, client, path, Some((until, request.reason))).await,
        _ => Err(Problem::fields(Kind::InvalidRequest, errors)),
    }
}

/// Lifts a block, and forgets the number's wrong codes.
///
/// # Errors
/// 422 `invalid-phone`.
pub async fn unblock(
    state: State<SharedApp>,
    client: Client,
    path: Path<String>,
) -> Result<Response, Problem> {
    set(state, client, path, None).await
}

async fn set(
    state: State<SharedApp>,
    client: Client,
    path: Path<String>,
    block: Option<(Timestamp, Option<String>)>,
) -> Result<Response, Problem> {
    let phone = parse(&path)?;
    let block = Block { client: client.0.client, phone, block };
    state.unbatched(block.client, state.store.block(&block, state.clock.now())).await?;
    read(state, client, path).await
}

fn parse(phone: &str) -> Result<PhoneNumber, Problem> {
    PhoneNumber::parse(phone)
        .map_err(|error| Problem::fields(Kind::InvalidPhone, vec![FieldError::new("phone", error)]))
}

/// The number's counts over all clients, and what the caller's client knows of it. A number never seen has zeros.
///
/// # Errors
/// 422 `invalid-phone`.
pub async fn read(
    State(app): State<SharedApp>,
    Client(owner, _): Client,
    Path(phone): Path<String>,
) -> Result<Response, Problem> {
    let phone = parse(&phone)?;
    let report = app.unbatched(owner.client, app.store.number(owner.client, phone)).await?;
    let view = PhoneView::new(&report, &app.carriers, app.clock.now());
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(view)).into_response())
}
