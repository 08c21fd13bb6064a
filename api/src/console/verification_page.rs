//! The page of one verification: its facts, its timeline and its messages.

use axum::extract::{Path, State};
use axum::response::Response;
use hulak_common::staff::{Operator, Search};
use hulak_common::timeline::Entry;
use hulak_common::verification::{Message, Verification};
use maud::{Markup, html};
use uuid::Uuid;

use super::auth::SignedIn;
use super::form::Form;
use super::layout::{self, Column, badge, delivery_badge, delivery_class, heading, status_badge};
use super::number_page::number_page;
use super::search::{self, Found};
use super::state::{Console, Shared};
use super::{format, timeline};
use crate::http::problem::Problem;

/// Handles the search field: shows the page of a number, or of a verification.
pub(super) async fn find(
    State(console): State<Shared>,
    SignedIn(operator): SignedIn,
    form: Form,
) -> Result<Response, Problem> {
    let query = search::query(form.get("q"))?;
    let found = search::search(&console, &operator, query).await?;
    match query {
        Search::Phone(phone) => number_page(&console, &operator, phone, &found, None).await,
        Search::Id(_) => {
            let (found, messages) = search::only(&console, found).await?;
            Ok(verification_page(&console, &operator, &found, &messages))
        }
    }
}

pub(super) async fn page(
    State(console): State<Shared>,
    SignedIn(operator): SignedIn,
    Path(id): Path<Uuid>,
) -> Result<Response, Problem> {
    let (found, messages) = search::verification(&console, &operator, id).await?;
    Ok(verification_page(&console, &operator, &found, &messages))
}

fn verification_page(
    console: &Console,
    operator: &Operator,
    (client, row): &Found,
    messages: &[Message],
) -> Response {
    let phone = row.key.phone;
    let badges = html! {
        p .row {
            (status_badge(row.status_at(console.clock.now()))) " "
            (badge(delivery_class(row.delivery), &format!("message {}", row.delivery.as_str())))
        }
    };
    let facts = [
        ("Client", client.clone()),
        ("Purpose", row.key.purpose.to_string()),
        ("Carrier", console.carriers.lookup(&phone).unwrap_or("unknown").to_owned()),
        ("Requested", format::moment(row.created_at)),
        ("Code valid until", format::moment(row.expires_at)),
        ("Ended", row.ended_at.map_or("not yet".to_owned(), format::moment)),
        ("Tries left", row.checks_remaining.to_string()),
        ("ID", row.id.to_string()),
    ];
    let content = html! {
        div ."stack loose" {
            (heading(html! { "Verification of " (phone) }, badges))
            @if row.error.is_some() { p ."message bad" { (format::error(row.error)) } }
            section ."card stack" aria-label="Facts" {
                dl .pairs {
                    @for (name, value) in facts { div { dt { (name) } dd { (value) } } }
                }
                form .row method="post" action="/console/find" {
                    input type="hidden" name="q" value=(phone);
                    button .small { "Show this number" }
                }
            }
            (timeline_section(row))
            (message_table(messages))
        }
    };
    layout::page("Verification", operator, content)
}

fn timeline_section(row: &Verification) -> Markup {
    let mut last = row.created_at;
    let entries = row.history.entries(row.created_at).map(|entry| {
        let Entry::Happened { at, .. } = entry else { return (entry, None) };
        let after = at - std::mem::replace(&mut last, at);
        (entry, Some(after).filter(|_| at != row.created_at))
    });
    html! {
        section ."card stack" aria-labelledby="timeline" {
            h2 #timeline { "Timeline" }
            ol .timeline {
                @for (entry, after) in entries {
                    @match entry {
                        Entry::Happened { at, event } => {
                            @let timeline::Description { class, what, why } = timeline::describe(&event);
                            li class=(class) {
                                p { b { (what) } }
                                @if !why.is_empty() { p .soft { (why) } }
                                p ."small faint" {
                                    time datetime=(at) { (format::moment(at)) } " "
                                    @if let Some(after) = after { "+" (format::span(after)) }
                                }
                            }
                        },
                        Entry::LeftOut(count) => li .soft { p { (count) " entries are left out here" } },
                        Entry::Unread(text) => li { p { code { (text) } } },
                    }
                }
            }
            @if row.history.as_str().is_empty() {
                p .soft { "This verification has no timeline: it was created by an older release." }
            }
        }
    }
}

fn message_table(messages: &[Message]) -> Markup {
    use Column::{Number, Text};
    let columns = [
        Text("No."),
        Text("State"),
        Text("Requested"),
        Text("Updated"),
        Number("Gateway calls"),
        Number("Parts"),
        Text("Error"),
    ];
    let rows = html! {
        @for message in messages {
            tr {
                th scope="row" { (message.id.seq) }
                td { (delivery_badge(message.state)) }
                td .nowrap { (format::moment(message.created_at)) }
                td .nowrap { (format::moment(message.updated_at)) }
                td .number { (message.attempts) }
                td .number { (message.parts.map_or("–".to_owned(), |parts| parts.to_string())) }
                td { (format::error(message.error)) }
            }
        }
    };
    html! {
        section ."card flush" aria-labelledby="messages" {
            header { h2 #messages { "Messages" } }
            (layout::table("Messages", &columns, rows))
        }
    }
}
