//! `GET /v1/verifications`: a client's verifications, newest first.

use std::str::FromStr;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hulak_common::phone::PhoneNumber;
use hulak_common::store::List;
use hulak_common::verification::{Delivery, Status};
use serde::Serialize;
use uuid::Uuid;

use crate::auth::Client;
use crate::problem::{FieldError, Kind, Problem};
use crate::resource::VerificationView;
use crate::state::SharedApp;

const DEFAULT_LIMIT: u32 = 20;
const MAX_LIMIT: u32 = 100;

/// A page.
#[derive(Debug, Serialize)]
struct Page {
    data: Vec<VerificationView>,
    next_cursor: Option<String>,
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
    let mut list = parse(owner.client, query.as_deref().unwrap_or_default())?;
    let limit = list.limit;
    // One more than asked for tells whether there is another page.
    list.limit += 1;
    app.require_store()?;
    let now = app.clock.now();
    let mut rows = app.store.list(&list, now).await.map_err(|error| app.refuse(&error))?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next_cursor = rows.last().filter(|_| more).map(|row| URL_SAFE_NO_PAD.encode(row.id.as_bytes()));
    let data = rows.iter().map(|row| VerificationView::new(row, &app.operators, false, now)).collect();
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(Page { data, next_cursor })).into_response())
}

fn parse(client: Uuid, query: &str) -> Result<List, Problem> {
    let mut list =
        List { client, phone: None, status: None, delivery: None, before: None, limit: DEFAULT_LIMIT };
    let mut seen = std::collections::HashSet::new();
    let mut errors = Vec::new();
    let mut kind = Kind::InvalidRequest;
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let read = if seen.insert(name.to_string()) {
            read(&mut list, &name, &value)
        } else {
            Err("must be given once".to_owned())
        };
        if let Err(detail) = read {
            if name == "phone" {
                kind = Kind::InvalidPhone;
            }
            errors.push(FieldError::new(name, detail));
        }
    }
    if errors.is_empty() { Ok(list) } else { Err(Problem::fields(kind, errors)) }
}

fn read(list: &mut List, name: &str, value: &str) -> Result<(), String> {
    match name {
        // In a query a bare plus means a space, and people write +977….
        "phone" => list.phone = Some(PhoneNumber::parse(value).map_err(|error| error.to_string())?),
        "status" => list.status = Some(Status::from_str(value).map_err(|error| error.to_string())?),
        "delivery" => list.delivery = Some(Delivery::from_str(value).map_err(|error| error.to_string())?),
        "limit" => {
            let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
            list.limit = limit.ok_or(format!("must be a whole number from 1 to {MAX_LIMIT}"))?;
        }
        "cursor" => {
            let bytes = URL_SAFE_NO_PAD.decode(value).ok().and_then(|bytes| Uuid::from_slice(&bytes).ok());
            list.before = Some(bytes.ok_or("must be the next_cursor of the page before")?);
        }
        _ => return Err("is not known; there are phone, status, delivery, limit and cursor".to_owned()),
    }
    Ok(())
}
