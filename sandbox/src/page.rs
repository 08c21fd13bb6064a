//! The inbox as a page.

use std::fmt::Write as _;
use std::sync::Arc;

use hulak_common::look::escape;

use crate::ledger::{Message, Stats};

pub(crate) const STYLE: &str = include_str!("assets/inbox.css");
pub(crate) const SCRIPT: &str = include_str!("assets/inbox.js");

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>SMS inbox · simulator</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/inbox.css">
<noscript><meta http-equiv="refresh" content="5"></noscript>
<script src="/inbox.js" defer></script>
</head>
<body>
"#;

/// The page: these messages, newest first, and the number they were asked for by.
pub(crate) fn render(messages: &[Arc<Message>], asked: &str, stats: &Stats) -> String {
    let mut page = HEAD.to_owned();
    let asked = escape(asked);
    // Writing to a string does not fail.
    let _ = write!(
        page,
        "<header>\n<h1>SMS inbox</h1>\n<p>A simulated gateway: nothing here was sent to a phone.</p>\n\
         <form action=\"/inbox\"><label for=\"to\">Number</label>\n\
         <input id=\"to\" name=\"to\" type=\"tel\" placeholder=\"98…\" value=\"{asked}\"> <button>Show</button></form>\n\
         </header>\n<main id=\"inbox\" aria-live=\"polite\">\n<p>{} taken · {} refused · {} credits left</p>\n",
        stats.accepted, stats.refused, stats.credits
    );
    if messages.is_empty() {
        page.push_str("<p class=\"empty\">No messages yet. They appear here by themselves.</p>\n");
    } else {
        page.push_str("<ol>\n");
        for message in messages {
            render_message(&mut page, message);
        }
        page.push_str("</ol>\n");
    }
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn render_message(page: &mut String, message: &Message) {
    let Message { to, from, text, received_at, code, .. } = message;
    let (from, text) = (escape(from), escape(text));
    let moment = received_at.to_string();
    // `2023-11-14T22:13:20.120Z` for people: to the second, which is how far they read.
    let shown = moment.split('.').next().unwrap_or(&moment).replace('T', " ");
    let _ = writeln!(
        page,
        "<li>\n<p class=\"meta\"><b>{to}</b> from {from} <time datetime=\"{moment}\">{shown} UTC</time></p>"
    );
    if let Some(code) = code {
        let _ = writeln!(page, "<p class=\"code\">{code}</p>");
    }
    let _ = writeln!(page, "<p class=\"text\" dir=\"auto\">{text}</p>\n</li>");
}
