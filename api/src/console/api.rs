//! The operator calls: what the console does, for `curl` and scripts, as JSON.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hulak_common::time::Timestamp;
use hulak_service::metrics_history::Span;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::auth::Signed;
use super::overview::Overview;
use super::{Shared, acts, bill, story};
use crate::body::Body;
use crate::problem::{Kind, Problem};

type Answer = Result<Response, Problem>;

#[derive(Debug, Deserialize)]
pub(super) struct Range {
    range: Option<String>,
}

impl Range {
    pub(super) fn span(&self) -> Span {
        if self.range.as_deref() == Some("day") { Span::Day } else { Span::Hour }
    }
}

pub(super) async fn status(State(console): State<Shared>, _: Signed, Query(range): Query<Range>) -> Answer {
    let board = console.figures.now(&console).await.map_err(|error| console.refuse(&error))?;
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
    Signed(who): Signed,
    Body(body): Body<SearchBody>,
) -> Answer {
    let found = story::search(&console, &who, &body.q).await?;
    let rows: Vec<_> = found.iter().map(|(client, row)| story::summary(&console, client, row)).collect();
    Ok(Json(json!({ "data": rows })).into_response())
}

pub(super) async fn verification(
    State(console): State<Shared>,
    Signed(who): Signed,
    Path(id): Path<Uuid>,
) -> Answer {
    let (client, row, messages) = story::one(&console, &who, id).await?;
    let mut view = story::summary(&console, &client, &row);
    if let Some(view) = view.as_object_mut() {
        view.insert("history".to_owned(), story::history(&row));
        view.insert("messages".to_owned(), story::messages(&messages));
    }
    Ok(Json(view).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlockBody {
    phone: String,
    /// For good when absent.
    until: Option<Timestamp>,
    reason: Option<String>,
}

pub(super) async fn block(
    State(console): State<Shared>,
    Signed(who): Signed,
    Body(body): Body<BlockBody>,
) -> Answer {
    let phone = story::phone(&body.phone)?;
    let why = acts::reason(body.reason.as_deref().unwrap_or_default())?;
    story::set_block(&console, &who, phone, Some((body.until.unwrap_or(story::FOREVER), why))).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnblockBody {
    phone: String,
}

pub(super) async fn unblock(
    State(console): State<Shared>,
    Signed(who): Signed,
    Body(body): Body<UnblockBody>,
) -> Answer {
    story::set_block(&console, &who, story::phone(&body.phone)?, None).await?;
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
    Signed(who): Signed,
    Body(body): Body<PauseBody>,
) -> Answer {
    acts::stop(&console, &who, &body.reason).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn resume(State(console): State<Shared>, Signed(who): Signed) -> Answer {
    acts::go_on(&console, &who).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn dead(State(console): State<Shared>, Signed(who): Signed) -> Answer {
    let (count, letters) = acts::look(&console, &who).await?;
    let letters: Vec<Value> = letters
        .into_iter()
        .map(|letter| json!({"payload": letter.payload, "reason": letter.reason, "died_at": letter.died_at}))
        .collect();
    Ok(Json(json!({"count": count, "oldest": letters})).into_response())
}

pub(super) async fn purge(State(console): State<Shared>, Signed(who): Signed) -> Answer {
    let purged = acts::throw_away(&console, &who).await?;
    Ok(Json(json!({ "purged": purged })).into_response())
}

pub(super) async fn usage(
    State(console): State<Shared>,
    _: Signed,
    Query(days): Query<bill::Days>,
) -> Answer {
    let rows = bill::rows(&console, days.count()?).await?;
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

/// Entries of the record on one page.
pub(super) const RECORD_PAGE: u32 = 100;

#[derive(Debug, Deserialize)]
pub(super) struct Before {
    before: Option<String>,
}

impl Before {
    pub(super) fn id(&self) -> Result<Option<Uuid>, Problem> {
        let read = |text: &String| {
            text.parse()
                .map_err(|_| Problem::new(Kind::InvalidRequest, "before: must be an id of the record"))
        };
        self.before.as_ref().map(read).transpose()
    }
}

pub(super) async fn record(State(console): State<Shared>, _: Signed, Query(before): Query<Before>) -> Answer {
    let entries = console.store.audit_log(before.id()?, RECORD_PAGE).await;
    Ok(Json(json!({ "data": entries.map_err(|error| console.refuse(&error))? })).into_response())
}
