//! `GET /v1/verifications`: a client's verifications, newest first.

use std::str::FromStr;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use hulak_common::phone::PhoneNumber;
use hulak_common::verification::{Delivery, Status};
use hulak_store::List;
use serde_json::json;
use utoipa::openapi::path::{HttpMethod, ParameterIn};

use crate::app::SharedApp;
use crate::http::auth::Client;
use crate::http::paging::{DEFAULT_LIMIT, Paging, page};
use crate::http::problem::{Kind, Problem};
use crate::openapi::elements::reference;
use crate::openapi::headers::{NO_STORE, paging, parameter};
use crate::openapi::operation::Op;
use crate::openapi::{examples, schemas};
use crate::verifications::describe::{ALL, op};
use crate::verifications::view::VerificationView;

schemas::list_page! { VerificationPage of VerificationView }

/// Lists verifications.
///
/// # Errors
/// 422 `invalid-request`, `invalid-phone`.
pub(super) async fn list(
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

pub(super) fn operation() -> Op {
    let query = |name, description: &str, schema: &str, example: &str| {
        parameter(ParameterIn::Query, name, description, reference(schema), example)
    };
    let [limit, cursor] = paging();
    let page = json!({"data": [examples::sent()], "next_cursor": examples::CURSOR});
    op(HttpMethod::Get, ALL, "listVerifications")
        .says(
            "List verifications",
            "The client's verifications, newest first. Each parameter may be given once; others are refused.",
        )
        .key()
        .parameter(query("phone", "Of this number only.", "TypedPhone", examples::TYPED))
        .parameter(query("status", "In this state only.", "VerificationStatus", "pending"))
        .parameter(query("delivery", "Whose newest message is in this state only.", "DeliveryStatus", "sent"))
        .parameter(limit)
        .parameter(cursor)
        .json::<VerificationPage>(
            StatusCode::OK,
            "A page.",
            &[&NO_STORE],
            vec![("page", "A page with another after it", page)],
        )
        .problems(&[Kind::InvalidRequest, Kind::InvalidPhone])
}
