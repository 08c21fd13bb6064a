//! The page of a phone number: its facts, its blocks and its verifications.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use hulak_common::phone::PhoneNumber;
use hulak_common::staff::{NumberFile, Operator, Search};
use hulak_common::time::Timestamp;
use maud::{Markup, html};
use uuid::Uuid;

use super::auth::SignedIn;
use super::form::Form;
use super::layout::{self, Column, delivery_badge, heading, nothing, status_badge};
use super::search::{self, Found, MAX_FOUND};
use super::state::{Console, Shared};
use super::{actions, format};
use crate::http::problem::Problem;
use crate::phones::FOREVER;

pub(super) async fn block(
    State(console): State<Shared>,
    SignedIn(operator): SignedIn,
    form: Form,
) -> Result<Response, Problem> {
    let phone = search::phone(form.get("phone"))?;
    let now = console.clock.now();
    let until = match form.get("for") {
        "hour" => now + Duration::from_secs(3_600),
        "day" => now + Duration::from_secs(86_400),
        "week" => now + Duration::from_secs(7 * 86_400),
        _ => FOREVER,
    };
    actions::block(&console, &operator, phone, until, form.get("reason")).await?;
    after_change(&console, &operator, phone, "The number is blocked for all clients.").await
}

/// Lifts the block for all clients, or the block of the client that the form names.
pub(super) async fn unblock(
    State(console): State<Shared>,
    SignedIn(operator): SignedIn,
    form: Form,
) -> Result<Response, Problem> {
    let phone = search::phone(form.get("phone"))?;
    match form.get("client").parse::<Uuid>() {
        Err(_) => actions::unblock(&console, &operator, phone).await?,
        Ok(client) => actions::unblock_within(&console, &operator, phone, client).await?,
    }
    after_change(&console, &operator, phone, "The block was lifted.").await
}

async fn after_change(
    console: &Console,
    operator: &Operator,
    phone: PhoneNumber,
    done: &str,
) -> Result<Response, Problem> {
    let found = search::find(console, Search::Phone(phone)).await?;
    number_page(console, operator, phone, &found, Some(done)).await
}

/// The page, with what the operator has just done.
pub(super) async fn number_page(
    console: &Console,
    operator: &Operator,
    phone: PhoneNumber,
    found: &[Found],
    done: Option<&str>,
) -> Result<Response, Problem> {
    let file = console.store.number_file(phone).await.map_err(|error| console.refuse(&error))?;
    let now = console.clock.now();
    let carrier = console.carriers.lookup(&phone).unwrap_or("unknown");
    let content = html! {
        div ."stack loose" {
            (heading(html! { (phone) }, html! { p .soft { "Carrier: " (carrier) } }))
            @if let Some(done) = done { p ."message good" role="status" { (done) } }
            (facts(&file))
            (blocks(phone, &file, now))
            section ."card flush" aria-labelledby="found" {
                header {
                    h2 #found { "Verifications" }
                    span ."soft small" { "the newest " (MAX_FOUND) ", of all clients" }
                }
                @if found.is_empty() { (nothing("No verification was requested for this number.")) }
                @else { (verifications(found, now)) }
            }
        }
    };
    Ok(layout::page("Number", operator, content))
}

fn facts(file: &NumberFile) -> Markup {
    let number = &file.number;
    let verified = file
        .clients
        .iter()
        .filter_map(|(client, row)| row.validated_at.map(|at| format!("{client} ({})", format::moment(at))));
    let verified = verified.collect::<Vec<_>>().join(", ");
    let facts = [
        ("Messages accepted by the gateway", format::number(number.otp_count)),
        ("Sends with unknown outcome", format::number(number.ambiguous_count)),
        ("Last accepted", number.last_sent_at.map_or("never".to_owned(), format::moment)),
        ("Verified by", if verified.is_empty() { "no client".to_owned() } else { verified }),
    ];
    html! {
        section .card aria-label="Facts" {
            dl .pairs { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } }
        }
    }
}

fn blocks(phone: PhoneNumber, file: &NumberFile, now: Timestamp) -> Markup {
    let everywhere =
        file.number.blocked(now).map(|until| ("all clients", until, &file.number.block_reason, None));
    let within = file.clients.iter().filter_map(|(name, row)| {
        row.blocked(now).map(|until| (name.as_str(), until, &row.block_reason, Some(row.client)))
    });
    let blocks: Vec<_> = everywhere.into_iter().chain(within).collect();
    html! {
        section ."card stack" aria-labelledby="blocks" {
            h2 #blocks { "Blocks" }
            @for (whose, until, why, client) in &blocks {
                form ."row between" method="post" action="/console/unblock" {
                    p {
                        span ."badge bad" { "blocked" } " for " b { (whose) }
                        @if *until >= FOREVER { " for good" } @else { " until " (format::moment(*until)) }
                        @if let Some(why) = why { ": " (why) }
                    }
                    input type="hidden" name="phone" value=(phone);
                    @if let Some(client) = client { input type="hidden" name="client" value=(client); }
                    button .small { "Lift the block" }
                }
            }
            @if blocks.is_empty() { p .soft { "The number is not blocked." } }
            form ."row act" method="post" action="/console/block" {
                input type="hidden" name="phone" value=(phone);
                div .field {
                    label for="for" { "Block for all clients" }
                    select #for name="for" {
                        option value="day" { "for a day" }
                        option value="hour" { "for an hour" }
                        option value="week" { "for a week" }
                        option value="ever" { "for good" }
                    }
                }
                div ."field fill" {
                    label for="why" { "Reason" }
                    input #why name="reason" maxlength="500" autocomplete="off";
                }
                button .danger { "Block" }
            }
        }
    }
}

fn verifications(found: &[Found], now: Timestamp) -> Markup {
    let columns = ["Requested", "Client", "Purpose", "Status", "Delivery", "Error"].map(Column::Text);
    let rows = html! {
        @for (client, row) in found {
            tr {
                th .nowrap scope="row" {
                    a href={ "/console/verifications/" (row.id) } { (format::moment(row.created_at)) }
                }
                td { (client) }
                td { (row.key.purpose) }
                td { (status_badge(row.status_at(now))) }
                td { (delivery_badge(row.delivery)) }
                td { (format::error(row.error)) }
            }
        }
    };
    layout::table("Verifications of this number", &columns, rows)
}
