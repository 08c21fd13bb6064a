//! `GET /v1/verifications`: a client's verifications, newest first; and what all lists have in common.

use std::str::FromStr;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hulak_common::phone::PhoneNumber;
use hulak_common::verification::{Delivery, Status};
use hulak_store::List;
use serde::Serialize;
use uuid::Uuid;

use crate::auth::Client;
use crate::problem::{FieldError, Kind, Problem};
use crate::resource::VerificationView;
use crate::state::SharedApp;

pub(crate) const DEFAULT_LIMIT: u32 = 20;
pub(crate) const MAX_LIMIT: u32 = 100;

/// Where a page begins, and how long it is.
pub(super) struct Paging {
    pub(super) limit: u32,
    pub(super) before: Option<Uuid>,
}

impl Paging {
    /// Reads a query. `filter` takes the parameters it knows, and answers whether it did; `known` names them.
    ///
    /// # Errors
    /// 422 `invalid-request`, or `invalid-phone` when that is what is wrong.
    pub(super) fn parse(
        query: &str,
        known: &str,
        mut filter: impl FnMut(&str, &str) -> Result<bool, String>,
    ) -> Result<Self, Problem> {
        let mut paging = Self { limit: DEFAULT_LIMIT, before: None };
        let (mut seen, mut errors) = (std::collections::HashSet::new(), Vec::new());
        let mut kind = Kind::InvalidRequest;
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let read = if !seen.insert(name.to_string()) {
                Err("must be given once".to_owned())
            } else {
                match filter(&name, &value) {
                    Ok(false) => paging.read(&name, &value, known),
                    other => other.map(drop),
                }
            };
            if let Err(detail) = read {
                if name == "phone" {
                    kind = Kind::InvalidPhone;
                }
                errors.push(FieldError::new(name, detail));
            }
        }
        if errors.is_empty() { Ok(paging) } else { Err(Problem::fields(kind, errors)) }
    }

    fn read(&mut self, name: &str, value: &str, known: &str) -> Result<(), String> {
        match name {
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                self.limit = limit.ok_or(format!("must be a whole number from 1 to {MAX_LIMIT}"))?;
            }
            "cursor" => {
                let bytes =
                    URL_SAFE_NO_PAD.decode(value).ok().and_then(|bytes| Uuid::from_slice(&bytes).ok());
                self.before = Some(bytes.ok_or("must be the next_cursor of the page before")?);
            }
            _ => return Err(format!("is not known; there are {known}, limit and cursor")),
        }
        Ok(())
    }
}

/// A page.
#[derive(Debug, Serialize)]
struct Page<T> {
    data: Vec<T>,
    next_cursor: Option<String>,
}

/// Answers a page of rows, of which one more than asked for was read: it tells whether there is another page.
pub(super) fn page<R, T: Serialize>(
    paging: &Paging,
    rows: &[R],
    id: impl Fn(&R) -> Uuid,
    view: impl Fn(&R) -> T,
) -> Response {
    let length = rows.len().min(paging.limit as usize);
    let last = rows.get(length.wrapping_sub(1)).filter(|_| rows.len() > length);
    let next_cursor = last.map(|row| URL_SAFE_NO_PAD.encode(id(row).as_bytes()));
    let data = rows.iter().take(length).map(view).collect();
    ([(header::CACHE_CONTROL, "no-store")], Json(Page { data, next_cursor })).into_response()
}

/// Lists.
///
/// # Errors
/// 422 `invalid-request`, `invalid-phone`.
pub async fn list(
    State(app): State<SharedApp>,
    Client(owner, _): Client,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let (client, limit) = (owner.client, DEFAULT_LIMIT);
    let mut list = List { client, phone: None, status: None, delivery: None, before: None, limit };
    let paging =
        Paging::parse(query.as_deref().unwrap_or_default(), "phone, status, delivery", |name, value| {
            filter(&mut list, name, value)
        })?;
    (list.before, list.limit) = (paging.before, paging.limit + 1);
    let now = app.clock.now();
    let rows = app.unbatched(list.client, app.store.list(&list, now)).await?;
    let view = |row: &_| VerificationView::new(row, &app.carriers, false, now);
    Ok(page(&paging, &rows, |row| row.id, view))
}

fn filter(list: &mut List, name: &str, value: &str) -> Result<bool, String> {
    match name {
        // In a query a bare plus means a space, and people write +977….
        "phone" => list.phone = Some(PhoneNumber::parse(value).map_err(|error| error.to_string())?),
        "status" => list.status = Some(Status::from_str(value).map_err(|error| error.to_string())?),
        "delivery" => list.delivery = Some(Delivery::from_str(value).map_err(|error| error.to_string())?),
        _ => return Ok(false),
    }
    Ok(true)
}
