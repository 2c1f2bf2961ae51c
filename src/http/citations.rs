//! `GET /v1/citations/{token}`: the cited passage, with the permission checked anew.

use axum::extract::State;
use axum::http::Uri;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use sightline_index::{Citation, Freshness, Timestamp};

use super::Shared;
use super::allowed::{Allowed, ToSearch};
use super::errors::Problem;

const CITATIONS: &str = "/v1/citations/";

pub(super) fn router() -> Router<Shared> {
    Router::new().route("/v1/citations/{token}", get(open))
}

#[derive(Serialize)]
struct Opened {
    status: Freshness,
    text: Option<String>,
    citation: Citation,
}

async fn open(State(service): State<Shared>, caller: Allowed<ToSearch>, uri: Uri) -> Result<Json<Opened>, Problem> {
    let token = uri.path().strip_prefix(CITATIONS).unwrap_or_default().to_owned();
    let caller = caller.caller().clone();
    let place = service.searches.enter()?;
    let (text, citation) = place.run(move || service.engine().citation(&caller, &token, Timestamp::now())).await?;
    Ok(Json(Opened { status: citation.freshness, text, citation }))
}
