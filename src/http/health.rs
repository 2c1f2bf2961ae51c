//! Probes: alive, and able to answer. Neither needs credentials, and neither says more than that.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use sightline_index::Timestamp;

use super::Shared;
use super::errors::Problem;

pub(super) fn router() -> Router<Shared> {
    Router::new().route("/healthz", get(healthy)).route("/readyz", get(ready))
}

async fn healthy() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Ready when the catalog can be read and a worker is free to do it.
async fn ready(State(service): State<Shared>) -> Result<Json<Value>, Problem> {
    let place = service.searches.enter().map_err(|_| Problem::not_ready())?;
    let asked = service.clone();
    let answered = place.run(move || asked.engine().key("", Timestamp::now())).await;
    match answered {
        Ok(_) => Ok(Json(json!({ "status": "ready", "epoch": service.engine().epoch() }))),
        Err(_) => Err(Problem::not_ready()),
    }
}
