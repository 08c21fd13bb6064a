//! The inbox as a page. Everything is written here, so that it can be read without a script; the script only asks for
//! the page again when something has changed, and puts what is new in its place.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use hulak_common::phone::{Carriers, PhoneNumber};
use hulak_common::sms;
use hulak_runtime::html::{Asset, LOGO, Page, escape};

use crate::fault_form;
use crate::faults::Faults;
use crate::ledger::{Message, Stats, around_code};

static STYLE: Asset = Asset::style("inbox.css", include_str!("assets/inbox.css"));
static SCRIPT: Asset = Asset::script("inbox.js", include_str!("assets/inbox.js"));
/// What the page loads.
pub(crate) static FILES: [&Asset; 2] = [&STYLE, &SCRIPT];

static OPERATORS: LazyLock<Carriers> = LazyLock::new(Carriers::builtin);

/// Without a script the page is loaded again now and then.
const HEAD: &str = "<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n";

/// What the page shows.
#[derive(Debug)]
pub(crate) struct Inbox<'a> {
    /// Newest first.
    pub(crate) messages: &'a [Arc<Message>],
    /// Whether there are older ones.
    pub(crate) more: bool,
    /// What was searched for.
    pub(crate) asked: &'a str,
    pub(crate) stats: Stats,
    pub(crate) faults: &'a Faults,
    /// How the browser calls us: `localhost:8081`.
    pub(crate) host: &'a str,
    /// A page that asks for codes.
    pub(crate) sign_up: Option<&'a str>,
}

impl Inbox<'_> {
    pub(crate) fn render(&self) -> String {
        let mut body = String::with_capacity(16 * 1024);
        self.top(&mut body);
        body.push_str("<main class=\"wrap columns\" id=\"main\">\n<h1 class=\"unseen\">SMS inbox</h1>\n");
        self.list(&mut body);
        self.aside(&mut body);
        body.push_str("</main>\n");
        dialogs(&mut body);
        Page { lang: "en", title: "SMS inbox · Hulak simulator", head: HEAD, files: &FILES, body: &body }
            .render()
    }

    // Writing to a string does not fail.

    fn top(&self, body: &mut String) {
        let asked = escape(self.asked);
        let _ = write!(
            body,
            "<a class=\"skip\" href=\"#inbox\">Skip to the messages</a>\n\
             <header class=\"top\"><div class=\"wrap\">\n\
             <a class=\"brand\" href=\"/inbox\"><img src=\"{logo}\" alt=\"\" width=\"28\" height=\"28\">Hulak \
             <span class=\"of\">SMS inbox</span></a>\n\
             <form class=\"search\" role=\"search\" action=\"/inbox\">\n\
             <label class=\"unseen\" for=\"q\">Search by number or text</label>\n\
             <input id=\"q\" name=\"q\" type=\"search\" placeholder=\"Search number or text\" autocomplete=\"off\" \
             spellcheck=\"false\" value=\"{asked}\">\n<button class=\"small scriptless\">Search</button></form>\n\
             <span class=\"live scripted\" id=\"live\" role=\"status\">Connecting…</span>\n\
             </div></header>\n",
            logo = LOGO.address()
        );
    }

    fn list(&self, body: &mut String) {
        body.push_str("<section id=\"inbox\" class=\"stack\" aria-label=\"Messages\" tabindex=\"-1\">\n");
        if let Some(words) = fault_form::describe(self.faults, self.stats.credits) {
            let _ = writeln!(body, "<p class=\"message warn\" data-key=\"faults\">{}</p>", escape(&words));
        }
        if self.messages.is_empty() {
            self.empty(body);
        }
        for talk in talks(self.messages) {
            render_talk(body, &talk);
        }
        if self.more {
            let shown = self.messages.len();
            let _ = writeln!(
                body,
                "<p class=\"faint small\" data-key=\"more\">The newest {shown} messages are shown.</p>"
            );
        }
        body.push_str("</section>\n");
    }

    fn empty(&self, body: &mut String) {
        let logo = LOGO.address();
        if !self.asked.is_empty() {
            let _ = write!(
                body,
                "<div class=\"card empty\" data-key=\"none\"><img src=\"{logo}\" alt=\"\">\n<h2>Nothing found</h2>\n\
                 <p>No messages match “{}”.</p>\n<p><a href=\"/inbox\">Show all</a></p></div>\n",
                escape(self.asked)
            );
            return;
        }
        let host = escape(self.host);
        let _ = write!(
            body,
            "<div class=\"card empty\" data-key=\"empty\"><img src=\"{logo}\" alt=\"\">\n<h2>No messages yet</h2>\n\
             <p>They appear here by themselves, the moment they are sent. Nothing reaches a real phone.</p>\n"
        );
        if let Some(page) = self.sign_up {
            let page = escape(page);
            let _ = writeln!(
                body,
                "<p><a class=\"button primary\" href=\"{page}\" target=\"_blank\" rel=\"noopener\">Verify a number</a></p>\n\
                 <p class=\"small\">or send one by hand:</p>"
            );
        } else {
            body.push_str("<p class=\"small\">Send the first one:</p>\n");
        }
        let _ = write!(
            body,
            "<pre tabindex=\"0\" aria-label=\"A command that sends a message\"><code>curl http://{host}/v2/sms/ \\\n  \
             -d token=any -d from=Hulak -d to=9812345678 \\\n  -d text='Your code is 482913.'</code></pre></div>\n"
        );
    }

    fn aside(&self, body: &mut String) {
        let Stats { accepted, refused, credits, .. } = self.stats;
        let [accepted, refused, left] = [accepted, refused, credits].map(grouped);
        let _ = write!(
            body,
            "<aside class=\"stack\" aria-label=\"The gateway\">\n<section class=\"card stack\">\n<h2>Gateway</h2>\n\
             <dl class=\"figures-row\" id=\"figures\">\n\
             <div class=\"stat\"><dt>Taken</dt><dd>{accepted}</dd></div>\n\
             <div class=\"stat\"><dt>Refused</dt><dd>{refused}</dd></div>\n\
             <div class=\"stat\"><dt>Credits left</dt><dd>{left}</dd></div>\n</dl>\n\
             <div class=\"row scripted\"><button type=\"button\" class=\"small\" data-clear=\"\">Clear all messages</button></div>\n\
             </section>\n",
        );
        fault_form::render(body, self.faults, credits);
        body.push_str("</aside>\n");
    }
}

fn dialogs(body: &mut String) {
    body.push_str(
        "<dialog id=\"sure\" aria-labelledby=\"sure-what\">\n<form method=\"dialog\">\n\
         <h2 id=\"sure-what\">Clear all messages?</h2>\n<p class=\"soft\">They are gone for good; the figures stay.</p>\n\
         <div class=\"row\"><button value=\"no\">Keep them</button>\
         <button class=\"danger\" value=\"yes\">Clear</button></div>\n\
         </form>\n</dialog>\n<div class=\"unseen\" id=\"said\" role=\"status\"></div>\n\
         <div class=\"toast\" id=\"toast\" popover=\"manual\" aria-hidden=\"true\"></div>\n",
    );
}

/// The messages to one number, newest first.
struct Talk<'a> {
    to: &'a str,
    messages: Vec<&'a Message>,
}

/// By number, that with the newest message first.
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

fn render_talk(body: &mut String, talk: &Talk<'_>) {
    // Ten digits, as the gateway takes nothing else.
    let to = talk.to;
    let count = talk.messages.len();
    let operator = PhoneNumber::parse(to).ok().and_then(|phone| OPERATORS.lookup(&phone));
    let _ = write!(
        body,
        "<article class=\"card flush talk\" data-key=\"{to}\" aria-labelledby=\"to-{to}\">\n<header>\
         <h2 class=\"figures\" id=\"to-{to}\">{to}</h2>"
    );
    if let Some(operator) = operator {
        let _ = write!(body, "<span class=\"badge plain\">{}</span>", escape(operator));
    }
    let _ = write!(
        body,
        "<span class=\"faint small\" data-count>{count} {}</span>\
         <button type=\"button\" class=\"quiet small push scripted\" data-clear=\"{to}\">Clear\
         <span class=\"unseen\"> the messages to {to}</span></button></header>\n<ol role=\"list\">\n",
        if count == 1 { "message" } else { "messages" }
    );
    for message in &talk.messages {
        render_message(body, message);
    }
    body.push_str("</ol>\n</article>\n");
}

fn render_message(body: &mut String, message: &Message) {
    let Message { id, to: _, from, text, received_at, .. } = message;
    let moment = received_at.to_string();
    // `2023-11-14T22:13:20.120Z` for people: to the second, which is how far they read.
    let shown = moment.split('.').next().unwrap_or(&moment).replace('T', " ");
    let _ = write!(body, "<li class=\"sms\" data-key=\"{id}\">\n<div class=\"row\">");
    let around = around_code(text);
    if let Some((_, code, _)) = around {
        let _ = write!(
            body,
            "<button type=\"button\" class=\"code\" data-copy=\"{code}\"><span class=\"digits\">{code}</span>\
             <span class=\"hint scripted\">Copy</span></button>"
        );
    }
    let _ = write!(
        body,
        "<time class=\"faint small push\" datetime=\"{moment}\">{shown} UTC</time></div>\n<p class=\"bubble\" dir=\"auto\">"
    );
    let _ = match around {
        Some((before, code, after)) => {
            write!(body, "{}<mark>{code}</mark>{}", escape(before), escape(after))
        }
        None => write!(body, "{}", escape(text)),
    };
    let _ = writeln!(body, "</p>\n<p class=\"faint small\">{}</p>\n</li>", cost(from, text));
}

/// What a message costs: `From Hulak · 1 part, 1 credit · GSM 7-bit, 55 of 160`. Lines end between these only.
fn cost(from: &str, text: &str) -> String {
    let sms::Segments { encoding, units, parts } = sms::measure(text);
    let s = if parts == 1 { "" } else { "s" };
    let room = if parts == 1 { encoding.single() } else { parts * encoding.joined() };
    let whole = |part: String| format!("<span class=\"nowrap\">{part}</span>");
    let price = whole(format!("{parts} part{s}, {parts} credit{s}"));
    format!("From {} · {price} · {}", escape(from), whole(format!("{encoding}, {units} of {room}")))
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
