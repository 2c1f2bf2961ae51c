//! Request bodies: read within the limit, then as JSON, with errors that name the field.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use tokio_stream::StreamExt as _;

use super::errors::Problem;

/// Reads a body of at most `limit` bytes.
pub(super) async fn read(request: Request, limit: usize) -> Result<Bytes, Problem> {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(Problem::too_large(limit));
    }
    collect(request.into_body(), limit).await
}

async fn collect(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let mut stream = body.into_data_stream();
    let mut first = Bytes::new();
    let mut rest = Vec::new();
    while let Some(part) = stream.next().await {
        let part = part.map_err(|error| Problem::bad_request("broken_body", format!("the body broke off: {error}")))?;
        if first.len().max(rest.len()) + part.len() > limit {
            return Err(Problem::too_large(limit));
        }
        if first.is_empty() && rest.is_empty() {
            first = part;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&part);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.into() })
}

/// The media type of a body without parameters, in lower case; empty where none is named.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Reads a body that is a JSON object.
///
/// # Errors
/// 415 for another content type, 413, and what [`parse`] finds.
pub(super) async fn json<T: DeserializeOwned>(request: Request, limit: usize) -> Result<T, Problem> {
    parse(&json_bytes(request, limit).await?)
}

/// Reads a body that is the ACL itself or `{"acl": …}`. Of whatever form the ACL is, the engine judges it.
///
/// # Errors
/// 415 for another content type, 413, and 400 for what is not JSON.
pub(super) async fn acl(request: Request, limit: usize) -> Result<Option<Value>, Problem> {
    let body = sightline_ingest::from_json(&json_bytes(request, limit).await?).map_err(refused)?;
    Ok(acl_of(body))
}

fn acl_of(body: Value) -> Option<Value> {
    match body {
        Value::Null => None,
        Value::Object(mut fields) if fields.len() == 1 && fields.contains_key("acl") => {
            fields.remove("acl").filter(|acl| !acl.is_null())
        }
        acl => Some(acl),
    }
}

async fn json_bytes(request: Request, limit: usize) -> Result<Bytes, Problem> {
    let media_type = media_type(request.headers());
    if !media_type.is_empty() && media_type != "application/json" {
        return Err(Problem::unsupported_media_type("content-type: application/json"));
    }
    read(request, limit).await
}

/// Reads a JSON object. An array of its fields' values, which serde takes too, is refused.
///
/// # Errors
/// 400 with the code `malformed_json`, `repeated_field`, `unknown_field` or `invalid_field`, and a detail that names place and field.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if bytes.trim_ascii_start().starts_with(b"[") {
        serde_json::from_slice::<IgnoredAny>(bytes).map_err(refused)?;
        return Err(not_an_object());
    }
    sightline_ingest::from_json(bytes).map_err(refused)
}

/// Reads a JSON object that was parsed before; errors are those of [`parse`].
pub(super) fn object<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    match value.is_object() {
        true => serde_json::from_value(value).map_err(refused),
        false => Err(not_an_object()),
    }
}

fn not_an_object() -> Problem {
    Problem::bad_request("invalid_field", "an object is expected")
}

fn refused(error: serde_json::Error) -> Problem {
    let detail = error.to_string();
    let code = match error.classify() {
        serde_json::error::Category::Data if detail.starts_with("unknown field") => "unknown_field",
        serde_json::error::Category::Data if detail.contains("stands twice in one object") => "repeated_field",
        serde_json::error::Category::Data => "invalid_field",
        _ => "malformed_json",
    };
    Problem::bad_request(code, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_acl_reaches_the_engine_as_it_is() {
        let bare = json!({"allow": ["everyone"]});
        assert_eq!(acl_of(bare.clone()), Some(bare.clone()));
        assert_eq!(acl_of(json!({"acl": bare})), Some(bare));
        assert_eq!(acl_of(json!({"acl": null})), None);
        assert_eq!(acl_of(json!(null)), None);
        assert_eq!(acl_of(json!(7)), Some(json!(7)));
        let mixed = json!({"acl": {}, "allow": []});
        assert_eq!(acl_of(mixed.clone()), Some(mixed));
    }
}
