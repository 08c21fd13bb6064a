//! Finding a number or a verification, and what happened to it.

use std::fmt::Write as _;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use hulak_common::audit::Act;
use hulak_common::phone::PhoneNumber;
use hulak_common::staff::{BlockEverywhere, NumberFile, Operator, Search};
use hulak_common::time::Timestamp;
use hulak_common::timeline::Entry;
use hulak_common::verification::{Delivery, Message, Status, Verification};
use hulak_runtime::html::escape;
use hulak_store::Block;
use serde_json::{Value, json};
use uuid::Uuid;

use super::auth::{Form, Signed};
use super::pages::{self, badge};
use super::{Console, Shared, html, words};
use crate::problem::{Kind, Problem};

/// Verifications shown of a number.
const MOST: u32 = 50;
pub(super) use crate::routes::phones::FOREVER;

pub(super) fn phone(text: &str) -> Result<PhoneNumber, Problem> {
    let bad = |_| Problem::new(Kind::InvalidPhone, "this is not a mobile number of Nepal");
    PhoneNumber::parse(text.trim()).map_err(bad)
}

fn wanted(text: &str) -> Result<Search, Problem> {
    let text = text.trim();
    if let Ok(id) = text.parse::<Uuid>() {
        return Ok(Search::Id(id));
    }
    phone(text).map(Search::Phone).map_err(|_| {
        Problem::new(
            Kind::InvalidRequest,
            "type a mobile number of Nepal, in any spelling, or a verification's id",
        )
    })
}

/// Looks for a number or an id across clients.
pub(super) async fn search(
    console: &Console,
    who: &Operator,
    text: &str,
) -> Result<Vec<(String, Verification)>, Problem> {
    let search = wanted(text)?;
    // Who was looked for, but not whom exactly: the record must not become a list of numbers.
    let what = match search {
        Search::Phone(phone) => phone.masked().to_string(),
        Search::Id(id) => id.to_string(),
    };
    console.record(who, Act::Search, what).await?;
    console.store.search(search, MOST).await.map_err(|error| console.refuse(&error))
}

/// One verification with its client's name and its messages.
pub(super) async fn one(
    console: &Console,
    who: &Operator,
    id: Uuid,
) -> Result<(String, Verification, Vec<Message>), Problem> {
    console.record(who, Act::View, id.to_string()).await?;
    let found = console.store.search(Search::Id(id), 1).await.map_err(|error| console.refuse(&error))?.pop();
    let (client, row) =
        found.ok_or_else(|| Problem::new(Kind::NotFound, "there is no verification with this id"))?;
    let messages = console.store.messages(id).await.map_err(|error| console.refuse(&error))?;
    Ok((client, row, messages))
}

/// Blocks a number for all clients, or lifts that block.
pub(super) async fn set_block(
    console: &Console,
    who: &Operator,
    phone: PhoneNumber,
    block: Option<(Timestamp, String)>,
) -> Result<(), Problem> {
    // Here the record names the number: without it nobody could tell who lifted which block.
    let (act, what) = match &block {
        Some((until, why)) => {
            let end = if *until >= FOREVER { "for good".to_owned() } else { format!("until {until}") };
            (Act::Block, format!("{phone} {end}: {why}"))
        }
        None => (Act::Unblock, phone.to_string()),
    };
    console.record(who, act, what).await?;
    let block = block.map(|(until, why)| (until, Some(why).filter(|why| !why.is_empty())));
    let block = BlockEverywhere { phone, block };
    console.store.block_everywhere(&block).await.map_err(|error| console.refuse(&error))
}

/// A verification as JSON.
pub(super) fn summary(console: &Console, client: &str, row: &Verification) -> Value {
    json!({
        "id": row.id, "client": client, "phone": row.key.phone.to_string(),
        "operator": console.operators.lookup(&row.key.phone), "purpose": row.key.purpose,
        "status": row.status_at(console.clock.now()), "created_at": row.created_at, "ended_at": row.ended_at,
        "expires_at": row.expires_at, "updated_at": row.updated_at, "version": row.version,
        "checks_remaining": row.checks_remaining,
        "delivery": {"status": row.delivery, "messages": row.messages, "last_sent_at": row.last_sent_at, "error": row.error},
    })
}

/// Its story as JSON, in words and as it is kept.
pub(super) fn history(row: &Verification) -> Value {
    let entries = row.history.entries(row.created_at).map(|entry| match entry {
        Entry::Happened { at, event } => {
            let (_, what, why) = words::event(&event);
            json!({"at": at, "message": event.message(), "event": event.to_string(), "what": what, "why": why})
        }
        Entry::LeftOut(count) => json!({"left_out": count}),
        Entry::Unread(text) => json!({"event": text}),
    });
    entries.collect()
}

/// Its messages as JSON.
pub(super) fn messages(messages: &[Message]) -> Value {
    let one = |message: &Message| {
        json!({
            "seq": message.id.seq, "state": message.state, "route": message.route, "attempts": message.attempts,
            "ambiguous": message.ambiguous, "parts": message.parts, "error": message.error,
            "due_at": message.due_at, "created_at": message.created_at, "updated_at": message.updated_at,
        })
    };
    messages.iter().map(one).collect()
}

pub(super) async fn find(
    State(console): State<Shared>,
    Signed(who): Signed,
    form: Form,
) -> Result<Response, Problem> {
    let text = form.get("q");
    let found = search(&console, &who, &text).await?;
    match wanted(&text)? {
        Search::Phone(phone) => number_page(&console, &who, phone, &found, None).await,
        Search::Id(_) => match found.into_iter().next() {
            Some((client, row)) => {
                let messages =
                    console.store.messages(row.id).await.map_err(|error| console.refuse(&error))?;
                Ok(story_page(&console, &who, &client, &row, &messages))
            }
            None => Err(Problem::new(Kind::NotFound, "there is no verification with this id")),
        },
    }
}

pub(super) async fn verification(
    State(console): State<Shared>,
    Signed(who): Signed,
    Path(id): Path<Uuid>,
) -> Result<Response, Problem> {
    let (client, row, messages) = one(&console, &who, id).await?;
    Ok(story_page(&console, &who, &client, &row, &messages))
}

pub(super) async fn block(
    State(console): State<Shared>,
    Signed(who): Signed,
    form: Form,
) -> Result<Response, Problem> {
    let phone = phone(&form.get("phone"))?;
    let now = console.clock.now();
    let until = match form.get("for").as_str() {
        "hour" => now + Duration::from_secs(3_600),
        "day" => now + Duration::from_secs(86_400),
        "week" => now + Duration::from_secs(7 * 86_400),
        _ => FOREVER,
    };
    let why = super::acts::reason(&form.get("reason"))?;
    set_block(&console, &who, phone, Some((until, why))).await?;
    after_block(&console, &who, phone, "The number is blocked for all clients.").await
}

/// Lifts the block for all clients, or the one of the client that the form names.
pub(super) async fn unblock(
    State(console): State<Shared>,
    Signed(who): Signed,
    form: Form,
) -> Result<Response, Problem> {
    let phone = phone(&form.get("phone"))?;
    match form.get("client").parse::<Uuid>() {
        Err(_) => set_block(&console, &who, phone, None).await?,
        Ok(client) => {
            console.record(&who, Act::Unblock, format!("{phone} within client {client}")).await?;
            let block = Block { client, phone, block: None };
            console.store.block(&block, console.clock.now()).await.map_err(|error| console.refuse(&error))?;
        }
    }
    after_block(&console, &who, phone, "The block is lifted.").await
}

async fn after_block(
    console: &Console,
    who: &Operator,
    phone: PhoneNumber,
    said: &str,
) -> Result<Response, Problem> {
    let found = console.store.search(Search::Phone(phone), MOST).await;
    let found = found.map_err(|error| console.refuse(&error))?;
    number_page(console, who, phone, &found, Some(said)).await
}

async fn number_page(
    console: &Console,
    who: &Operator,
    phone: PhoneNumber,
    found: &[(String, Verification)],
    said: Option<&str>,
) -> Result<Response, Problem> {
    let file = console.store.number_file(phone).await.map_err(|error| console.refuse(&error))?;
    let now = console.clock.now();
    let operator = console.operators.lookup(&phone).unwrap_or("not known");
    let mut body = String::with_capacity(8 * 1024);
    // Writing to a string does not fail, here and below.
    let _ = write!(
        body,
        "<div class=\"stack loose\"><div class=\"stack tight\"><p><a href=\"/console\">← Console</a></p>\
        <h1>{phone}</h1><p class=\"soft\">Telecom operator: {}</p></div>",
        escape(operator)
    );
    if let Some(said) = said {
        let _ = write!(body, "<p class=\"message good\" role=\"status\">{said}</p>");
    }
    number_facts(&mut body, &file);
    blocks(&mut body, phone, &file, now);
    let _ = write!(
        body,
        "<section class=\"card flush\" aria-labelledby=\"found\"><header><h2 id=\"found\">Verifications</h2>\
        <span class=\"soft small\">the newest {MOST} at most, of all clients</span></header>"
    );
    if found.is_empty() {
        body.push_str("<p class=\"nothing soft\">None was ever asked for.</p>");
    } else {
        body.push_str("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Verifications of this number\"><table><thead><tr>\
            <th scope=\"col\">Asked for</th><th scope=\"col\">Client</th><th scope=\"col\">For</th><th scope=\"col\">Status</th>\
            <th scope=\"col\">Delivery</th><th scope=\"col\">Why</th></tr></thead><tbody>");
        for (client, row) in found {
            let _ = write!(
                body,
                "<tr><th scope=\"row\" class=\"nowrap\"><a href=\"/console/verifications/{}\">{}</a></th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                row.id,
                words::moment(row.created_at),
                escape(client),
                row.key.purpose,
                status_badge(row.status_at(now)),
                delivery_badge(row.delivery),
                escape(&words::error(row.error)),
            );
        }
        body.push_str("</tbody></table></div>");
    }
    body.push_str("</section></div>");
    Ok(html(StatusCode::OK, pages::page("Number", who, &body)))
}

fn number_facts(body: &mut String, file: &NumberFile) {
    let number = &file.number;
    let last = number.last_sent_at.map_or("never".to_owned(), words::moment);
    let verified: Vec<_> = file
        .clients
        .iter()
        .filter_map(|(name, row)| {
            row.validated_at.map(|at| format!("{} ({})", escape(name), words::moment(at)))
        })
        .collect();
    let verified = if verified.is_empty() { "by nobody".to_owned() } else { verified.join(", ") };
    let _ = write!(
        body,
        "<section class=\"card\" aria-label=\"What is known\"><dl class=\"pairs\">\
         <div><dt>Messages that the gateway accepted</dt><dd>{}</dd></div>\
         <div><dt>Sends of which nobody knows</dt><dd>{}</dd></div>\
         <div><dt>Last accepted</dt><dd>{last}</dd></div><div><dt>Verified</dt><dd>{verified}</dd></div></dl></section>",
        words::number(number.otp_count),
        words::number(number.ambiguous_count),
    );
}

fn blocks(body: &mut String, phone: PhoneNumber, file: &NumberFile, now: Timestamp) {
    body.push_str("<section class=\"card stack\" aria-labelledby=\"blocks\"><h2 id=\"blocks\">Blocks</h2>");
    let mut any = false;
    let everywhere =
        file.number.blocked(now).map(|until| ("all clients", until, &file.number.block_reason, None));
    let within = file.clients.iter().filter_map(|(name, row)| {
        row.blocked(now).map(|until| (name.as_str(), until, &row.block_reason, Some(row.client)))
    });
    for (whose, until, why, client) in everywhere.into_iter().chain(within) {
        any = true;
        let end =
            if until >= FOREVER { "for good".to_owned() } else { format!("until {}", words::moment(until)) };
        let why = why.as_deref().map(|why| format!(": {}", escape(why))).unwrap_or_default();
        let field = client.map(|id| format!("<input type=\"hidden\" name=\"client\" value=\"{id}\">"));
        let _ = write!(
            body,
            "<form class=\"row between\" method=\"post\" action=\"/console/unblock\">\
             <p><span class=\"badge bad\">blocked</span> for <b>{}</b> {end}{why}</p>\
             <input type=\"hidden\" name=\"phone\" value=\"{phone}\">{}<button class=\"small\">Lift the block</button></form>",
            escape(whose),
            field.unwrap_or_default(),
        );
    }
    if !any {
        body.push_str("<p class=\"soft\">The number is not blocked.</p>");
    }
    let _ = write!(
        body,
        "<form class=\"row act\" method=\"post\" action=\"/console/block\"><input type=\"hidden\" name=\"phone\" value=\"{phone}\">\
         <div class=\"field\"><label for=\"for\">Block for all clients</label><select id=\"for\" name=\"for\">\
         <option value=\"day\">for a day</option><option value=\"hour\">for an hour</option><option value=\"week\">for a week</option>\
         <option value=\"ever\">for good</option></select></div>\
         <div class=\"field fill\"><label for=\"why\">Why</label><input id=\"why\" name=\"reason\" maxlength=\"500\" autocomplete=\"off\"></div>\
         <button class=\"danger\">Block</button></form></section>"
    );
}

fn status_badge(status: Status) -> String {
    let class = match status {
        Status::Approved => "good",
        Status::Pending => "info",
        Status::Expired | Status::Failed => "bad",
        Status::Canceled => "",
    };
    badge(class, status.as_str())
}

fn delivery_badge(delivery: Delivery) -> String {
    let class = match delivery {
        Delivery::Sent => "good",
        Delivery::Queued | Delivery::Sending => "info",
        Delivery::Unknown => "warn",
        Delivery::Failed | Delivery::Expired => "bad",
        Delivery::Canceled => "",
    };
    badge(class, delivery.as_str())
}

fn story_page(
    console: &Console,
    who: &Operator,
    client: &str,
    row: &Verification,
    messages: &[Message],
) -> Response {
    let now = console.clock.now();
    let mut body = String::with_capacity(8 * 1024);
    let _ = write!(
        body,
        "<div class=\"stack loose\"><div class=\"stack tight\"><p><a href=\"/console\">← Console</a></p>\
         <h1>A verification of {}</h1><p class=\"row\">{} {}</p></div>",
        row.key.phone,
        status_badge(row.status_at(now)),
        delivery_badge(row.delivery).replacen('>', ">message ", 1),
    );
    if row.error.is_some() {
        let _ = write!(body, "<p class=\"message bad\">{}</p>", escape(&words::error(row.error)));
    }
    let fact = |name: &str, value: &str| format!("<div><dt>{name}</dt><dd>{}</dd></div>", escape(value));
    let operator = console.operators.lookup(&row.key.phone).unwrap_or("not known");
    let ended = row.ended_at.map_or("not yet".to_owned(), words::moment);
    let _ = write!(
        body,
        "<section class=\"card stack\" aria-label=\"What it is\"><dl class=\"pairs\">{}{}{}{}{}{}{}{}</dl>\
         <form class=\"row\" method=\"post\" action=\"/console/find\"><input type=\"hidden\" name=\"q\" value=\"{}\">\
         <button class=\"small\">All about this number</button></form></section>",
        fact("Client", client),
        fact("For", row.key.purpose.as_str()),
        fact("Telecom operator", operator),
        fact("Asked for", &words::moment(row.created_at)),
        fact("Code good until", &words::moment(row.expires_at)),
        fact("Ended", &ended),
        fact("Wrong codes left", &row.checks_remaining.to_string()),
        fact("Id", &row.id.to_string()),
        row.key.phone,
    );
    timeline(&mut body, row);
    message_table(&mut body, messages);
    body.push_str("</div>");
    html(StatusCode::OK, pages::page("Verification", who, &body))
}

fn timeline(body: &mut String, row: &Verification) {
    body.push_str("<section class=\"card stack\" aria-labelledby=\"story\"><h2 id=\"story\">What happened</h2><ol class=\"timeline\">");
    let mut last = row.created_at;
    for entry in row.history.entries(row.created_at) {
        let _ = match entry {
            Entry::Happened { at, event } => {
                let (class, what, why) = words::event(&event);
                let after =
                    if at == row.created_at { String::new() } else { format!("+{}", words::span(at - last)) };
                last = at;
                let why =
                    if why.is_empty() { why } else { format!("<p class=\"soft\">{}</p>", escape(&why)) };
                write!(
                    body,
                    "<li class=\"{class}\"><p><b>{}</b></p>{why}<p class=\"small faint\"><time datetime=\"{at}\">{}</time> {after}</p></li>",
                    escape(&what),
                    words::moment(at),
                )
            }
            Entry::LeftOut(count) => {
                write!(body, "<li class=\"soft\"><p>{count} entries were left out here</p></li>")
            }
            Entry::Unread(text) => write!(body, "<li><p><code>{}</code></p></li>", escape(&text)),
        };
    }
    body.push_str("</ol>");
    if row.history.as_str().is_empty() {
        body.push_str("<p class=\"soft\">It was made before stories were kept.</p>");
    }
    body.push_str("</section>");
}

fn message_table(body: &mut String, messages: &[Message]) {
    body.push_str("<section class=\"card flush\" aria-labelledby=\"messages\"><header><h2 id=\"messages\">Messages</h2></header>\
        <div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Messages\"><table><thead><tr><th scope=\"col\">No.</th><th scope=\"col\">State</th>\
        <th scope=\"col\">Asked for</th><th scope=\"col\">Changed</th><th scope=\"col\" class=\"number\">Calls</th><th scope=\"col\" class=\"number\">Parts</th>\
        <th scope=\"col\">Why</th></tr></thead><tbody>");
    for message in messages {
        let parts = message.parts.map_or("–".to_owned(), |parts| parts.to_string());
        let _ = write!(
            body,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"nowrap\">{}</td><td class=\"nowrap\">{}</td><td class=\"number\">{}</td><td class=\"number\">{parts}</td><td>{}</td></tr>",
            message.id.seq,
            delivery_badge(message.state),
            words::moment(message.created_at),
            words::moment(message.updated_at),
            message.attempts,
            escape(&words::error(message.error)),
        );
    }
    body.push_str("</tbody></table></div></section>");
}
