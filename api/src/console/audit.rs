//! The audit log: what operators did.

use axum::extract::{Query, State};
use axum::response::Response;
use hulak_common::audit::AuditEntry;
use maud::{Markup, html};
use serde::Deserialize;
use uuid::Uuid;

use super::auth::SignedIn;
use super::format;
use super::layout::{self, Column, heading, nothing};
use super::state::{Console, Shared};
use crate::http::problem::{Kind, Problem};

/// Entries of the audit log on one page.
const PAGE: u32 = 100;

#[derive(Debug, Deserialize)]
pub(super) struct Before {
    before: Option<String>,
}

/// A page of the audit log, newest first, older than the entry with the given id.
///
/// # Errors
/// 422 for an id that cannot be read.
pub(super) async fn entries(console: &Console, query: &Before) -> Result<Vec<AuditEntry>, Problem> {
    let read = |text: &String| {
        text.parse::<Uuid>()
            .map_err(|_| Problem::new(Kind::InvalidRequest, "before: must be the id of an entry"))
    };
    let before = query.before.as_ref().map(read).transpose()?;
    newest(console, before, PAGE).await
}

/// The newest entries, or those before the given one.
pub(super) async fn newest(
    console: &Console,
    before: Option<Uuid>,
    count: u32,
) -> Result<Vec<AuditEntry>, Problem> {
    console.store.audit_log(before, count).await.map_err(|error| console.refuse(&error))
}

pub(super) async fn page(
    State(console): State<Shared>,
    SignedIn(operator): SignedIn,
    Query(query): Query<Before>,
) -> Result<Response, Problem> {
    let entries = entries(&console, &query).await?;
    let older = entries.last().filter(|_| entries.len() == PAGE as usize);
    let content = html! {
        div ."stack loose" {
            (heading(html! { "Audit log" }, html! {}))
            section ."card flush" aria-label="Entries" { (table(&entries)) }
            @if let Some(last) = older {
                p { a .button href={ "/console/record?before=" (last.id) } { "Older" } }
            }
        }
    };
    Ok(layout::page("Audit log", &operator, content))
}

pub(super) fn table(entries: &[AuditEntry]) -> Markup {
    use Column::Text;
    if entries.is_empty() {
        return nothing("There are no entries yet.");
    }
    let columns = [Text("Time"), Text("Operator"), Text("Key"), Text("Action"), Text("Details")];
    let rows = html! {
        @for entry in entries {
            tr {
                th .nowrap scope="row" { time datetime=(entry.at) { (format::moment(entry.at)) } }
                td { @if entry.who.is_empty() { "unknown" } @else { (entry.who) } }
                td .mono { @if entry.key_prefix.is_empty() { "–" } @else { (entry.key_prefix) "…" } }
                td { (entry.act) }
                td .wordy { (entry.what) }
            }
        }
    };
    layout::table("Audit log", &columns, rows)
}
