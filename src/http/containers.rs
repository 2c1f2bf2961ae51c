//! Containers: folders, spaces and projects that documents inherit ACLs from.

use axum::extract::{Request, State};
use axum::http::Uri;
use axum::routing::put;
use axum::{Json, Router};
use sightline_index::Write;

use super::Shared;
use super::allowed::{Allowed, ToIngest};
use super::body;
use super::errors::Problem;
use super::path::ItemPath;
use super::receipt::ReceiptBody;

pub(super) fn router() -> Router<Shared> {
    Router::new().route("/v1/containers/{*item}", put(set).delete(delete))
}

async fn set(State(service): State<Shared>, app: Allowed<ToIngest>, request: Request) -> Result<Json<ReceiptBody>, Problem> {
    let ItemPath { source, id, .. } = ItemPath::container(request.uri())?;
    app.reach().change(&source)?;
    let place = service.changes.enter()?;
    let acl = body::acl(request, service.config().max_request_body_bytes).await?;
    Ok(Json(service.change(place, Write::SetContainer { source, id, acl }).await?))
}

async fn delete(State(service): State<Shared>, app: Allowed<ToIngest>, uri: Uri) -> Result<Json<ReceiptBody>, Problem> {
    let ItemPath { source, id, .. } = ItemPath::container(&uri)?;
    app.reach().change(&source)?;
    let place = service.changes.enter()?;
    Ok(Json(service.change(place, Write::DeleteContainer { source, id }).await?))
}
