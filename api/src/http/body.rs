//! Reads a JSON body, bounded in size and time, and says which field is wrong.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::header;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::http::idempotency::OnceKey;
use crate::http::problem::{FieldError, Kind, Problem};

/// The largest body, in bytes.
pub(crate) const MAX_BODY: usize = 16 * 1024;
/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Body<T>(pub T);

/// A JSON body, and the `Idempotency-Key` it came with. An `OPTIONAL` one may be empty, which counts as `{}`.
#[derive(Debug)]
pub(crate) struct OnceBody<T, const OPTIONAL: bool = false>(pub T, pub Option<OnceKey>);

impl<S: Send + Sync, T: DeserializeOwned, const OPTIONAL: bool> FromRequest<S> for OnceBody<T, OPTIONAL> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let key = OnceKey::read(request.headers(), request.uri().path())?;
        let is_json = require_json(&request);
        // Whether a chunked body is empty is known at its end only.
        let bytes = if OPTIONAL || is_json.is_ok() { read(request).await? } else { bytes::Bytes::new() };
        let empty = OPTIONAL && bytes.is_empty();
        if !empty {
            is_json?;
        }
        let value = parse(if empty { b"{}" } else { &bytes })?;
        Ok(Self(value, key.map(|key| key.with_body(&bytes))))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        require_json(&request)?;
        let bytes = read(request).await?;
        parse(&bytes).map(Self)
    }
}

fn require_json(request: &Request) -> Result<(), Problem> {
    let media =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    Err(Problem::new(Kind::UnsupportedMediaType, "send the body as application/json"))
}

async fn read(request: Request) -> Result<bytes::Bytes, Problem> {
    let body = Limited::new(request.into_body(), MAX_BODY);
    match tokio::time::timeout(PATIENCE, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => {
            Err(Problem::new(Kind::BodyTooLarge, "the body has more than 16 KiB"))
        }
        Ok(Err(_)) => Err(Problem::new(Kind::BadRequest, "the body broke off")),
        Err(_) => Err(Problem::new(Kind::RequestTimeout, "the body did not arrive within 10 s")),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Whether it is JSON at all comes first: reading into fields stops at the first one that does not fit.
    let text =
        std::str::from_utf8(bytes).map_err(|_| Problem::new(Kind::MalformedJson, "the body is not UTF-8"))?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| malformed(&error))?;
    // Reading into a struct would take an array too, its elements for the fields in order.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(Problem::fields(
            Kind::InvalidRequest,
            vec![FieldError::new("body", "must be a JSON object")],
        ));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| explain(&error))
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(Kind::MalformedJson, error.to_string())
}

fn explain(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let inner = error.inner();
    if inner.classify() != serde_json::error::Category::Data {
        return malformed(inner);
    }
    let reason = strip_position(inner);
    let path = error.path().to_string();
    let field = match (path.as_str(), named(&reason)) {
        ("." | "", Some(name)) => name.to_owned(),
        ("." | "", None) => "body".to_owned(),
        (path, Some(name)) if path != name && !path.ends_with(&format!(".{name}")) => {
            format!("{path}.{name}")
        }
        (path, _) => path.to_owned(),
    };
    Problem::fields(Kind::InvalidRequest, vec![FieldError::new(field, reason)])
}

/// For a missing, repeated or unknown field serde stops at the object around it; the field's name is in the reason.
fn named(reason: &str) -> Option<&str> {
    let rest = ["missing", "duplicate", "unknown"].iter().find_map(|what| reason.strip_prefix(what))?;
    // The name is the caller's, and may hold anything.
    let name = rest.strip_prefix(" field `")?;
    name.split_once("`, expected ").or_else(|| name.rsplit_once('`')).map(|(name, _)| name)
}

/// serde_json says where in the body; the field says it better.
fn strip_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(reason, _)| reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only its reading is of interest")]
        phone: String,
        #[expect(dead_code, reason = "only its reading is of interest")]
        metadata: Option<serde_json::Map<String, serde_json::Value>>,
    }

    fn problem(body: &str) -> (Kind, String) {
        let problem = parse::<Sample>(body.as_bytes()).unwrap_err();
        let rendered = format!("{problem:?}");
        (problem.kind(), rendered)
    }

    #[test]
    fn what_is_no_json_is_told_from_what_has_wrong_fields() {
        for body in [
            "",
            "{",
            "{\"phone\":}",
            "{\"phone\":\"1\"} x",
            "\u{1}",
            "{\"phone\":\"\\ud800\"}",
            "{\"phone\":1,",
            "{\"colour\":1,}",
            "[1,",
        ] {
            assert_eq!(problem(body).0, Kind::MalformedJson, "{body}");
        }
        for (body, field) in [
            ("{}", "phone"),
            ("{\"phone\":1}", "phone"),
            ("{\"phone\":null}", "phone"),
            ("{\"phone\":\"1\",\"phone\":\"2\"}", "phone"),
            ("{\"phone\":\"1\",\"colour\":1}", "colour"),
            ("{\"phone\":\"1\",\"metadata\":[]}", "metadata"),
            ("{\"phone\":\"1\",\"a `b` c\":1}", "a `b` c"),
            ("{\"phone\":\"1\",\"metadata\":\"no field `x` here\"}", "metadata"),
            (" [\"1\", {}]", "body"),
            ("[]", "body"),
            ("\"text\"", "body"),
            ("null", "body"),
        ] {
            let (kind, rendered) = problem(body);
            assert_eq!(kind, Kind::InvalidRequest, "{body}");
            assert!(rendered.contains(&format!("\"field\": String({field:?})")), "{body}: {rendered}");
        }
    }
}
