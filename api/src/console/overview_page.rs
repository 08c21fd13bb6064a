//! The overview: whether the service is sending, charts, workers, usage and the newest entries of the audit log.

use std::cmp::Reverse;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use hulak_common::usage::Usage;
use hulak_common::worker_registry::WorkerState;
use hulak_service::metrics_history::{Board, Span};
use maud::{Markup, html};

use super::auth::{SignedIn, by_session};
use super::chart::{Chart, Series};
use super::form::{Form, see_other};
use super::layout::{self, Column, badge, html_response, nothing, table};
use super::overview::{MAX_WAITING, Overview, Range, WorkerView};
use super::sign_in_page::sign_in_page;
use super::state::{Console, Shared};
use super::{actions, audit, format, usage};
use crate::http::problem::Problem;

/// Entries of the audit log on the overview.
const AUDIT_ENTRIES: u32 = 12;

pub(super) async fn page(
    State(console): State<Shared>,
    headers: HeaderMap,
    Query(range): Query<Range>,
) -> Result<Response, Problem> {
    let Some(operator) = by_session(&console, &headers).await? else {
        return Ok(sign_in_page(StatusCode::OK, None));
    };
    let live = live_part(&console, range.span()).await?;
    let usage = usage::rows(&console, usage::SHOWN_DAYS).await;
    let entries = audit::newest(&console, None, AUDIT_ENTRIES).await?;
    let range = match range.span() {
        Span::Hour => "hour",
        Span::Day => "day",
    };
    let content = html! {
        div #live ."stack loose" data-range=(range) { (live) }
        (usage_section(usage.ok().as_deref()))
        section ."card flush after" aria-labelledby="record" {
            header {
                h2 #record { "Audit log" }
                a ."push small" href="/console/record" { "All entries" }
            }
            (audit::table(&entries))
        }
    };
    Ok(layout::page("Overview", &operator, content))
}

/// The part of the overview that the script fetches again.
pub(super) async fn live(
    State(console): State<Shared>,
    _: SignedIn,
    Query(range): Query<Range>,
) -> Result<Response, Problem> {
    Ok(html_response(StatusCode::OK, live_part(&console, range.span()).await?.into_string()))
}

pub(super) async fn pause(
    State(console): State<Shared>,
    SignedIn(operator): SignedIn,
    form: Form,
) -> Result<Response, Problem> {
    actions::pause(&console, &operator, form.get("reason")).await?;
    Ok(see_other("/console"))
}

pub(super) async fn resume(
    State(console): State<Shared>,
    SignedIn(operator): SignedIn,
) -> Result<Response, Problem> {
    actions::resume(&console, &operator).await?;
    Ok(see_other("/console"))
}

async fn live_part(console: &Console, span: Span) -> Result<Markup, Problem> {
    let board = console.metrics.read(&console.store, console.clock.now()).await;
    let board = board.map_err(|error| console.refuse(&error))?;
    let view = Overview::read(console, &board, span).await.map_err(|error| console.refuse(&error))?;
    Ok(html! {
        (sending_status(&view))
        (stats(&view))
        (traffic(&board, &view, span))
        (carriers(&view, span))
        (workers(&view))
    })
}

fn sending_status(view: &Overview) -> Markup {
    let status = &view.status;
    html! {
        section .verdict .(status.level.class()) aria-label="Is it sending?" {
            div .lamp aria-hidden="true" {}
            div .said role="status" { h1 { (status.sentence) } p { (status.reason) } }
            @if view.pause.is_some() {
                form method="post" action="/console/resume" {
                    button ."primary large" { "Resume sending" }
                }
            } @else {
                details .stop {
                    summary .button { "Pause sending…" }
                    form .row method="post" action="/console/pause" {
                        div ."field fill" {
                            label for="reason" { "Reason" }
                            input #reason name="reason" maxlength="500" autocomplete="off";
                        }
                        button .danger { "Pause sending" }
                    }
                }
            }
        }
    }
}

fn stats(view: &Overview) -> Markup {
    let Overview { queue, credits, sums, .. } = view;
    let more = if queue.waiting >= u64::from(MAX_WAITING) { "+" } else { "" };
    let waiting = format!("{}{more}", format::number(queue.waiting));
    let oldest = if queue.waiting == 0 {
        "no message is waiting".to_owned()
    } else {
        format!("the oldest for {}", format::seconds(Some(queue.oldest_seconds)))
    };
    let jobs = queue.jobs.map_or("unknown".to_owned(), format::number);
    let dead = match queue.dead {
        None => html! { "broker not available" },
        Some(dead) => html! { a href="/console/dead" { (format::number(dead)) " dead letters" } },
    };
    let left = credits.left.map_or("–".to_owned(), |left| format::number(left.max(0.0) as u64));
    let lasts = match (credits.days_left, credits.left) {
        (Some(days), _) if days > 730.0 => "enough for years at this rate".to_owned(),
        (Some(days), _) => format!("enough for {} at the last day's rate", format::days(days)),
        (None, Some(_)) => "none used in the last day".to_owned(),
        (None, None) => "the gateway has not reported them".to_owned(),
    };
    let conversion = format::percent(sums.approved, sums.created);
    let approved = format!("{} of {} approved", format::number(sums.approved), format::number(sums.created));
    let alive = view.workers.iter().filter(|worker| worker.alive).count();
    let in_flight: u32 =
        view.workers.iter().filter_map(|worker| worker.state.as_ref()).map(|state| state.in_flight).sum();
    let stats = [
        ("Waiting for a worker", waiting, html! { (oldest) }),
        ("Jobs at the broker", jobs, dead),
        ("Credits left", left, html! { (lasts) }),
        ("Conversion", conversion, html! { (approved) }),
        ("Workers", format::number(alive as u64), html! { (in_flight) " messages in flight" }),
    ];
    html! {
        dl ."card grid stats" aria-label="Current figures" {
            @for (name, value, more) in stats {
                div .stat { dt { (name) } dd { (value) } dd .more { (more) } }
            }
        }
    }
}

fn traffic(board: &Board, view: &Overview, span: Span) -> Markup {
    let current = |which| (which == span).then_some("true");
    html! {
        section .stack aria-labelledby="traffic" {
            div ."row between" {
                h2 #traffic { "Traffic" }
                nav ."row switch" aria-label="Time shown" {
                    a href="/console" aria-current=[current(Span::Hour)] { "Last hour" }
                    a href="/console?range=day" aria-current=[current(Span::Day)] { "Last day" }
                }
            }
            div ."grid charts" {
                @for (id, title, series, nothing) in charts(board, view, span) {
                    (Chart { id, title, series, span, now: view.at, nothing }.render())
                }
            }
        }
    }
}

/// The charts: id, title, series, and the text in place of an empty one.
fn charts(
    board: &Board,
    view: &Overview,
    span: Span,
) -> [(&'static str, &'static str, Vec<Series>, &'static str); 6] {
    let series = |name: &str, prefix: &str, colour| Series {
        name: name.to_owned(),
        values: board.series(prefix, span, view.at),
        colour,
    };
    let failures = board.split("failures", span, view.at);
    let mut reasons: Vec<_> = failures.iter().filter(|(_, count)| **count > 0).collect();
    reasons.sort_by_key(|(_, count)| Reverse(**count));
    let failures = reasons
        .iter()
        .zip(["bad", "3", "4", "warn"])
        .map(|((reason, _), colour)| series(format::fault(reason), &format!("failures/{reason}"), colour));
    [
        (
            "codes",
            "Verifications",
            vec![series("requested", "created", "1")],
            "No verification was requested.",
        ),
        (
            "approvals",
            "Approvals",
            vec![series("approved", "ended/approved", "good")],
            "No verification was approved.",
        ),
        (
            "sends",
            "Messages accepted by the gateway",
            vec![series("sent", "messages/sent", "2")],
            "No message was sent.",
        ),
        ("failures", "Failed messages, by reason", failures.collect(), "No message failed."),
        (
            "requests",
            "Requests to the API",
            vec![
                series("answered", "requests/good", "1"),
                series("refused", "requests/refused", "3"),
                series("over a limit", "requests/limited", "4"),
                series("failed", "requests/failed", "bad"),
            ],
            "There were no requests.",
        ),
        (
            "checks",
            "Codes entered",
            vec![series("correct", "checks/approved", "good"), series("wrong", "checks/incorrect", "warn")],
            "No code was entered.",
        ),
    ]
}

fn carriers(view: &Overview, span: Span) -> Markup {
    use Column::{Number, Text};
    let columns = [
        Text("Carrier"),
        Number("Requested"),
        Number("Approved"),
        Number("Conversion"),
        Number("Sent"),
        Number("Not sent"),
        Number("To the gateway, p50"),
        Number("p99"),
        Number("To the approval, p50"),
        Number("p99"),
    ];
    let rows = html! {
        @for row in &view.carriers {
            tr {
                th scope="row" { (row.carrier) }
                @for cell in [
                    format::number(row.created),
                    format::number(row.approved),
                    format::percent(row.approved, row.created),
                    format::number(row.sent),
                    format::number(row.failed),
                    format::seconds(row.gateway_p50),
                    format::seconds(row.gateway_p99),
                    format::seconds(row.approval_p50),
                    format::seconds(row.approval_p99),
                ] {
                    td ."number nowrap" { (cell) }
                }
            }
        }
    };
    html! {
        section ."card flush" aria-labelledby="telecoms" {
            header {
                h2 #telecoms { "By carrier" }
                span ."soft small" {
                    @if span == Span::Hour { "the last hour" } @else { "the last day" }
                    "; p50 and p99: half, and 99 of 100, were faster than this"
                }
            }
            @if view.carriers.is_empty() { (nothing("No code has been requested yet.")) }
            @else { (table("By carrier", &columns, rows)) }
        }
    }
}

fn workers(view: &Overview) -> Markup {
    use Column::{Number, Text};
    let columns = [
        Text("Worker"),
        Text("State"),
        Text("Circuit"),
        Number("In flight"),
        Number("Rate share per second"),
        Text("Uptime"),
        Text("Release"),
        Text("Last heartbeat"),
    ];
    html! {
        section ."card flush" aria-labelledby="workers" {
            header { h2 #workers { "Workers" } }
            @if view.workers.is_empty() { (nothing("No worker has sent a heartbeat in the last minute.")) }
            @else {
                (table("Workers", &columns, html! {
                    @for worker in &view.workers { (worker_row(view, worker)) }
                }))
            }
        }
    }
}

fn worker_row(view: &Overview, worker: &WorkerView) -> Markup {
    let known = worker.state.as_ref();
    let told = |tell: &dyn Fn(&WorkerState) -> String| known.map_or("–".to_owned(), tell);
    let state = match (worker.alive, known.is_some_and(|state| state.paused)) {
        (false, _) => badge("bad", "no heartbeat"),
        (true, true) => badge("warn", "paused"),
        (true, false) => badge("good", "working"),
    };
    let circuit = known.map_or(badge("", "unknown"), |state| match state.circuit.as_str() {
        "closed" => badge("good", "closed"),
        "open" => badge("bad", &state.gateway_code.map_or("open".to_owned(), |code| format!("open, {code}"))),
        other => badge("warn", other),
    });
    html! {
        tr {
            th .mono scope="row" { (worker.id.get(..8).unwrap_or(&worker.id)) }
            td { (state) }
            td { (circuit) }
            td .number { (told(&|state| format!("{} of {}", state.in_flight, state.concurrency))) }
            td .number { (told(&|state| format!("{:.1}", state.share))) }
            td { (told(&|state| format::span(view.at - state.started_at))) }
            td { (told(&|state| state.version.clone())) }
            td { (format::seconds(Some(worker.seen_seconds_ago))) " ago" }
        }
    }
}

/// The usage, or a note where it could not be read.
fn usage_section(rows: Option<&[Usage]>) -> Markup {
    html! {
        section ."card flush after" aria-labelledby="bill" {
            header {
                h2 #bill { "Expected gateway bill" }
                span ."soft small" { "one part costs one credit; days are in Nepal time" }
                a ."push small" href="/console/bill.csv?days=31" { "Last 31 days as CSV" }
            }
            @match rows {
                None => (nothing("The usage cannot be read at the moment.")),
                Some([]) => (nothing("No message was sent in the last two weeks.")),
                Some(rows) => (usage_table(rows)),
            }
        }
    }
}

fn usage_table(rows: &[Usage]) -> Markup {
    use Column::{Number, Text};
    let columns = [
        Text("Day"),
        Text("Client"),
        Number("Messages"),
        Number("Parts"),
        Number("Uncertain parts"),
        Number("Failed"),
        Number("Not billed"),
    ];
    let rows = html! {
        @for Usage { day, client_name, sum, .. } in rows {
            tr {
                th .nowrap scope="row" { (day) }
                td { (client_name) }
                @for value in [sum.messages, sum.parts, sum.uncertain, sum.failed, sum.unbilled] {
                    td .number { (format::number(value)) }
                }
            }
        }
    };
    table("Messages and parts by client and day", &columns, rows)
}
