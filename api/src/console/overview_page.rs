//! The console's pages: the sign-in, the overview, the dead letters, the record.

use std::fmt::Write as _;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use hulak_broker::DeadLetter;
use hulak_common::audit::AuditEntry;
use hulak_common::staff::Operator;
use hulak_common::usage::Usage;
use hulak_runtime::html::{LOGO, Page, escape};
use hulak_service::metrics_history::{Board, Span};

use super::auth::{Signed, by_session};
use super::calls::{Before, RECORD_PAGE, Range};
use super::chart::{Chart, Series};
use super::overview::{MOST_WAITING, Overview};
use super::{Console, FILES, Shared, bill, html, words};
use crate::problem::{Kind, Problem};

/// Entries of the record on the overview.
const RECORD_SHOWN: u32 = 12;

pub(super) fn badge(class: &str, text: &str) -> String {
    format!("<span class=\"badge {class}\">{}</span>", escape(text))
}

fn document(title: &str, body: &str) -> String {
    let title = format!("{title} · Hulak console");
    Page { lang: "en", title: &title, head: "", files: &FILES, body }.render()
}

/// A page of somebody who is signed in.
pub(super) fn page(title: &str, who: &Operator, content: &str) -> String {
    let body = format!(
        "<a class=\"skip\" href=\"#main\">Skip to the content</a>\n<header class=\"top\"><div class=\"wrap\">\
         <a class=\"brand\" href=\"/console\"><img src=\"{}\" alt=\"\">Hulak <span class=\"of\">console</span></a>\
         <form class=\"find\" role=\"search\" method=\"post\" action=\"/console/find\"><label class=\"unseen\" for=\"q\">Number or id</label>\
         <input id=\"q\" name=\"q\" type=\"search\" placeholder=\"Number or id\" autocomplete=\"off\" required>\
         <button class=\"small\">Find</button></form>\
         <div class=\"row push\"><span class=\"soft small\">{} <span class=\"mono which\">{}…</span></span>\
         <form method=\"post\" action=\"/console/sign-out\"><button class=\"small quiet\">Sign out</button></form></div>\
         </div></header>\n<main class=\"wrap\" id=\"main\" tabindex=\"-1\">{content}</main>\n",
        LOGO.address(),
        escape(&who.name),
        escape(&who.prefix),
    );
    document(title, &body)
}

/// The page of somebody who is not.
pub(super) fn sign_in(status: StatusCode, said: Option<&str>) -> Response {
    let said = said.map(|text| format!("<p class=\"message bad\" role=\"alert\" id=\"said\">{text}</p>"));
    let described = if said.is_some() { " aria-describedby=\"said\" aria-invalid=\"true\"" } else { "" };
    let body = format!(
        "<main class=\"wrap narrow door\"><div class=\"card stack\"><p class=\"brand\"><img src=\"{}\" alt=\"\">Hulak \
         <span class=\"of\">console</span></p><h1>Sign in</h1>{}\
         <form class=\"stack\" method=\"post\" action=\"/console/sign-in\"><div class=\"field\"><label for=\"key\">Operator's key</label>\
         <input id=\"key\" name=\"key\" type=\"password\" autocomplete=\"current-password\" required autofocus spellcheck=\"false\"{described}>\
         <span class=\"hint\">It begins with ho_. <code>hulak-api keys create --client NAME --operator</code> makes one; \
         the one-process shape keeps one in the file <code>operator-key</code> of its data directory.</span></div>\
         <button class=\"primary wide\">Sign in</button></form></div></main>\n",
        LOGO.address(),
        said.unwrap_or_default(),
    );
    html(status, document("Sign in", &body))
}

/// A refusal as a page.
pub(super) fn refusal(problem: &Problem) -> Response {
    if problem.kind() == Kind::Unauthorized {
        return sign_in(StatusCode::UNAUTHORIZED, None);
    }
    let body_json = problem.body("");
    let text =
        |name: &str| body_json.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    let (title, detail) = if problem.kind() == Kind::Unavailable {
        (
            "The database or the broker is away".to_owned(),
            "The console shows what they know. Try again in a moment.".to_owned(),
        )
    } else {
        (text("title"), text("detail"))
    };
    let body = format!(
        "<main class=\"wrap narrow door\"><div class=\"card stack\"><h1>{}</h1><p class=\"message bad\" role=\"alert\">{}</p>\
         <p><a class=\"button\" href=\"/console\">Back to the console</a></p></div></main>\n",
        escape(&title),
        escape(&detail),
    );
    html(problem.kind().status(), document("Not done", &body))
}

pub(super) async fn home(
    State(console): State<Shared>,
    headers: HeaderMap,
    Query(range): Query<Range>,
) -> Result<Response, Problem> {
    let Some(who) = by_session(&console, &headers).await? else { return Ok(sign_in(StatusCode::OK, None)) };
    let live = live_part(&console, range.span()).await?;
    let usage = bill::rows(&console, bill::SHOWN_DAYS).await;
    let record = console.store.audit_log(None, RECORD_SHOWN).await.map_err(|error| console.refuse(&error))?;
    let mut body =
        format!("<div id=\"live\" class=\"stack loose\" data-range=\"{}\">{live}</div>", name(range.span()));
    bill_part(&mut body, usage.ok().as_deref());
    body.push_str("<section class=\"card flush after\" aria-labelledby=\"record\"><header><h2 id=\"record\">What operators did</h2>\
        <a class=\"push small\" href=\"/console/record\">All of it</a></header>");
    record_table(&mut body, &record);
    body.push_str("</section>");
    Ok(html(StatusCode::OK, page("Overview", &who, &body)))
}

/// The part that is fetched anew.
pub(super) async fn live(
    State(console): State<Shared>,
    _: Signed,
    Query(range): Query<Range>,
) -> Result<Response, Problem> {
    Ok(html(StatusCode::OK, live_part(&console, range.span()).await?))
}

const fn name(span: Span) -> &'static str {
    match span {
        Span::Hour => "hour",
        Span::Day => "day",
    }
}

async fn live_part(console: &Console, span: Span) -> Result<String, Problem> {
    let board = console.figures.now(console).await.map_err(|error| console.refuse(&error))?;
    let view = Overview::read(console, &board, span).await.map_err(|error| console.refuse(&error))?;
    let mut out = String::with_capacity(64 * 1024);
    verdict(&mut out, &view);
    stats(&mut out, &view);
    charts(&mut out, &board, &view, span);
    operators(&mut out, &view, span);
    workers(&mut out, &view);
    Ok(out)
}

fn verdict(out: &mut String, view: &Overview) {
    let verdict = &view.verdict;
    let act = if view.pause.is_some() {
        "<form method=\"post\" action=\"/console/resume\"><button class=\"primary large\">Resume sending</button></form>".to_owned()
    } else {
        "<details class=\"stop\"><summary class=\"button\">Pause sending…</summary><form class=\"row\" method=\"post\" action=\"/console/pause\">\
         <div class=\"field fill\"><label for=\"reason\">Why</label><input id=\"reason\" name=\"reason\" maxlength=\"500\" autocomplete=\"off\"></div>\
         <button class=\"danger\">Pause sending</button></form></details>".to_owned()
    };
    // Writing to a string does not fail, here and below.
    let _ = write!(
        out,
        "<section class=\"verdict {}\" aria-label=\"Is it sending?\"><div class=\"lamp\" aria-hidden=\"true\"></div>\
         <div class=\"said\" role=\"status\"><h1>{}</h1><p>{}</p></div>{act}</section>",
        verdict.light.class(),
        escape(&verdict.sentence),
        escape(&verdict.reason),
    );
}

fn stats(out: &mut String, view: &Overview) {
    out.push_str("<dl class=\"card grid stats\" aria-label=\"Where things stand\">");
    let mut stat = |name: &str, value: String, more: String| {
        let _ = write!(
            out,
            "<div class=\"stat\"><dt>{name}</dt><dd>{value}</dd><dd class=\"more\">{more}</dd></div>"
        );
    };
    let queue = &view.queue;
    let waiting = if queue.waiting >= u64::from(MOST_WAITING) {
        format!("{}+", words::number(queue.waiting))
    } else {
        words::number(queue.waiting)
    };
    stat(
        "Waiting for a worker",
        waiting,
        if queue.waiting == 0 {
            "none is late".to_owned()
        } else {
            format!("the oldest for {}", words::seconds(Some(queue.oldest_seconds)))
        },
    );
    let at_broker = queue.jobs.map_or("unknown".to_owned(), words::number);
    let dead = queue.dead.map_or("broker away".to_owned(), |dead| {
        format!("<a href=\"/console/dead\">{} dead letters</a>", words::number(dead))
    });
    stat("Jobs at the broker", at_broker, dead);
    let credits = &view.credits;
    let left = credits.left.map_or("–".to_owned(), |left| words::number(left.max(0.0) as u64));
    let last = match (credits.days_left, credits.left) {
        (Some(days), _) if days > 730.0 => "last for years at this rate".to_owned(),
        (Some(days), _) => format!("last {} at the last day's rate", words::days(days)),
        (None, Some(_)) => "none used in the last day".to_owned(),
        (None, None) => "the gateway has not said".to_owned(),
    };
    stat("Credits left", left, last);
    let sums = &view.sums;
    let conversion = words::percent(sums.approved, sums.created);
    stat(
        "Conversion",
        conversion,
        format!("{} of {} approved", words::number(sums.approved), words::number(sums.created)),
    );
    let alive = view.workers.iter().filter(|worker| worker.alive).count();
    let flying: u32 =
        view.workers.iter().filter_map(|worker| worker.state.as_ref()).map(|state| state.in_flight).sum();
    stat("Workers", words::number(alive as u64), format!("{flying} messages in flight"));
    out.push_str("</dl>");
}

fn charts(out: &mut String, board: &Board, view: &Overview, span: Span) {
    let now = view.at;
    let current = |which| if which == span { " aria-current=\"true\"" } else { "" };
    let _ = write!(
        out,
        "<section class=\"stack\" aria-labelledby=\"traffic\"><div class=\"row between\"><h2 id=\"traffic\">Traffic</h2>\
         <nav class=\"row switch\" aria-label=\"Time shown\"><a href=\"/console\"{}>Last hour</a><a href=\"/console?range=day\"{}>Last day</a></nav></div>\
         <div class=\"grid charts\">",
        current(Span::Hour),
        current(Span::Day),
    );
    let series = |name: &str, prefix: &str, colour| Series {
        name: name.to_owned(),
        values: board.series(prefix, span, now),
        colour,
    };
    let failures = board.split("failures", span, now);
    let mut reasons: Vec<_> = failures.iter().filter(|(_, count)| **count > 0).collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let colours = ["bad", "3", "4", "warn"];
    let failures = reasons
        .iter()
        .zip(colours)
        .map(|((reason, _), colour)| series(words::fault(reason), &format!("failures/{reason}"), colour));
    let all = [
        ("codes", "Verifications", vec![series("asked for", "created", "1")], "None was asked for."),
        ("approvals", "Approvals", vec![series("approved", "ended/approved", "good")], "None was approved."),
        (
            "sends",
            "Messages that the gateway accepted",
            vec![series("sent", "messages/sent", "2")],
            "None was sent.",
        ),
        ("failures", "Messages that failed, by reason", failures.collect(), "None failed."),
        (
            "requests",
            "Requests to the API",
            vec![
                series("answered", "requests/good", "1"),
                series("refused", "requests/refused", "3"),
                series("over a limit", "requests/limited", "4"),
                series("failed", "requests/failed", "bad"),
            ],
            "There were none.",
        ),
        (
            "checks",
            "Codes typed",
            vec![series("right", "checks/approved", "good"), series("wrong", "checks/incorrect", "warn")],
            "None was typed.",
        ),
    ];
    for (id, title, series, nothing) in all {
        out.push_str(&Chart { id, title, series, span, now, nothing }.html());
    }
    out.push_str("</div></section>");
}

fn operators(out: &mut String, view: &Overview, span: Span) {
    let _ = write!(
        out,
        "<section class=\"card flush\" aria-labelledby=\"telecoms\"><header><h2 id=\"telecoms\">By telecom operator</h2>\
         <span class=\"soft small\">{}; half and 99 of 100 were faster than the times shown</span></header>",
        if span == Span::Hour { "the last hour" } else { "the last day" },
    );
    if view.operators.is_empty() {
        out.push_str("<p class=\"nothing soft\">No code was asked for yet.</p></section>");
        return;
    }
    out.push_str("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"By telecom operator\"><table><thead><tr>\
        <th scope=\"col\">Operator</th><th scope=\"col\" class=\"number\">Asked for</th><th scope=\"col\" class=\"number\">Approved</th>\
        <th scope=\"col\" class=\"number\">Conversion</th><th scope=\"col\" class=\"number\">Sent</th><th scope=\"col\" class=\"number\">Not sent</th>\
        <th scope=\"col\" class=\"number\">To the gateway, p50</th><th scope=\"col\" class=\"number\">p99</th>\
        <th scope=\"col\" class=\"number\">To the approval, p50</th><th scope=\"col\" class=\"number\">p99</th></tr></thead><tbody>");
    for row in &view.operators {
        let _ = write!(out, "<tr><th scope=\"row\">{}</th>", escape(&row.operator));
        let cells = [
            words::number(row.created),
            words::number(row.approved),
            words::percent(row.approved, row.created),
            words::number(row.sent),
            words::number(row.failed),
            words::seconds(row.gateway_p50),
            words::seconds(row.gateway_p99),
            words::seconds(row.approval_p50),
            words::seconds(row.approval_p99),
        ];
        for cell in cells {
            let _ = write!(out, "<td class=\"number nowrap\">{cell}</td>");
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div></section>");
}

fn workers(out: &mut String, view: &Overview) {
    out.push_str("<section class=\"card flush\" aria-labelledby=\"workers\"><header><h2 id=\"workers\">Workers</h2></header>");
    if view.workers.is_empty() {
        out.push_str("<p class=\"nothing soft\">None was heard of in the last minute.</p></section>");
        return;
    }
    out.push_str("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Workers\"><table><thead><tr><th scope=\"col\">Worker</th>\
        <th scope=\"col\">State</th><th scope=\"col\">Circuit</th><th scope=\"col\" class=\"number\">In flight</th>\
        <th scope=\"col\" class=\"number\">Share a second</th><th scope=\"col\">Runs for</th><th scope=\"col\">Release</th><th scope=\"col\">Last sign</th></tr></thead><tbody>");
    for worker in &view.workers {
        let paused = worker.state.as_ref().is_some_and(|state| state.paused);
        let (class, state) = match (worker.alive, paused) {
            (false, _) => ("bad", "silent"),
            (true, true) => ("warn", "paused"),
            (true, false) => ("good", "working"),
        };
        let known = worker.state.as_ref();
        let circuit = known.map_or(badge("", "not known"), |state| match state.circuit.as_str() {
            "closed" => badge("good", "closed"),
            "open" => {
                badge("bad", &state.gateway_code.map_or("open".to_owned(), |code| format!("open, {code}")))
            }
            other => badge("warn", other),
        });
        let told = |tell: &dyn Fn(&hulak_common::worker_registry::WorkerState) -> String| {
            known.map_or("–".to_owned(), tell)
        };
        let _ = write!(
            out,
            "<tr><th scope=\"row\" class=\"mono\">{}</th><td>{}</td><td>{circuit}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td>{}</td><td>{}</td><td>{} ago</td></tr>",
            escape(worker.id.get(..8).unwrap_or(&worker.id)),
            badge(class, state),
            told(&|state| format!("{} of {}", state.in_flight, state.concurrency)),
            told(&|state| format!("{:.1}", state.share)),
            told(&|state| words::span(view.at - state.started_at)),
            escape(&told(&|state| state.version.clone())),
            words::seconds(Some(worker.seen_seconds_ago)),
        );
    }
    out.push_str("</tbody></table></div></section>");
}

fn bill_part(out: &mut String, rows: Option<&[Usage]>) {
    out.push_str("<section class=\"card flush after\" aria-labelledby=\"bill\"><header><h2 id=\"bill\">What the bill will say</h2>\
        <span class=\"soft small\">a part is a credit; days are Nepal's</span>\
        <a class=\"push small\" href=\"/console/bill.csv?days=31\">Last 31 days as CSV</a></header>");
    match rows {
        None => out.push_str("<p class=\"nothing soft\">It takes too long to add up at the moment.</p>"),
        Some([]) => out.push_str("<p class=\"nothing soft\">Nothing was sent in the last two weeks.</p>"),
        Some(rows) => {
            out.push_str("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Messages and parts by client and day\"><table><thead><tr>\
                <th scope=\"col\">Day</th><th scope=\"col\">Client</th><th scope=\"col\" class=\"number\">Messages</th><th scope=\"col\" class=\"number\">Parts</th>\
                <th scope=\"col\" class=\"number\">Perhaps more</th><th scope=\"col\" class=\"number\">Failed</th><th scope=\"col\" class=\"number\">Free of charge</th></tr></thead><tbody>");
            for row in rows {
                let sum = row.sum;
                let _ = write!(
                    out,
                    "<tr><th scope=\"row\" class=\"nowrap\">{}</th><td>{}</td>",
                    row.day,
                    escape(&row.client_name)
                );
                for value in [sum.messages, sum.parts, sum.uncertain, sum.failed, sum.unbilled] {
                    let _ = write!(out, "<td class=\"number\">{}</td>", words::number(value));
                }
                out.push_str("</tr>");
            }
            out.push_str("</tbody></table></div>");
        }
    }
    out.push_str("</section>");
}

fn record_table(out: &mut String, entries: &[AuditEntry]) {
    if entries.is_empty() {
        out.push_str("<p class=\"nothing soft\">Nothing yet.</p>");
        return;
    }
    out.push_str("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"What operators did\"><table><thead><tr><th scope=\"col\">When</th>\
        <th scope=\"col\">Who</th><th scope=\"col\">Key</th><th scope=\"col\">What</th><th scope=\"col\">To what</th></tr></thead><tbody>");
    for entry in entries {
        let who = if entry.who.is_empty() { "somebody" } else { &entry.who };
        let key =
            if entry.key_prefix.is_empty() { "–".to_owned() } else { format!("{}…", entry.key_prefix) };
        let _ = write!(
            out,
            "<tr><th scope=\"row\" class=\"nowrap\"><time datetime=\"{}\">{}</time></th><td>{}</td><td class=\"mono\">{}</td><td>{}</td><td class=\"wordy\">{}</td></tr>",
            entry.at,
            words::moment(entry.at),
            escape(who),
            escape(&key),
            entry.act,
            escape(&entry.what),
        );
    }
    out.push_str("</tbody></table></div>");
}

pub(super) async fn record(
    State(console): State<Shared>,
    Signed(who): Signed,
    Query(before): Query<Before>,
) -> Result<Response, Problem> {
    let entries = console.store.audit_log(before.id()?, RECORD_PAGE).await;
    let entries = entries.map_err(|error| console.refuse(&error))?;
    let mut body =
        "<div class=\"stack loose\"><div class=\"stack tight\"><p><a href=\"/console\">← Console</a></p>\
        <h1>What operators did</h1></div><section class=\"card flush\" aria-label=\"The record\">"
            .to_owned();
    record_table(&mut body, &entries);
    body.push_str("</section>");
    if let Some(last) = entries.last().filter(|_| entries.len() == RECORD_PAGE as usize) {
        let _ =
            write!(body, "<p><a class=\"button\" href=\"/console/record?before={}\">Older</a></p>", last.id);
    }
    body.push_str("</div>");
    Ok(html(StatusCode::OK, page("Record", &who, &body)))
}

/// The dead letters.
pub(super) fn dead(who: &Operator, count: u64, letters: &[DeadLetter]) -> Response {
    let mut body = format!(
        "<div class=\"stack loose\"><div class=\"stack tight\"><p><a href=\"/console\">← Console</a></p><h1>Dead letters</h1>\
         <p class=\"soft\">Jobs that no worker could read. No message is lost with them: the relay publishes what has not been sent.</p></div>\
         <section class=\"card flush\" aria-labelledby=\"letters\"><header><h2 id=\"letters\">{} dead letters</h2></header>",
        words::number(count)
    );
    if letters.is_empty() {
        body.push_str("<p class=\"nothing soft\">There are none.</p></section></div>");
        return html(StatusCode::OK, page("Dead letters", who, &body)).into_response();
    }
    body.push_str("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"The oldest dead letters\"><table><thead><tr><th scope=\"col\">Died</th>\
        <th scope=\"col\">Why</th><th scope=\"col\">What it holds</th></tr></thead><tbody>");
    for letter in letters {
        let died = letter.died_at.map_or("–".to_owned(), words::moment);
        let _ = write!(
            body,
            "<tr><th scope=\"row\" class=\"nowrap\">{died}</th><td>{}</td><td class=\"wordy\"><code>{}</code></td></tr>",
            escape(&letter.reason),
            escape(&letter.payload.escape_debug().to_string()),
        );
    }
    body.push_str(
        "</tbody></table></div></section><form method=\"post\" action=\"/console/purge\">\
        <button class=\"danger\">Throw all of them away</button></form></div>",
    );
    html(StatusCode::OK, page("Dead letters", who, &body)).into_response()
}
