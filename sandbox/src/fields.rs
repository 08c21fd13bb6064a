//! The fields of a call, in every form in which clients send them.

use std::collections::HashMap;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// The largest body taken.
pub(crate) const BODY_LIMIT: usize = 64 * 1024;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The fields by name. Of a repeated name the last counts, and the body overrides the query.
#[derive(Debug, Default)]
pub(crate) struct Fields(HashMap<String, String>);

impl Fields {
    /// Reads them. A malformed body has no fields.
    pub(crate) async fn read(request: Request) -> Result<Self, Response> {
        let mut fields = pairs(request.uri().query().unwrap_or_default().as_bytes());
        if request.method() == Method::POST {
            let (parts, body) = request.into_parts();
            let body = read_body(body).await?;
            fields.extend(match media_type(&parts.headers).as_str() {
                "multipart/form-data" => multipart(Request::from_parts(parts, Body::from(body))).await,
                "application/json" => json(&body),
                _ => pairs(&body),
            });
        }
        Ok(Self(fields))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Reads a body within its bounds.
pub(crate) async fn read_body(body: Body) -> Result<Bytes, Response> {
    let refuse = |status: StatusCode, why: &'static str| (status, why).into_response();
    match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, BODY_LIMIT)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // The only other failure is a broken connection, on which this answer is not read.
        Ok(Err(_)) => Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 64 KiB\n")),
        Err(_) => Err(refuse(StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n")),
    }
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn pairs(encoded: &[u8]) -> HashMap<String, String> {
    serde_urlencoded::from_bytes::<Vec<(String, String)>>(encoded).unwrap_or_default().into_iter().collect()
}

/// A number is read as its digits, because some clients send `"to": 9812345678`.
fn json(body: &[u8]) -> HashMap<String, String> {
    let Ok(Value::Object(members)) = serde_json::from_slice(body) else { return HashMap::new() };
    let text = |value: Value| match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    members.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect()
}

async fn multipart(request: Request) -> HashMap<String, String> {
    let mut fields = HashMap::new();
    let Ok(mut parts) = Multipart::from_request(request, &()).await else { return fields };
    while let Ok(Some(part)) = parts.next_field().await {
        let Some(name) = part.name().map(str::to_owned) else { continue };
        let Ok(text) = part.text().await else { break };
        fields.insert(name, text);
    }
    fields
}
