//! `/v1/accounts` and `/v1/groups`.

use axum::http::StatusCode;
use serde_json::json;
use utoipa::openapi::path::{HttpMethod, Parameter, ParameterIn};
use utoipa::openapi::{KnownFormat, ObjectBuilder, SchemaFormat, Type};

use super::headers::{LOCATION_OF_ACCOUNT, NO_STORE, parameter};
use super::operation::Op;
use super::schemas::AccountPage;
use super::verifications::paging;
use super::{examples, reference};
use crate::problem::Kind;
use crate::routes::accounts::{AccountPatchRequest, AccountView, NewAccountRequest};
use crate::routes::groups::{GroupRequest, GroupView, Groups};

const ALL: &str = "/v1/accounts";
const ONE: &str = "/v1/accounts/{id}";
const GROUPS: &str = "/v1/groups";
const GROUP: &str = "/v1/groups/{name}";

pub(super) fn operations() -> Vec<Op> {
    vec![
        create(),
        list(),
        read(),
        change(),
        delete(),
        put_group(),
        list_groups(),
        read_group(),
        delete_group(),
    ]
}

fn op(method: HttpMethod, path: &'static str, id: &str) -> Op {
    Op::new(method, path, "Accounts", id).key()
}

fn on_one(method: HttpMethod, id: &str) -> Op {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)));
    let account = parameter(ParameterIn::Path, "id", "The account.", schema, examples::ACCOUNT);
    op(method, ONE, id).path(account).problems(&[Kind::NotFound])
}

fn on_group(method: HttpMethod, id: &str) -> Op {
    let name = parameter(ParameterIn::Path, "name", "The group.", reference("GroupName"), "staff");
    op(method, GROUP, id).path(name).problems(&[Kind::NotFound])
}

fn create() -> Op {
    let full = json!({
        "username": "sita", "first_name": "Sita", "last_name": "Devi", "email": "sita@example.com",
        "phone": examples::TYPED, "groups": ["staff"]
    });
    op(HttpMethod::Post, ALL, "createAccount")
        .says(
            "Make an account",
            "Usernames are unique within the client, without regard to case. The number is not verified: only an approved \
             verification with this `account_id` does that.",
        )
        .once()
        .body::<NewAccountRequest>(
            true,
            "Who it is.",
            vec![
                ("minimal", "A username alone", json!({"username": "sita"})),
                ("full", "Everything there is", full),
            ],
        )
        .json::<AccountView<'_>>(
            StatusCode::CREATED,
            "The account.",
            &[&LOCATION_OF_ACCOUNT, &NO_STORE],
            vec![("account", "An account", examples::account())],
        )
        .problems(&[Kind::UsernameTaken, Kind::InvalidPhone, Kind::UnsupportedPhone])
}

fn list() -> Op {
    let query = |name, description: &str, schema: &str, example: &str| -> Parameter {
        parameter(ParameterIn::Query, name, description, reference(schema), example)
    };
    let [limit, cursor] = paging();
    let page = json!({"data": [examples::account()], "next_cursor": null});
    op(HttpMethod::Get, ALL, "listAccounts")
        .says(
            "List accounts",
            "The client's accounts, newest first. Each parameter may be given once; others are refused.",
        )
        .parameter(query("username", "With this username only, in any case.", "Username", "sita"))
        .parameter(query("phone", "With this number only, verified or not.", "TypedPhone", examples::TYPED))
        .parameter(limit)
        .parameter(cursor)
        .json::<AccountPage>(StatusCode::OK, "A page.", &[&NO_STORE], vec![("page", "The only page", page)])
        .problems(&[Kind::InvalidRequest, Kind::InvalidPhone])
}

fn read() -> Op {
    on_one(HttpMethod::Get, "getAccount")
        .says("Read an account", "With its groups, and with what all of them together allow.")
        .json::<AccountView<'_>>(
            StatusCode::OK,
            "The account.",
            &[&NO_STORE],
            vec![("account", "An account", examples::account())],
        )
}

fn change() -> Op {
    on_one(HttpMethod::Patch, "changeAccount")
        .says(
            "Change an account",
            "What is absent stays; null takes an e-mail address or a number away. Another number is not verified.",
        )
        .body::<AccountPatchRequest>(
            true,
            "What is to be otherwise.",
            vec![
                ("inactive", "Nobody signs in with it any more", json!({"is_active": false})),
                ("number", "Another number", json!({"phone": "9841234567"})),
            ],
        )
        .json::<AccountView<'_>>(
            StatusCode::OK,
            "The account, changed.",
            &[&NO_STORE],
            vec![("account", "An account", examples::account())],
        )
        .problems(&[Kind::UsernameTaken, Kind::InvalidPhone, Kind::UnsupportedPhone])
}

fn delete() -> Op {
    on_one(HttpMethod::Delete, "deleteAccount")
        .says(
            "Delete an account",
            "Its name and number are free again. Verifications under way for it are not approved any more.",
        )
        .empty(StatusCode::NO_CONTENT, "It is gone.", &[])
}

fn put_group() -> Op {
    let staff = json!({"name": "staff", "permissions": ["orders.view", "orders.refund"]});
    op(HttpMethod::Post, GROUPS, "putGroup")
        .says(
            "Make a group, or replace what it allows",
            "Permissions are words of your application's own. A group of this name gets these in place of its own.",
        )
        .once()
        .body::<GroupRequest>(true, "Its name, and what it allows.", vec![("staff", "A group", staff)])
        .json::<GroupView<'_>>(
            StatusCode::CREATED,
            "The new group.",
            &[&NO_STORE],
            vec![("group", "A group", examples::group())],
        )
        .json::<GroupView<'_>>(
            StatusCode::OK,
            "The group of this name, which allows this from now on.",
            &[&NO_STORE],
            vec![("group", "A group", examples::group())],
        )
}

fn list_groups() -> Op {
    op(HttpMethod::Get, GROUPS, "listGroups")
        .says("List groups", "All groups of the client, by name, on one page.")
        .json::<Groups<'_>>(
            StatusCode::OK,
            "All of them.",
            &[&NO_STORE],
            vec![("groups", "One group", json!({"data": [examples::group()], "next_cursor": null}))],
        )
}

fn read_group() -> Op {
    on_group(HttpMethod::Get, "getGroup")
        .says("Read a group", "Its name, and what it allows.")
        .json::<GroupView<'_>>(
            StatusCode::OK,
            "The group.",
            &[&NO_STORE],
            vec![("group", "A group", examples::group())],
        )
}

fn delete_group() -> Op {
    on_group(HttpMethod::Delete, "deleteGroup")
        .says("Delete a group", "Its accounts lose what it allowed.")
        .empty(StatusCode::NO_CONTENT, "It is gone.", &[])
}
