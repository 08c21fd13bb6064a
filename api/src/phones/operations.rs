//! `/v1/phones`.

use axum::http::StatusCode;
use serde_json::json;
use utoipa::openapi::path::{HttpMethod, ParameterIn};

use super::headers::{NO_STORE, parameter};
use super::operation::Op;
use super::{examples, reference};
use crate::problem::Kind;
use crate::resource::PhoneView;
use crate::routes::phones::BlockRequest;

const BLOCK: &str = "/v1/phones/{phone}/block";

pub(super) fn operations() -> Vec<Op> {
    vec![read(), block(), unblock()]
}

fn op(method: HttpMethod, path: &'static str, id: &str) -> Op {
    Op::new(method, path, "Numbers", id)
        .key()
        .path(parameter(ParameterIn::Path, "phone", "The number.", reference("TypedPhone"), examples::TYPED))
        .problems(&[Kind::InvalidPhone])
}

fn read() -> Op {
    op(HttpMethod::Get, "/v1/phones/{phone}", "getNumber")
        .says(
            "Read a number",
            "Its counts over all clients, and what this client knows of it. A number never seen has zeros.",
        )
        .json::<PhoneView>(
            StatusCode::OK,
            "The number.",
            &[&NO_STORE],
            vec![
                ("verified", "A verified number", examples::number()),
                ("unseen", "A number never seen", examples::unseen()),
            ],
        )
}

fn block() -> Op {
    let until = json!({"until": "2100-01-31T12:00:00Z", "reason": "asked to be left alone"});
    op(HttpMethod::Put, BLOCK, "blockNumber")
        .says(
            "Block a number",
            "Within this client: no verification of it is begun and no code is sent again until then.",
        )
        .body::<BlockRequest>(
            true,
            "Until when, and why.",
            vec![("until", "Until a day", until), ("for_good", "For good", json!({}))],
        )
        .json::<PhoneView>(
            StatusCode::OK,
            "The number, blocked.",
            &[&NO_STORE],
            vec![("blocked", "A blocked number", examples::blocked())],
        )
}

fn unblock() -> Op {
    op(HttpMethod::Delete, BLOCK, "unblockNumber")
        .says("Lift the block of a number", "Also forgets its wrong codes. Doing it again changes nothing.")
        .json::<PhoneView>(
            StatusCode::OK,
            "The number, not blocked.",
            &[&NO_STORE],
            vec![("number", "A number", examples::number())],
        )
}
