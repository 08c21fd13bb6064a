//! Lists of a client's verifications, newest first.

use sqlx::{Database, Encode, QueryBuilder, Type};
use uuid::Uuid;

use super::rows::verification_columns;
use hulak_common::phone::PhoneNumber;
use hulak_common::time::Timestamp;
use hulak_common::verification::{Delivery, Status};

/// Which of a client's verifications, newest first. Ids sort by their time.
#[derive(Debug, Clone)]
pub struct List {
    /// Whose.
    pub client: Uuid,
    /// Of this number only.
    pub phone: Option<PhoneNumber>,
    /// With this status only, as of now: a pending one past its time counts as expired.
    pub status: Option<Status>,
    /// With this delivery only.
    pub delivery: Option<Delivery>,
    /// Older than this one: where the page before ended.
    pub before: Option<Uuid>,
    /// How many.
    pub limit: u32,
}

/// The query, the same for both databases. By one of the indexes verifications_listed and verifications_of_number.
pub(super) fn query<DB: Database>(list: &List, now: Timestamp) -> QueryBuilder<DB>
where
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> Uuid: Encode<'q, DB> + Type<DB>,
    for<'q> &'static str: Encode<'q, DB> + Type<DB>,
    for<'q> Timestamp: Encode<'q, DB> + Type<DB>,
{
    let mut sql = QueryBuilder::new(concat!(
        "SELECT ",
        verification_columns!(),
        " FROM verifications WHERE client_id = "
    ));
    sql.push_bind(list.client);
    if let Some(phone) = list.phone {
        sql.push(" AND phone = ").push_bind(phone.to_i64());
    }
    if let Some(before) = list.before {
        sql.push(" AND id < ").push_bind(before);
    }
    if let Some(delivery) = list.delivery {
        sql.push(" AND delivery = ").push_bind(delivery.as_str());
    }
    match list.status {
        None => {}
        Some(Status::Pending) => {
            sql.push(" AND status = 'pending' AND expires_at > ").push_bind(now);
        }
        Some(Status::Expired) => {
            sql.push(" AND (status = 'expired' OR (status = 'pending' AND expires_at <= ");
            sql.push_bind(now).push("))");
        }
        Some(status) => {
            sql.push(" AND status = ").push_bind(status.as_str());
        }
    }
    sql.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(list.limit));
    sql
}
