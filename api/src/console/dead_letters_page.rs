//! The page of the dead letters.

use axum::extract::State;
use axum::response::Response;
use maud::html;

use super::auth::SignedIn;
use super::form::see_other;
use super::layout::{self, Column, heading, nothing, table};
use super::state::Shared;
use super::{actions, format};
use crate::http::problem::Problem;

pub(super) async fn page(
    State(console): State<Shared>,
    SignedIn(operator): SignedIn,
) -> Result<Response, Problem> {
    let (count, letters) = actions::dead_letters(&console, &operator).await?;
    let lead = html! {
        p .soft {
            "Jobs that no worker could read. Deleting them loses no message: the relay publishes unsent messages again."
        }
    };
    let rows = html! {
        @for letter in &letters {
            tr {
                th .nowrap scope="row" { (letter.died_at.map_or("–".to_owned(), format::moment)) }
                td { (letter.reason) }
                td .wordy { code { (letter.payload.escape_debug()) } }
            }
        }
    };
    let columns = [Column::Text("Time"), Column::Text("Reason"), Column::Text("Content")];
    let content = html! {
        div ."stack loose" {
            (heading(html! { "Dead letters" }, lead))
            section ."card flush" aria-labelledby="letters" {
                header { h2 #letters { (format::number(count)) " dead letters" } }
                @if letters.is_empty() { (nothing("There are no dead letters.")) }
                @else { (table("The oldest dead letters", &columns, rows)) }
            }
            @if !letters.is_empty() {
                form method="post" action="/console/purge" {
                    button .danger { "Delete all dead letters" }
                }
            }
        }
    };
    Ok(layout::page("Dead letters", &operator, content))
}

pub(super) async fn purge(
    State(console): State<Shared>,
    SignedIn(operator): SignedIn,
) -> Result<Response, Problem> {
    actions::purge(&console, &operator).await?;
    Ok(see_other("/console"))
}
