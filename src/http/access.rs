//! Access as admins see it: why a document is visible or not, what to look at, aliases, and how long ACLs hold.

use std::time::Duration;

use axum::extract::{Path, RawQuery, Request, State};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use sightline_index::{AccessReport, Caller, Explanation, Principal, SourceRecord, Timestamp, Write};

use super::Shared;
use super::allowed::{Allowed, ToAdminister};
use super::body;
use super::errors::Problem;
use super::receipt::ReceiptBody;
use crate::config::age;

/// How far ahead ending grants are told, unless asked otherwise.
const DEFAULT_DAYS: i64 = 30;
const MAX_DAYS: i64 = 3_650;
const DAY_MS: i64 = 86_400_000;

pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/v1/access/explain", post(explain))
        .route("/v1/access/report", get(report))
        .route("/v1/sources", get(sources))
        .route("/v1/sources/{id}", put(set_source))
        .route("/v1/aliases/{source}/{alias}", put(set_alias).delete(delete_alias))
}

/// Whom and what to explain.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainBody {
    /// `user:ID`, or `public`.
    user: Principal,
    /// Groups that the user's credentials would assert.
    #[serde(default)]
    groups: Vec<Principal>,
    document: DocumentName,
}

/// A document as `source/id`, or as its parts.
#[derive(Deserialize)]
#[serde(untagged, expecting = "document: `source/id`, or {\"source\": …, \"id\": …}")]
enum DocumentName {
    Path(String),
    Parts { source: String, id: String },
}

async fn explain(
    State(service): State<Shared>,
    _admin: Allowed<ToAdminister>,
    request: Request,
) -> Result<Json<Explanation>, Problem> {
    let place = service.searches.enter()?;
    let asked: ExplainBody = body::json(request, service.config().max_request_body_bytes).await?;
    let caller = match asked.user.as_str() {
        "public" => Caller::public(),
        _ => Caller::user(asked.user).ok_or_else(|| invalid("user: `user:ID` or `public` is expected"))?.with_groups(asked.groups),
    };
    let (source, id) = match asked.document {
        DocumentName::Parts { source, id } => (source, id),
        DocumentName::Path(path) => path
            .split_once('/')
            .map(|(source, id)| (source.to_owned(), id.to_owned()))
            .ok_or_else(|| invalid("document: `source/id` is expected"))?,
    };
    Ok(Json(place.run(move || service.engine().explain(&caller, &source, &id, Timestamp::now())).await?))
}

async fn report(
    State(service): State<Shared>,
    _admin: Allowed<ToAdminister>,
    RawQuery(query): RawQuery,
) -> Result<Json<AccessReport>, Problem> {
    let days = match query.as_deref().filter(|query| !query.is_empty()) {
        None => DEFAULT_DAYS,
        Some(query) => {
            let days = query.strip_prefix("days=").and_then(|days| days.parse().ok());
            days.filter(|days| (0..=MAX_DAYS).contains(days))
                .ok_or_else(|| invalid("days: 0 to 3650 is the only parameter here"))?
        }
    };
    let now = Timestamp::now();
    let place = service.searches.enter()?;
    Ok(Json(place.run(move || service.engine().access_report(now, Timestamp(now.0 + days * DAY_MS))).await?))
}

#[derive(Serialize)]
struct Sources {
    sources: Vec<SourceRecord>,
}

async fn sources(State(service): State<Shared>, _admin: Allowed<ToAdminister>) -> Result<Json<Sources>, Problem> {
    let place = service.searches.enter()?;
    Ok(Json(Sources { sources: place.run(move || service.engine().sources()).await? }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceBody {
    /// Such as `7d`; `null` lets ACLs hold for ever.
    acl_max_age: Option<String>,
}

async fn set_source(
    State(service): State<Shared>,
    _admin: Allowed<ToAdminister>,
    Path(source): Path<String>,
    request: Request,
) -> Result<Json<ReceiptBody>, Problem> {
    let place = service.changes.enter()?;
    let SourceBody { acl_max_age } = body::json(request, service.config().max_request_body_bytes).await?;
    let seconds = |text: &str| {
        let seconds = age(text).as_ref().map(Duration::as_secs).and_then(|seconds| u32::try_from(seconds).ok());
        seconds.ok_or_else(|| invalid("acl_max_age: a number and one of s, m, h, d, w, such as `7d`, or null"))
    };
    let seconds = acl_max_age.as_deref().map(seconds).transpose()?;
    Ok(Json(service.change(place, Write::SetAclMaxAge { source, seconds }).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AliasBody {
    /// The user as callers are named.
    user: Principal,
}

async fn set_alias(
    State(service): State<Shared>,
    _admin: Allowed<ToAdminister>,
    Path((source, alias)): Path<(String, String)>,
    request: Request,
) -> Result<Json<ReceiptBody>, Problem> {
    let place = service.changes.enter()?;
    let AliasBody { user } = body::json(request, service.config().max_request_body_bytes).await?;
    let write = Write::SetAlias { source, alias: alias_name(&alias)?, canonical: Some(user) };
    Ok(Json(service.change(place, write).await?))
}

async fn delete_alias(
    State(service): State<Shared>,
    _admin: Allowed<ToAdminister>,
    Path((source, alias)): Path<(String, String)>,
) -> Result<Json<ReceiptBody>, Problem> {
    let place = service.changes.enter()?;
    Ok(Json(service.change(place, Write::SetAlias { source, alias: alias_name(&alias)?, canonical: None }).await?))
}

/// Reads the user of a source; `jdoe` and `user:jdoe` are the same.
fn alias_name(text: &str) -> Result<Principal, Problem> {
    let name = if text.starts_with("user:") { text.to_owned() } else { format!("user:{text}") };
    Principal::parse(&name).map_err(|reason| Problem::bad_request("bad_alias", reason))
}

fn invalid(detail: &str) -> Problem {
    Problem::bad_request("invalid_field", detail)
}
