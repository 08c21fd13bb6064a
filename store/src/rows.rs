//! Rows as the databases give them, and what they mean. The same for both databases.

use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::StoreError;
use hulak_common::code::{CodeLength, KeyId, Salt};
use hulak_common::idempotency::KeptAnswer;
use hulak_common::job::MessageId;
use hulak_common::phone::PhoneNumber;
use hulak_common::phone_record::{ClientNumber, Number};
use hulak_common::rate_limit::{Allowance, AllowanceKey};
use hulak_common::time::Timestamp;
use hulak_common::timeline::History;
use hulak_common::verification::{DeliveryError, LiveKey, Message, Verification};

/// The columns of [`VerificationRow`], in order. Statements name them: a prepared one that asks for whatever columns there
/// are fails once a successor adds another, and this release runs beside its successor's schema.
macro_rules! verification_columns {
    () => {
        "id, client_id, phone, purpose, account_id, session, locale, app_hash, origin, \
     metadata, salt, key_id, code_length, created_at, status, epoch, epoch_started_at, checks_remaining, resend_after, \
     expires_at, delivery, messages, last_sent_at, next_attempt_at, error, gateway_code, ended_at, updated_at, version, \
     app_name, history"
    };
}
pub(super) use verification_columns;

/// The columns of [`MessageRow`], in order.
macro_rules! message_columns {
    () => {
        "verification_id, seq, phone, epoch, route, state, attempts, ambiguous, due_at, \
     publish_at, publishes, claim, lease_until, error, gateway_code, created_at, updated_at, \
     parts"
    };
}
pub(super) use message_columns;

/// The columns of [`NumberRow`].
macro_rules! number_columns {
    () => {
        "phone, otp_count, ambiguous_count, last_sent_at, paced_until, asked, blocked_until, block_reason"
    };
}
pub(super) use number_columns;

/// The columns of [`ClientNumberRow`].
macro_rules! client_number_columns {
    () => {
        "client_id, phone, validated_at, failed_checks, blocked_until, block_reason"
    };
}
pub(super) use client_number_columns;

/// A row that stands beside others in an answer.
pub(super) trait SideBySide: Sized {
    /// How many columns it has.
    const COLUMNS: usize;

    /// Reads it from the columns from `first` on.
    fn at(row: &PgRow, first: usize) -> sqlx::Result<Self>;
}

/// Defines a row: read by the names of its columns, or by their places, where a statement answers with rows of several
/// tables side by side.
macro_rules! row {
    ($name:ident { $($field:ident: $kind:ty,)+ }) => {
        #[derive(FromRow)]
        pub(super) struct $name {
            $($field: $kind,)+
        }

        impl SideBySide for $name {
            const COLUMNS: usize = [$(stringify!($field)),+].len();

            fn at(row: &PgRow, first: usize) -> sqlx::Result<Self> {
                let mut next = first;
                let mut column = || {
                    next += 1;
                    next - 1
                };
                Ok(Self { $($field: row.try_get(column())?,)+ })
            }
        }
    };
}

#[derive(FromRow)]
pub(super) struct AllowanceRow {
    key: String,
    full_at: i64,
}

impl From<AllowanceRow> for Allowance {
    fn from(row: AllowanceRow) -> Self {
        Self { key: AllowanceKey::from_store(row.key), full_at: row.full_at }
    }
}

#[derive(FromRow)]
pub(super) struct AnswerRow {
    scope: Vec<u8>,
    body: Vec<u8>,
    answer: String,
    created_at: Timestamp,
}

impl TryFrom<AnswerRow> for KeptAnswer {
    type Error = StoreError;
    fn try_from(row: AnswerRow) -> Result<Self, StoreError> {
        let hash = |bytes: Vec<u8>| {
            bytes.try_into().map_err(|_| StoreError::Corrupt("a hash of an answer".to_owned()))
        };
        Ok(Self {
            scope: hash(row.scope)?,
            body: hash(row.body)?,
            answer: row.answer,
            created_at: row.created_at,
        })
    }
}

row!(NumberRow {
    phone: i64,
    otp_count: i64,
    ambiguous_count: i64,
    last_sent_at: Option<Timestamp>,
    paced_until: Option<Timestamp>,
    asked: String,
    blocked_until: Option<Timestamp>,
    block_reason: Option<String>,
});

row!(ClientNumberRow {
    client_id: Uuid,
    phone: i64,
    validated_at: Option<Timestamp>,
    failed_checks: String,
    blocked_until: Option<Timestamp>,
    block_reason: Option<String>,
});

row!(VerificationRow {
    id: Uuid,
    client_id: Uuid,
    phone: i64,
    purpose: String,
    account_id: Option<Uuid>,
    session: String,
    locale: String,
    app_hash: Option<String>,
    origin: Option<String>,
    metadata: String,
    salt: Vec<u8>,
    key_id: i64,
    code_length: i32,
    created_at: Timestamp,
    status: String,
    epoch: i32,
    epoch_started_at: Timestamp,
    checks_remaining: i32,
    resend_after: Timestamp,
    expires_at: Timestamp,
    delivery: String,
    messages: i32,
    last_sent_at: Option<Timestamp>,
    next_attempt_at: Option<Timestamp>,
    error: Option<String>,
    gateway_code: Option<i32>,
    ended_at: Option<Timestamp>,
    updated_at: Timestamp,
    version: i64,
    app_name: Option<String>,
    history: String,
});

row!(MessageRow {
    verification_id: Uuid,
    seq: i32,
    phone: i64,
    epoch: i32,
    route: String,
    state: String,
    attempts: i32,
    ambiguous: i32,
    due_at: Timestamp,
    publish_at: Option<Timestamp>,
    publishes: i32,
    claim: Option<Uuid>,
    lease_until: Option<Timestamp>,
    error: Option<String>,
    gateway_code: Option<i32>,
    created_at: Timestamp,
    updated_at: Timestamp,
    parts: Option<i16>,
});

/// Gives each row its meaning.
pub(super) fn all<R, T: TryFrom<R, Error = StoreError>>(rows: Vec<R>) -> Result<Vec<T>, StoreError> {
    rows.into_iter().map(T::try_from).collect()
}

pub(super) fn phone(value: i64) -> Result<PhoneNumber, StoreError> {
    PhoneNumber::from_i64(value).ok_or_else(|| corrupt("phone"))
}

pub(super) fn corrupt(column: &str) -> StoreError {
    StoreError::Corrupt(format!("column {column}"))
}

fn parse<T: std::str::FromStr>(text: &str, column: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| corrupt(column))
}

fn delivery_error(
    code: Option<String>,
    gateway_code: Option<i32>,
) -> Result<Option<DeliveryError>, StoreError> {
    code.map(|code| {
        Ok(DeliveryError { code: parse(&code, "error")?, gateway_code: gateway_code.map(Into::into) })
    })
    .transpose()
}

impl TryFrom<NumberRow> for Number {
    type Error = StoreError;
    fn try_from(row: NumberRow) -> Result<Self, StoreError> {
        Ok(Self {
            phone: phone(row.phone)?,
            otp_count: row.otp_count,
            ambiguous_count: row.ambiguous_count,
            last_sent_at: row.last_sent_at,
            paced_until: row.paced_until,
            asked: parse(&row.asked, "asked")?,
            blocked_until: row.blocked_until,
            block_reason: row.block_reason,
        })
    }
}

impl TryFrom<ClientNumberRow> for ClientNumber {
    type Error = StoreError;
    fn try_from(row: ClientNumberRow) -> Result<Self, StoreError> {
        Ok(Self {
            client: row.client_id,
            phone: phone(row.phone)?,
            validated_at: row.validated_at,
            failed_checks: parse(&row.failed_checks, "failed_checks")?,
            blocked_until: row.blocked_until,
            block_reason: row.block_reason,
        })
    }
}

impl TryFrom<VerificationRow> for Verification {
    type Error = StoreError;
    fn try_from(row: VerificationRow) -> Result<Self, StoreError> {
        let digits = u8::try_from(row.code_length).map_err(|_| corrupt("code_length"))?;
        Ok(Self {
            id: row.id,
            key: LiveKey {
                client: row.client_id,
                phone: phone(row.phone)?,
                purpose: parse(&row.purpose, "purpose")?,
                account: row.account_id,
                session: row.session,
            },
            locale: parse(&row.locale, "locale")?,
            app_hash: row.app_hash,
            origin: row.origin,
            app_name: row.app_name,
            metadata: row.metadata,
            salt: Salt(row.salt.try_into().map_err(|_| corrupt("salt"))?),
            key_id: KeyId::from_i64(row.key_id).ok_or_else(|| corrupt("key_id"))?,
            code_length: CodeLength::new(digits).map_err(|_| corrupt("code_length"))?,
            created_at: row.created_at,
            status: parse(&row.status, "status")?,
            epoch: row.epoch,
            epoch_started_at: row.epoch_started_at,
            checks_remaining: row.checks_remaining,
            resend_after: row.resend_after,
            expires_at: row.expires_at,
            delivery: parse(&row.delivery, "delivery")?,
            messages: row.messages,
            last_sent_at: row.last_sent_at,
            next_attempt_at: row.next_attempt_at,
            error: delivery_error(row.error, row.gateway_code)?,
            ended_at: row.ended_at,
            updated_at: row.updated_at,
            version: row.version,
            history: History::from_store(row.history),
        })
    }
}

impl TryFrom<MessageRow> for Message {
    type Error = StoreError;
    fn try_from(row: MessageRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: MessageId { verification: row.verification_id, seq: row.seq },
            phone: phone(row.phone)?,
            epoch: row.epoch,
            route: parse(&row.route, "route")?,
            state: parse(&row.state, "state")?,
            attempts: row.attempts,
            ambiguous: row.ambiguous,
            due_at: row.due_at,
            publish_at: row.publish_at,
            publishes: row.publishes,
            claim: row.claim,
            lease_until: row.lease_until,
            error: delivery_error(row.error, row.gateway_code)?,
            parts: row.parts,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}
