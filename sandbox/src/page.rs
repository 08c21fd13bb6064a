//! The inbox as a page. The server writes all of it, so that people can read it without a script; the script only fetches
//! the page again after a change, and replaces the parts that differ.

use std::sync::{Arc, LazyLock};

use hulak_common::phone::{Carriers, PhoneNumber};
use hulak_common::sms;
use hulak_runtime::html::{Asset, LOGO, Page};
use maud::{Markup, html};

use crate::fault_form;
use crate::faults::Faults;
use crate::ledger::{Message, Stats, around_code};

static STYLE: Asset = Asset::style("inbox.css", include_str!("assets/inbox.css"));
static SCRIPT: Asset = Asset::script("inbox.js", include_str!("assets/inbox.js"));
/// The page's own files.
pub(crate) static FILES: [&Asset; 2] = [&STYLE, &SCRIPT];

static CARRIERS: LazyLock<Carriers> = LazyLock::new(Carriers::builtin);

/// What the page shows.
#[derive(Debug)]
pub(crate) struct Inbox<'a> {
    /// Newest first.
    pub(crate) messages: &'a [Arc<Message>],
    /// Whether there are older ones.
    pub(crate) more: bool,
    /// The search text; empty without a search.
    pub(crate) asked: &'a str,
    pub(crate) stats: Stats,
    pub(crate) faults: &'a Faults,
    /// The host that the browser asked for: `localhost:8081`.
    pub(crate) host: &'a str,
    /// The address of the hosted page, which sends codes to this inbox.
    pub(crate) sign_up: Option<&'a str>,
}

impl Inbox<'_> {
    pub(crate) fn render(&self) -> String {
        let body = html! {
            (self.top())
            main #main ."wrap columns" {
                h1 .unseen { "SMS inbox" }
                (self.list())
                (self.aside())
            }
            (dialogs())
        };
        let head = html! { noscript { meta http-equiv="refresh" content="5"; } };
        Page { lang: "en", title: "SMS inbox · Hulak simulator", head, files: &FILES, body }.render()
    }

    fn top(&self) -> Markup {
        html! {
            a .skip href="#inbox" { "Skip to the messages" }
            header .top {
                div .wrap {
                    a .brand href="/inbox" {
                        img src=(LOGO.address()) alt="" width="28" height="28";
                        "Hulak " span .of { "SMS inbox" }
                    }
                    form .search role="search" action="/inbox" {
                        label .unseen for="q" { "Search by number or text" }
                        input #q name="q" type="search" placeholder="Search number or text" autocomplete="off"
                            spellcheck="false" value=(self.asked);
                        button ."small scriptless" { "Search" }
                    }
                    span #live ."live scripted" role="status" { "Connecting…" }
                }
            }
        }
    }

    fn list(&self) -> Markup {
        html! {
            section #inbox .stack aria-label="Messages" tabindex="-1" {
                @if let Some(words) = fault_form::describe(self.faults, self.stats.credits) {
                    p ."message warn" data-key="faults" { (words) }
                }
                @if self.messages.is_empty() {
                    @if self.asked.is_empty() { (self.empty()) } @else { (self.nothing_found()) }
                }
                @for talk in talks(self.messages) { (talk.render()) }
                @if self.more {
                    p ."faint small" data-key="more" {
                        "The newest " (self.messages.len()) " messages are shown."
                    }
                }
            }
        }
    }

    fn nothing_found(&self) -> Markup {
        html! {
            div ."card empty" data-key="none" {
                img src=(LOGO.address()) alt="";
                h2 { "Nothing found" }
                p { "No messages match “" (self.asked) "”." }
                p { a href="/inbox" { "Show all" } }
            }
        }
    }

    fn empty(&self) -> Markup {
        html! {
            div ."card empty" data-key="empty" {
                img src=(LOGO.address()) alt="";
                h2 { "No messages yet" }
                p { "Messages appear here the moment they are sent. Nothing reaches a real phone." }
                @if let Some(page) = self.sign_up {
                    p { a ."button primary" href=(page) target="_blank" rel="noopener" { "Verify a number" } }
                    p .small { "or send a message by hand:" }
                } @else {
                    p .small { "Send the first message:" }
                }
                pre tabindex="0" aria-label="A command that sends a message" {
                    code {
                        "curl http://" (self.host) "/v2/sms/ \\\n  \
                         -d token=any -d from=Hulak -d to=9812345678 \\\n  -d text='Your code is 482913.'"
                    }
                }
            }
        }
    }

    fn aside(&self) -> Markup {
        let Stats { accepted, refused, credits, .. } = self.stats;
        let figures = [("Accepted", accepted), ("Refused", refused), ("Credits left", credits)];
        html! {
            aside .stack aria-label="The gateway" {
                section ."card stack" {
                    h2 { "Gateway" }
                    dl #figures .figures-row {
                        @for (name, figure) in figures {
                            div .stat { dt { (name) } dd { (grouped(figure)) } }
                        }
                    }
                    div ."row scripted" {
                        button .small type="button" data-clear="" { "Clear all messages" }
                    }
                }
                (fault_form::render(self.faults, credits))
            }
        }
    }
}

fn dialogs() -> Markup {
    html! {
        dialog #sure aria-labelledby="sure-what" {
            form method="dialog" {
                h2 #sure-what { "Clear all messages?" }
                p .soft { "This cannot be undone. The figures stay." }
                div .row {
                    button value="no" { "Keep" }
                    button .danger value="yes" { "Clear" }
                }
            }
        }
        div #said .unseen role="status" {}
        div #toast .toast popover="manual" aria-hidden="true" {}
    }
}

/// The messages to one number, newest first.
struct Talk<'a> {
    to: &'a str,
    messages: Vec<&'a Message>,
}

/// The messages by number; the number with the newest message is first.
fn talks(messages: &[Arc<Message>]) -> Vec<Talk<'_>> {
    let mut talks: Vec<Talk<'_>> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for message in messages {
        let place = *places.entry(message.to.as_str()).or_insert(talks.len());
        if place == talks.len() {
            talks.push(Talk { to: &message.to, messages: Vec::new() });
        }
        talks[place].messages.push(message);
    }
    talks
}

impl Talk<'_> {
    fn render(&self) -> Markup {
        let (to, count) = (self.to, self.messages.len());
        let carrier = PhoneNumber::parse(to).ok().and_then(|phone| CARRIERS.lookup(&phone));
        html! {
            article ."card flush talk" data-key=(to) aria-labelledby={ "to-" (to) } {
                header {
                    h2 .figures id={ "to-" (to) } { (to) }
                    @if let Some(carrier) = carrier { span ."badge plain" { (carrier) } }
                    span ."faint small" data-count {
                        (count) @if count == 1 { " message" } @else { " messages" }
                    }
                    button ."quiet small push scripted" type="button" data-clear=(to) {
                        "Clear" span .unseen { " the messages to " (to) }
                    }
                }
                ol role="list" {
                    @for message in &self.messages { (render_message(message)) }
                }
            }
        }
    }
}

fn render_message(message: &Message) -> Markup {
    let Message { id, to: _, from, text, received_at, .. } = message;
    let moment = received_at.to_string();
    // `2023-11-14T22:13:20.120Z` without the milliseconds, which people do not need.
    let shown = moment.split('.').next().unwrap_or(&moment).replace('T', " ");
    let around = around_code(text);
    html! {
        li .sms data-key=(id) {
            div .row {
                @if let Some((_, code, _)) = around {
                    button .code type="button" data-copy=(code) {
                        span .digits { (code) }
                        span ."hint scripted" { "Copy" }
                    }
                }
                time ."faint small push" datetime=(moment) { (shown) " UTC" }
            }
            p .bubble dir="auto" {
                @if let Some((before, code, after)) = around { (before) mark { (code) } (after) }
                @else { (text) }
            }
            p ."faint small" { (cost(from, text)) }
        }
    }
}

/// What a message costs: `From Hulak · 1 part, 1 credit · GSM 7-bit, 55 of 160`. Lines end between these only.
fn cost(from: &str, text: &str) -> Markup {
    let sms::Segments { encoding, units, parts } = sms::measure(text);
    let s = if parts == 1 { "" } else { "s" };
    let room = if parts == 1 { encoding.single() } else { parts * encoding.joined() };
    html! {
        "From " (from) " · " span .nowrap { (parts) " part" (s) ", " (parts) " credit" (s) }
        " · " span .nowrap { (encoding) ", " (units) " of " (room) }
    }
}

/// A number as people read it: `1,000,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_000_000, "1,000,000")] {
            assert_eq!(grouped(number), text);
        }
    }
}
