//! Finding verifications by number or id, across clients.

use hulak_common::audit::Act;
use hulak_common::phone::PhoneNumber;
use hulak_common::staff::{Operator, Search};
use hulak_common::verification::{Message, Verification};
use uuid::Uuid;

use super::state::Console;
use crate::http::problem::{Kind, Problem};

/// The most verifications that a search for a number finds.
pub(super) const MAX_FOUND: u32 = 50;

/// A verification with its client's name.
pub(super) type Found = (String, Verification);

/// Reads a phone number that an operator typed.
///
/// # Errors
/// 422 `invalid-phone`.
pub(super) fn phone(text: &str) -> Result<PhoneNumber, Problem> {
    PhoneNumber::parse(text.trim())
        .map_err(|_| Problem::new(Kind::InvalidPhone, "this is not a Nepali mobile number"))
}

/// Reads what an operator typed into the search field.
///
/// # Errors
/// 422 for what is neither a number nor an id.
pub(super) fn query(text: &str) -> Result<Search, Problem> {
    let text = text.trim();
    if let Ok(id) = text.parse::<Uuid>() {
        return Ok(Search::Id(id));
    }
    phone(text).map(Search::Phone).map_err(|_| {
        Problem::new(
            Kind::InvalidRequest,
            "enter a Nepali mobile number, in any spelling, or the id of a verification",
        )
    })
}

/// Searches across clients, newest first, and writes the search to the audit log.
pub(super) async fn search(
    console: &Console,
    operator: &Operator,
    search: Search,
) -> Result<Vec<Found>, Problem> {
    // Masked, so that the audit log does not become a list of phone numbers.
    let what = match search {
        Search::Phone(phone) => phone.masked().to_string(),
        Search::Id(id) => id.to_string(),
    };
    console.record(operator, Act::Search, what).await?;
    find(console, search).await
}

/// Searches without an entry in the audit log, for an action that has its own.
pub(super) async fn find(console: &Console, search: Search) -> Result<Vec<Found>, Problem> {
    console.store.search(search, MAX_FOUND).await.map_err(|error| console.refuse(&error))
}

/// The verification with this id, and its messages.
///
/// # Errors
/// 404 when there is none.
pub(super) async fn verification(
    console: &Console,
    operator: &Operator,
    id: Uuid,
) -> Result<(Found, Vec<Message>), Problem> {
    console.record(operator, Act::View, id.to_string()).await?;
    only(console, find(console, Search::Id(id)).await?).await
}

/// The one verification that a search for an id found, and its messages.
///
/// # Errors
/// 404 when it found none.
pub(super) async fn only(console: &Console, found: Vec<Found>) -> Result<(Found, Vec<Message>), Problem> {
    let missing = || Problem::new(Kind::NotFound, "there is no verification with this id");
    let found = found.into_iter().next().ok_or_else(missing)?;
    let messages = console.store.messages(found.1.id).await.map_err(|error| console.refuse(&error))?;
    Ok((found, messages))
}
