//! The frame of the console's pages, and the pieces that several pages use.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hulak_common::staff::Operator;
use hulak_common::verification::{Delivery, Status};
use hulak_runtime::html::{Asset, LOGO, Page};
use maud::{Markup, html};

/// The console's own files.
pub(crate) const FILES: [&Asset; 2] = [&STYLE, &SCRIPT];
static STYLE: Asset = Asset::style("console.css", include_str!("console.css"));
static SCRIPT: Asset = Asset::script("console.js", include_str!("console.js"));

/// An answer in HTML: a page, or a part of one.
pub(super) fn html_response(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response()
}

fn document(status: StatusCode, title: &str, body: Markup) -> Response {
    let title = format!("{title} · Hulak console");
    let page = Page { lang: "en", title: &title, head: html! {}, files: &FILES, body };
    html_response(status, page.render())
}

/// A page for an operator who is signed in.
pub(super) fn page(title: &str, operator: &Operator, content: Markup) -> Response {
    let body = html! {
        a .skip href="#main" { "Skip to the content" }
        header .top {
            div .wrap {
                a .brand href="/console" { (brand()) }
                form .find role="search" method="post" action="/console/find" {
                    label .unseen for="q" { "Number or id" }
                    input #q name="q" type="search" placeholder="Number or id" autocomplete="off" required;
                    button .small { "Find" }
                }
                div ."row push" {
                    span ."soft small" { (operator.name) " " span ."mono which" { (operator.prefix) "…" } }
                    form method="post" action="/console/sign-out" { button ."small quiet" { "Sign out" } }
                }
            }
        }
        main #main .wrap tabindex="-1" { (content) }
    };
    document(StatusCode::OK, title, body)
}

/// A page with one card, for browsers that are not signed in and for problems.
pub(super) fn card_page(status: StatusCode, title: &str, content: Markup) -> Response {
    let body = html! { main ."wrap narrow door" { div ."card stack" { (content) } } };
    document(status, title, body)
}

/// The logo with the console's name.
pub(super) fn brand() -> Markup {
    html! { img src=(LOGO.address()) alt=""; "Hulak " span .of { "console" } }
}

/// The link to the overview, and the page's heading.
pub(super) fn heading(title: Markup, more: Markup) -> Markup {
    html! {
        div ."stack tight" {
            p { a href="/console" { "← Console" } }
            h1 { (title) }
            (more)
        }
    }
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column<'a> {
    /// A column of text.
    Text(&'a str),
    /// A column of numbers, which are aligned to the right.
    Number(&'a str),
}

/// A table that scrolls sideways where the window is narrow.
pub(super) fn table(label: &str, columns: &[Column<'_>], rows: Markup) -> Markup {
    html! {
        div .scroll tabindex="0" role="group" aria-label=(label) {
            table {
                thead {
                    tr {
                        @for column in columns {
                            @match column {
                                Column::Text(name) => th scope="col" { (name) },
                                Column::Number(name) => th .number scope="col" { (name) },
                            }
                        }
                    }
                }
                tbody { (rows) }
            }
        }
    }
}

/// What a section shows instead of an empty table or chart.
pub(super) fn nothing(text: &str) -> Markup {
    html! { p ."nothing soft" { (text) } }
}

/// A small coloured label. Its class is `good`, `info`, `warn`, `bad` or empty.
pub(super) fn badge(class: &str, text: &str) -> Markup {
    html! { span .badge .(class) { (text) } }
}

pub(super) fn status_badge(status: Status) -> Markup {
    let class = match status {
        Status::Approved => "good",
        Status::Pending => "info",
        Status::Expired | Status::Failed => "bad",
        Status::Canceled => "",
    };
    badge(class, status.as_str())
}

/// The class of a badge for this delivery.
pub(super) fn delivery_class(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Sent => "good",
        Delivery::Queued | Delivery::Sending => "info",
        Delivery::Unknown => "warn",
        Delivery::Failed | Delivery::Expired => "bad",
        Delivery::Canceled => "",
    }
}

pub(super) fn delivery_badge(delivery: Delivery) -> Markup {
    badge(delivery_class(delivery), delivery.as_str())
}
