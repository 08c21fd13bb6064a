//! What all lists have in common: `limit` and `cursor`, and the page that is answered.

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use uuid::Uuid;

use crate::http::problem::{FieldError, Kind, Problem};

pub(crate) const DEFAULT_LIMIT: u32 = 20;
pub(crate) const MAX_LIMIT: u32 = 100;

/// Where a page begins, and how long it is.
pub(crate) struct Paging {
    pub(crate) limit: u32,
    pub(crate) before: Option<Uuid>,
}

impl Paging {
    /// Reads a query. `filter` takes the parameters it knows, and answers whether it did; `known` names them.
    ///
    /// # Errors
    /// 422 `invalid-request`, or `invalid-phone` when that is what is wrong.
    pub(crate) fn parse(
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
pub(crate) fn page<R, T: Serialize>(
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
