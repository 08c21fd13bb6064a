//! `/v1/phones/{phone}/block`: the block of a number within its client.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use hulak_common::time::Timestamp;
use hulak_store::Block;
use serde::Deserialize;
use serde_json::json;
use utoipa::openapi::path::HttpMethod;

use crate::app::SharedApp;
use crate::http::auth::Client;
use crate::http::body::Body;
use crate::http::problem::{FieldError, Kind, Problem};
use crate::openapi::elements::text;
use crate::openapi::headers::NO_STORE;
use crate::openapi::operation::Op;
use crate::openapi::{examples, schemas};
use crate::phones::describe::op;
use crate::phones::read::{PhoneView, parse, read};

const BLOCK: &str = "/v1/phones/{phone}/block";
/// The longest reason of a block, in characters.
pub(crate) const MAX_REASON: usize = 500;
/// A block without an end: 9999-12-30, about the last day that can be written.
pub(crate) const FOREVER: Timestamp = Timestamp::from_millis(253_402_128_000_000);

schemas::markers! {
    /// Any text without the character U+0000.
    BlockReason => text().max_length(Some(MAX_REASON)).pattern(Some("^[^\\u0000]*$"));
}

/// The body of a block.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(description = "A block of a number.")]
pub(super) struct BlockRequest {
    /// The end of the block, in time to come; for good when absent.
    #[schema(value_type = Option<schemas::Moment>)]
    until: Option<String>,
    /// Why, for who reads it later.
    #[schema(value_type = Option<BlockReason>)]
    reason: Option<String>,
}

/// Blocks a number within the caller's client: no verification is begun and no code is sent again until then.
///
/// # Errors
/// 422 `invalid-phone`, `invalid-request`.
pub(super) async fn block(
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
pub(super) async fn unblock(
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

pub(super) fn operations() -> [Op; 2] {
    [describe_block(), describe_unblock()]
}

fn describe_block() -> Op {
    let until = json!({"until": "2100-01-31T12:00:00Z", "reason": "asked to be left alone"});
    op(HttpMethod::Put, BLOCK, "blockNumber")
        .says(
            "Block a number",
            "Within this client: no verification of it is begun and no code is sent again until then.",
        )
        .body::<BlockRequest>(
            true,
            "Until when, and why.",
            vec![("until", "Until a day", until), ("for_good", "For good", json!({}))],
        )
        .json::<PhoneView>(
            StatusCode::OK,
            "The number, blocked.",
            &[&NO_STORE],
            vec![("blocked", "A blocked number", examples::blocked())],
        )
}

fn describe_unblock() -> Op {
    op(HttpMethod::Delete, BLOCK, "unblockNumber")
        .says("Lift the block of a number", "Also forgets its wrong codes. Doing it again changes nothing.")
        .json::<PhoneView>(
            StatusCode::OK,
            "The number, not blocked.",
            &[&NO_STORE],
            vec![("number", "A number", examples::number())],
        )
}
