//! Groups and their members: the directory.

use axum::extract::{Request, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use sightline_index::{Principal, Write};

use super::Shared;
use super::allowed::{Allowed, ToKeepDirectory};
use super::body;
use super::errors::Problem;
use super::path;

/// A group, and its members. A group that is itself called `…/members` is reached with its slash encoded.
const GROUP_METHODS: &str = "GET,HEAD,PUT,DELETE";
const MEMBERS_METHODS: &str = "POST";

pub(super) fn router() -> Router<Shared> {
    Router::new().route("/v1/groups/{*group}", get(read).put(set).post(change).delete(delete))
}

#[derive(Serialize)]
struct Group {
    id: String,
    members: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupBody {
    /// It may repeat the path.
    #[serde(default)]
    id: Option<Principal>,
    members: Vec<Principal>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    #[serde(default)]
    add: Vec<Principal>,
    #[serde(default)]
    remove: Vec<Principal>,
}

async fn read(State(service): State<Shared>, app: Allowed<ToKeepDirectory>, uri: Uri) -> Result<Response, Problem> {
    let (group, false) = path::group(&uri)? else { return Ok(Problem::only(MEMBERS_METHODS)) };
    app.reach().group(&group)?;
    let place = service.changes.enter()?;
    let id = group.to_string();
    let members = place.run(move || service.engine().group(group.as_str())).await?;
    Ok(Json(Group { id, members }).into_response())
}

async fn set(State(service): State<Shared>, app: Allowed<ToKeepDirectory>, request: Request) -> Result<Response, Problem> {
    let (group, false) = path::group(request.uri())? else { return Ok(Problem::only(MEMBERS_METHODS)) };
    app.reach().group(&group)?;
    let place = service.changes.enter()?;
    let GroupBody { id, members } = body::json(request, service.config().max_request_body_bytes).await?;
    if id.is_some_and(|id| id != group) {
        return Err(Problem::bad_request("invalid_field", "id: it is not that of the path"));
    }
    Ok(Json(service.change(place, Write::SetGroup { group, members }).await?).into_response())
}

async fn change(State(service): State<Shared>, app: Allowed<ToKeepDirectory>, request: Request) -> Result<Response, Problem> {
    let (group, true) = path::group(request.uri())? else { return Ok(Problem::only(GROUP_METHODS)) };
    app.reach().group(&group)?;
    let place = service.changes.enter()?;
    let ChangeBody { add, remove } = body::json(request, service.config().max_request_body_bytes).await?;
    Ok(Json(service.change(place, Write::ChangeGroup { group, add, remove }).await?).into_response())
}

async fn delete(State(service): State<Shared>, app: Allowed<ToKeepDirectory>, uri: Uri) -> Result<Response, Problem> {
    let (group, false) = path::group(&uri)? else { return Ok(Problem::only(MEMBERS_METHODS)) };
    app.reach().group(&group)?;
    let place = service.changes.enter()?;
    Ok(Json(service.change(place, Write::DeleteGroup { group }).await?).into_response())
}
