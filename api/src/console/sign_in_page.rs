//! The sign-in page.

use axum::http::StatusCode;
use axum::response::Response;
use maud::html;

use super::layout::{brand, card_page};

/// The sign-in page, with what was wrong the last time.
pub(super) fn sign_in_page(status: StatusCode, error: Option<&str>) -> Response {
    let described_by = error.map(|_| "said");
    let invalid = error.map(|_| "true");
    let content = html! {
        p .brand { (brand()) }
        h1 { "Sign in" }
        @if let Some(error) = error { p #said ."message bad" role="alert" { (error) } }
        form .stack method="post" action="/console/sign-in" {
            div .field {
                label for="key" { "Operator's key" }
                input #key name="key" type="password" autocomplete="current-password" required autofocus
                    spellcheck="false" aria-describedby=[described_by] aria-invalid=[invalid];
                span .hint {
                    "It begins with ho_. " code { "hulak keys create --client NAME --operator" }
                    " makes one; the one-process shape keeps one in the file " code { "operator-key" }
                    " of its data directory."
                }
            }
            button ."primary wide" { "Sign in" }
        }
    };
    card_page(status, "Sign in", content)
}
