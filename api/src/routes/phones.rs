//! `GET /v1/phones/{phone}`: what is known of a number.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hulak_common::phone::PhoneNumber;

use crate::auth::Client;
use crate::problem::{FieldError, Kind, Problem};
use crate::resource::PhoneView;
use crate::state::SharedApp;

/// The number's counts over all clients, and what the caller's client knows of it. A number never seen has zeros.
///
/// # Errors
/// 422 `invalid-phone`.
pub async fn read(
    State(app): State<SharedApp>,
    Client(owner): Client,
    Path(phone): Path<String>,
) -> Result<Response, Problem> {
    let phone = PhoneNumber::parse(&phone)
        .map_err(|error| Problem::fields(Kind::InvalidPhone, vec![FieldError::new("phone", error)]))?;
    app.require_store()?;
    let report = app.store.number(owner.client, phone).await.map_err(|error| app.refuse(&error))?;
    let view = PhoneView::new(&report, &app.operators, app.clock.now());
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(view)).into_response())
}
