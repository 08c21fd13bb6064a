//! Schemas of what is not a type of this crate: markers that stand for it in `#[schema(value_type = …)]`.

use hulak_common::account::{MAX_EMAIL, MAX_NAME, MAX_PERMISSION};
use hulak_common::phone::MAX_INPUT_CHARS;
use hulak_common::verification::{Delivery, DeliveryFault, Locale, Purpose, Status};
use serde_json::json;
use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::http::problem::FieldError;
use crate::openapi::elements::{reference, text};
use crate::openapi::problems;

/// Numbers as people type them: what the document promises to take. The server takes more, which a pattern cannot say.
const TYPED_PHONE: &str = "^ *(\\+977|00977|977|0)?[ .()-]*[9९]([ .()-]*[0-9०-९]){9} *$";
/// No control characters.
pub(crate) const PLAIN: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";
/// The same, and something to be seen.
const VISIBLE: &str = "^[^\\u0000-\\u0020\\u007f-\\u00a0][^\\u0000-\\u001f\\u007f-\\u009f]*$";
const HOST_NAME: &str =
    "^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$";

/// Defines markers, each with its schema. Features define those of their own fields.
macro_rules! markers {
    ($($(#[doc = $doc:literal])+ $name:ident => $schema:expr;)+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Debug)]
            pub(crate) enum $name {}

            impl utoipa::PartialSchema for $name {
                fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                    const DESCRIPTION: &str = concat!($($doc),+);
                    let mut schema = $schema.build();
                    schema.description = Some(DESCRIPTION.trim().to_owned());
                    schema.into()
                }
            }

            impl utoipa::ToSchema for $name {}
        )+
    };
}

markers! {
    /// A moment in UTC, to the millisecond.
    Moment => text()
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .examples([json!("2026-09-21T14:13:20.123Z")]);
    /// Where a verification stands. All but `pending` are final.
    VerificationStatus => names(Status::ALL.iter().map(|status| status.as_str()));
    /// Where the newest message stands. `sent`: the gateway took it, more is never known; `unknown`: nobody can tell
    /// whether it did.
    DeliveryStatus => names(Delivery::ALL.iter().map(|delivery| delivery.as_str()));
    /// Why a message did not go out, or has not yet.
    DeliveryFaultCode => names(DeliveryFault::ALL.iter().map(|fault| fault.as_str()));
    /// What the proof is for.
    PurposeName => names(Purpose::ALL.iter().map(|purpose| purpose.as_str()));
    /// The language of the message.
    LocaleName => names(Locale::ALL.iter().map(|locale| locale.as_str()));
    /// A mobile number of Nepal: ten digits that begin with 9, with or without +977, spaces, dashes and brackets, in
    /// ASCII or Devanagari digits. Full-width digits and other dashes are taken too.
    TypedPhone => text().max_length(Some(MAX_INPUT_CHARS)).pattern(Some(TYPED_PHONE)).examples(["9812345678"]);
    /// A number in E.164; with a client token its middle is hidden.
    ShownPhone => text()
        .pattern(Some("^\\+977(9[0-9]{9}|9[0-9]•••••[0-9]{3})$"))
        .examples(["+9779812345678", "+97798•••••678"]);
    /// A host name: no scheme, no port, no path.
    HostName => text().min_length(Some(1)).max_length(Some(253)).pattern(Some(HOST_NAME));
    /// A username: letters, digits and `@ . + - _`, normalised (NFKC). Letters and digits of every script are taken, not
    /// only those of the pattern.
    Username => text().min_length(Some(1)).max_length(Some(MAX_NAME)).pattern(Some("^[A-Za-z0-9@.+_-]+$"));
    /// A person's name, without control characters.
    Name => text().max_length(Some(MAX_NAME)).pattern(Some(PLAIN));
    /// The name of a group, without control characters.
    GroupName => text().min_length(Some(1)).max_length(Some(MAX_NAME)).pattern(Some(VISIBLE));
    /// What a group allows: visible ASCII characters without spaces.
    Permission => text().min_length(Some(1)).max_length(Some(MAX_PERMISSION)).pattern(Some("^[!-~]+$"));
    /// An e-mail address.
    EmailAddress => text().max_length(Some(MAX_EMAIL)).format(Some(SchemaFormat::KnownFormat(KnownFormat::Email)));
    /// The caller's own data, given back as it came.
    Metadata => ObjectBuilder::new().additional_properties(Some(utoipa::openapi::schema::AdditionalProperties::FreeForm(true)));
    /// Where a browser goes.
    WebAddress => text().format(Some(SchemaFormat::Custom("uri".to_owned())));
    /// A JSON Web Token (RFC 7519) in compact form.
    Jwt => text().pattern(Some("^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$"));
}

/// Defines what stands for a page of a list of `$view`: names of generic types are not told apart.
macro_rules! list_page {
    ($name:ident of $view:ty) => {
        #[derive(utoipa::ToSchema)]
        #[schema(description = "A page of a list.")]
        #[expect(dead_code, reason = "only its schema is of interest")]
        struct $name {
            /// Newest first.
            #[schema(max_items = 100)]
            data: Vec<$view>,
            /// For the page after this one; null when this is the last.
            #[schema(required, pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")]
            next_cursor: Option<String>,
        }
    };
}

pub(crate) use {list_page, markers};

/// An IPv4 or IPv6 address.
#[derive(Debug)]
pub(crate) enum IpAddress {}

impl PartialSchema for IpAddress {
    fn schema() -> RefOr<Schema> {
        let of = |format| text().format(Some(SchemaFormat::KnownFormat(format)));
        let both = AnyOfBuilder::new().item(of(KnownFormat::Ipv4)).item(of(KnownFormat::Ipv6));
        both.description(Some("An IPv4 or IPv6 address.")).into()
    }
}

impl ToSchema for IpAddress {}

/// The schema of every problem.
fn problem() -> Schema {
    let slug = text().format(Some(SchemaFormat::Custom("uri".to_owned())));
    let status = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(400)).maximum(Some(599));
    let errors = RefOr::T(Schema::from(
        utoipa::openapi::ArrayBuilder::new()
            .items(reference("FieldError"))
            .min_items(Some(1))
            .description(Some("Each field that cannot be used.")),
    ));
    let policy = text()
        .enum_values(Some(problems::policies()))
        .description(Some("Of a 429: the limit that was reached."));
    let remaining = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(0))
        .description(Some("Of `incorrect-code`: how many wrong codes the verification still bears."));
    ObjectBuilder::new()
        .description(Some("Problem details (RFC 9457)."))
        .property("type", slug.description(Some("An address that explains the problem and its remedy.")))
        .property("title", text().description(Some("The same for every occurrence.")))
        .property("status", status.description(Some("The status of the response.")))
        .property("detail", text().description(Some("What happened this time, for the person who reads it.")))
        .property("errors", errors)
        .property("policy", policy)
        .property("checks_remaining", remaining)
        .property("blocked_until", described("Moment", "Of `phone-blocked`: the end of the block."))
        .required("type")
        .required("title")
        .required("status")
        .required("detail")
        .into()
}

/// A reference with words of its own.
fn described(name: &str, description: &str) -> RefOr<Schema> {
    let mut reference = utoipa::openapi::Ref::from_schema_name(name);
    description.clone_into(&mut reference.description);
    RefOr::Ref(reference)
}

/// Schemas that no operation brings along.
pub(crate) fn shared() -> Vec<(String, RefOr<Schema>)> {
    vec![
        ("Problem".to_owned(), problem().into()),
        (FieldError::name().into_owned(), FieldError::schema()),
        (Moment::name().into_owned(), Moment::schema()),
        (TypedPhone::name().into_owned(), TypedPhone::schema()),
        (Username::name().into_owned(), Username::schema()),
        (GroupName::name().into_owned(), GroupName::schema()),
        (VerificationStatus::name().into_owned(), VerificationStatus::schema()),
        (DeliveryStatus::name().into_owned(), DeliveryStatus::schema()),
    ]
}

fn names(all: impl Iterator<Item = &'static str>) -> ObjectBuilder {
    text().enum_values(Some(all))
}
