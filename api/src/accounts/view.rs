//! An account, as callers see it.

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hulak_common::account::{Account, Email, GroupName, Permission};
use hulak_common::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::openapi::schemas;

/// An account, as callers see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
pub(super) struct AccountView<'a> {
    /// A version 7 UUID.
    id: Uuid,
    /// As it was written, normalised.
    #[schema(min_length = 1, max_length = 150)]
    username: &'a str,
    /// May be empty.
    #[schema(value_type = schemas::Name)]
    first_name: &'a str,
    /// May be empty.
    #[schema(value_type = schemas::Name)]
    last_name: &'a str,
    /// Not verified by us.
    #[schema(value_type = Option<schemas::EmailAddress>, required)]
    email: Option<&'a str>,
    /// Verified when `phone_verified`.
    #[schema(value_type = Option<schemas::ShownPhone>, required)]
    phone: Option<String>,
    /// Whether an approval proved the number to be this account's.
    phone_verified: bool,
    /// The names of its groups, sorted.
    #[schema(value_type = Vec<schemas::GroupName>)]
    groups: Vec<&'a str>,
    /// What its groups allow, sorted.
    #[schema(value_type = Vec<schemas::Permission>)]
    permissions: Vec<&'a str>,
    /// Whether it may sign in.
    is_active: bool,
    /// When it was made.
    #[schema(value_type = schemas::Moment)]
    created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = schemas::Moment)]
    updated_at: Timestamp,
    /// When it last signed in.
    #[schema(value_type = Option<schemas::Moment>, required)]
    last_login_at: Option<Timestamp>,
}

impl<'a> AccountView<'a> {
    /// As it is now.
    pub(super) fn new(account: &'a Account) -> Self {
        Self {
            id: account.id,
            username: account.username.as_str(),
            first_name: account.first_name.as_str(),
            last_name: account.last_name.as_str(),
            email: account.email.as_ref().map(Email::as_str),
            phone: account.phone.map(|phone| phone.to_string()),
            phone_verified: account.phone_verified,
            groups: account.groups.iter().map(GroupName::as_str).collect(),
            permissions: account.permissions.iter().map(Permission::as_str).collect(),
            is_active: account.is_active,
            created_at: account.created_at,
            updated_at: account.updated_at,
            last_login_at: account.last_login_at,
        }
    }
}

pub(super) const NO_STORE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

pub(super) fn shown(account: &Account) -> Response {
    (NO_STORE, Json(AccountView::new(account))).into_response()
}
