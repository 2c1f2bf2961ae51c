//! Documents and their ACLs.

use axum::extract::{RawQuery, Request, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use sightline_index::{Timestamp, Write};
use sightline_ingest::{Content, Incoming};

use super::Shared;
use super::allowed::{Allowed, ToIngest, ToSearch};
use super::body;
use super::errors::Problem;
use super::incoming::DocumentBody;
use super::path::ItemPath;
use super::receipt::ReceiptBody;

const JSON: &str = "application/json";
/// An ACL can be put; it goes with its document.
const ACL_METHODS: &str = "PUT";
/// What clients send when they were not told what to send.
const FORM: &str = "application/x-www-form-urlencoded";

pub(super) fn router() -> Router<Shared> {
    Router::new().route("/v1/documents/{*item}", get(read).put(put).delete(delete))
}

async fn read(
    State(service): State<Shared>,
    caller: Allowed<ToSearch>,
    uri: Uri,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let ItemPath { source, id, acl } = ItemPath::document(&uri)?;
    if acl {
        return Ok(Problem::only(ACL_METHODS));
    }
    let version = version(query.as_deref())?;
    let caller = caller.caller().clone();
    let place = service.searches.enter()?;
    let read = move || service.engine().document(&caller, &source, &id, version, Timestamp::now());
    Ok(Json(place.run(read).await?).into_response())
}

async fn put(State(service): State<Shared>, app: Allowed<ToIngest>, request: Request) -> Result<Json<ReceiptBody>, Problem> {
    let ItemPath { source, id, acl } = ItemPath::document(request.uri())?;
    let limit = service.config().max_request_body_bytes;
    if acl {
        app.reach().change(&source)?;
        let place = service.changes.enter()?;
        let acl = body::acl(request, limit).await?;
        return Ok(Json(service.change(place, Write::SetAcl { source, id, acl }).await?));
    }
    let place = service.puts.enter()?;
    let media_type = body::media_type(request.headers());
    let mut incoming = match media_type.as_str() {
        "" | JSON => body::json::<DocumentBody>(request, limit).await?.under(&source, &id)?,
        FORM => return Err(Problem::unsupported_media_type("content-type: application/json, or that of the document")),
        _ => {
            let content = Content::Bytes(body::read(request, limit).await?.into());
            Incoming { source, id, mime: media_type, content, ..Incoming::default() }
        }
    };
    app.reach().put(&incoming.source, &incoming.labels)?;
    incoming.replaces = app.reach().replaces();
    let receipt = place.run(move || service.pipeline().put(incoming, Timestamp::now())).await?;
    Ok(Json(ReceiptBody::of(receipt)?))
}

async fn delete(State(service): State<Shared>, app: Allowed<ToIngest>, uri: Uri) -> Result<Response, Problem> {
    let ItemPath { source, id, acl } = ItemPath::document(&uri)?;
    if acl {
        return Ok(Problem::only(ACL_METHODS));
    }
    app.reach().change(&source)?;
    let place = service.changes.enter()?;
    Ok(Json(service.change(place, Write::Delete { source, id }).await?).into_response())
}

/// The `version` of a query string.
fn version(query: Option<&str>) -> Result<Option<u32>, Problem> {
    let mut version = None;
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name != "version" {
            return Err(Problem::bad_request("unknown_parameter", "only `version` is a parameter here"));
        }
        let number = value.parse::<u32>().ok().filter(|number| *number > 0);
        version =
            Some(number.ok_or_else(|| Problem::bad_request("invalid_parameter", "version: a whole number from 1 is expected"))?);
    }
    Ok(version)
}
