//! What operators look at. None of it shows content.

use axum::extract::{RawQuery, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use sightline_index::{Job, Model, Stats};

use super::Shared;
use super::allowed::{Allowed, ToAdminister};
use super::errors::Problem;

const DEFAULT_JOBS: u32 = 50;
const MAX_JOBS: u32 = 1_000;

pub(super) fn router() -> Router<Shared> {
    Router::new().route("/v1/stats", get(stats)).route("/v1/jobs", get(jobs))
}

#[derive(Serialize)]
struct StatsBody {
    #[serde(flatten)]
    stats: Stats,
    model: Option<Model>,
}

#[derive(Serialize)]
struct Jobs {
    jobs: Vec<Job>,
}

async fn stats(State(service): State<Shared>, _admin: Allowed<ToAdminister>) -> Result<Json<StatsBody>, Problem> {
    let place = service.searches.enter()?;
    let model = service.engine().model().cloned();
    let stats = place.run(move || service.engine().stats()).await?;
    Ok(Json(StatsBody { stats, model }))
}

async fn jobs(
    State(service): State<Shared>,
    _admin: Allowed<ToAdminister>,
    RawQuery(query): RawQuery,
) -> Result<Json<Jobs>, Problem> {
    let limit = match query.as_deref().filter(|query| !query.is_empty()) {
        None => DEFAULT_JOBS,
        Some(query) => {
            let limit = query.strip_prefix("limit=").and_then(|limit| limit.parse().ok());
            limit.filter(|limit| (1..=MAX_JOBS).contains(limit)).ok_or_else(|| {
                Problem::bad_request("invalid_parameter", format!("limit: 1 to {MAX_JOBS} is the only parameter here"))
            })?
        }
    };
    let place = service.searches.enter()?;
    let jobs = place.run(move || service.engine().jobs(limit)).await?;
    Ok(Json(Jobs { jobs }))
}
