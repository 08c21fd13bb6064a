//! The operators' JSON API, which can do what the pages can.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hulak_common::time::Timestamp;
use hulak_common::timeline::Entry;
use hulak_common::verification::{Message, Verification};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::auth::SignedIn;
use super::overview::{Overview, Range};
use super::search::{self, Found};
use super::state::{Console, Shared};
use super::{actions, audit, timeline, usage};
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::phones::FOREVER;

type Answer = Result<Response, Problem>;

pub(super) async fn status(State(console): State<Shared>, _: SignedIn, Query(range): Query<Range>) -> Answer {
    let board = console
        .metrics
        .read(&console.store, console.clock.now())
        .await
        .map_err(|error| console.refuse(&error))?;
    let overview = Overview::read(&console, &board, range.span()).await;
    Ok(Json(overview.map_err(|error| console.refuse(&error))?).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchBody {
    q: String,
}

pub(super) async fn search(
    State(console): State<Shared>,
    SignedIn(operator): SignedIn,
    Body(body): Body<SearchBody>,
) -> Answer {
    let found = search::search(&console, &operator, search::query(&body.q)?).await?;
    let rows: Vec<_> = found.iter().map(|found| summary(&console, found)).collect();
    Ok(Json(json!({ "data": rows })).into_response())
}

pub(super) async fn verification(
    State(console): State<Shared>,
    SignedIn(operator): SignedIn,
    Path(id): Path<Uuid>,
) -> Answer {
    let (found, messages) = search::verification(&console, &operator, id).await?;
    let mut view = summary(&console, &found);
    view["history"] = timeline_view(&found.1);
    view["messages"] = messages.iter().map(message_view).collect();
    Ok(Json(view).into_response())
}

fn summary(console: &Console, (client, row): &Found) -> Value {
    json!({
        "id": row.id, "client": client, "phone": row.key.phone.to_string(),
        "operator": console.carriers.lookup(&row.key.phone), "purpose": row.key.purpose,
        "status": row.status_at(console.clock.now()), "created_at": row.created_at, "ended_at": row.ended_at,
        "expires_at": row.expires_at, "updated_at": row.updated_at, "version": row.version,
        "checks_remaining": row.checks_remaining,
        "delivery": {"status": row.delivery, "messages": row.messages, "last_sent_at": row.last_sent_at, "error": row.error},
    })
}

/// The timeline, in words and as the store keeps it.
fn timeline_view(row: &Verification) -> Value {
    let entries = row.history.entries(row.created_at).map(|entry| match entry {
        Entry::Happened { at, event } => {
            let timeline::Description { what, why, .. } = timeline::describe(&event);
            json!({"at": at, "message": event.message(), "event": event.to_string(), "what": what, "why": why})
        }
        Entry::LeftOut(count) => json!({"left_out": count}),
        Entry::Unread(text) => json!({"event": text}),
    });
    entries.collect()
}

fn message_view(message: &Message) -> Value {
    json!({
        "seq": message.id.seq, "state": message.state, "route": message.route, "attempts": message.attempts,
        "ambiguous": message.ambiguous, "parts": message.parts, "error": message.error,
        "due_at": message.due_at, "created_at": message.created_at, "updated_at": message.updated_at,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlockBody {
    phone: String,
    /// No end when absent.
    until: Option<Timestamp>,
    reason: Option<String>,
}

pub(super) async fn block(
    State(console): State<Shared>,
    SignedIn(operator): SignedIn,
    Body(body): Body<BlockBody>,
) -> Answer {
    let phone = search::phone(&body.phone)?;
    let until = body.until.unwrap_or(FOREVER);
    actions::block(&console, &operator, phone, until, body.reason.as_deref().unwrap_or_default()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnblockBody {
    phone: String,
}

pub(super) async fn unblock(
    State(console): State<Shared>,
    SignedIn(operator): SignedIn,
    Body(body): Body<UnblockBody>,
) -> Answer {
    actions::unblock(&console, &operator, search::phone(&body.phone)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PauseBody {
    #[serde(default)]
    reason: String,
}

pub(super) async fn pause(
    State(console): State<Shared>,
    SignedIn(operator): SignedIn,
    Body(body): Body<PauseBody>,
) -> Answer {
    actions::pause(&console, &operator, &body.reason).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn resume(State(console): State<Shared>, SignedIn(operator): SignedIn) -> Answer {
    actions::resume(&console, &operator).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn dead_letters(State(console): State<Shared>, SignedIn(operator): SignedIn) -> Answer {
    let (count, letters) = actions::dead_letters(&console, &operator).await?;
    let letters: Vec<Value> = letters
        .into_iter()
        .map(|letter| json!({"payload": letter.payload, "reason": letter.reason, "died_at": letter.died_at}))
        .collect();
    Ok(Json(json!({"count": count, "oldest": letters})).into_response())
}

pub(super) async fn purge(State(console): State<Shared>, SignedIn(operator): SignedIn) -> Answer {
    let purged = actions::purge(&console, &operator).await?;
    Ok(Json(json!({ "purged": purged })).into_response())
}

pub(super) async fn usage(
    State(console): State<Shared>,
    _: SignedIn,
    Query(days): Query<usage::Days>,
) -> Answer {
    let rows = usage::rows(&console, days.count()?).await?;
    let rows: Vec<Value> = rows
        .into_iter()
        .map(|row| {
            json!({
                "day": row.day.to_string(), "client": row.client_name, "messages": row.sum.messages,
                "parts": row.sum.parts, "uncertain_parts": row.sum.uncertain, "failed": row.sum.failed,
                "unbilled": row.sum.unbilled,
            })
        })
        .collect();
    Ok(Json(json!({ "data": rows })).into_response())
}

pub(super) async fn audit_log(
    State(console): State<Shared>,
    _: SignedIn,
    Query(before): Query<audit::Before>,
) -> Answer {
    let entries = audit::entries(&console, &before).await?;
    Ok(Json(json!({ "data": entries })).into_response())
}
