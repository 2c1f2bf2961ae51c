//! `GET /v1/citations/{token}`: the cited passage, with the permission checked anew, and what has become of it.

use axum::extract::State;
use axum::http::Uri;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use sightline_index::{Freshness, Opened, Timestamp};

use super::Shared;
use super::allowed::{Allowed, ToSearch};
use super::errors::Problem;

const CITATIONS: &str = "/v1/citations/";

pub(super) fn router() -> Router<Shared> {
    Router::new().route("/v1/citations/{token}", get(open))
}

#[derive(Serialize)]
struct OpenedBody {
    status: Freshness,
    #[serde(flatten)]
    opened: Opened,
}

async fn open(State(service): State<Shared>, caller: Allowed<ToSearch>, uri: Uri) -> Result<Json<OpenedBody>, Problem> {
    let token = uri.path().strip_prefix(CITATIONS).unwrap_or_default().to_owned();
    let caller = caller.caller().clone();
    let place = service.searches.enter()?;
    let opened = place.run(move || service.engine().citation(&caller, &token, Timestamp::now())).await?;
    Ok(Json(OpenedBody { status: opened.citation.freshness, opened }))
}
