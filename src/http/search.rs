//! `POST /v1/search`: ranked passages with citations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use sightline_index::{Caller, Filter, MAX_QUERY_BYTES, Mode, Query, Recency, Sort, SourcePolicy, Timestamp};

use super::Shared;
use super::allowed::{Allowed, ToSearch};
use super::body;
use super::envelope::{fresh_id, milliseconds};
use super::errors::Problem;
use super::service::Service;
use crate::config::{RecencySettings, age};
use crate::ranked::{self, Ranked};

/// The most hits that one request may ask for.
const MAX_HITS: usize = 100;
const DEFAULT_HITS: usize = 10;

pub(super) fn router() -> Router<Shared> {
    Router::new().route("/v1/search", post(search))
}

/// What is asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchBody {
    query: String,
    #[serde(default = "default_hits")]
    limit: usize,
    #[serde(default)]
    mode: Mode,
    /// Compares every permitted passage's vector; without it a passage in fifty may be missed among the nearest.
    #[serde(default)]
    exact: bool,
    #[serde(default)]
    filter: FilterBody,
    #[serde(default)]
    max_age: Option<String>,
    #[serde(default)]
    min_epoch: Option<u64>,
    #[serde(default)]
    why: bool,
    #[serde(default)]
    neighbors: u32,
    /// Absent: where a re-ranker is configured.
    #[serde(default)]
    pub(super) rerank: Option<bool>,
    #[serde(default)]
    sort: Sort,
    #[serde(default)]
    recency: Option<RecencyBody>,
    #[serde(default)]
    per_document: Option<usize>,
    #[serde(default)]
    duplicates: Duplicates,
    #[serde(default)]
    diversity: f32,
}

/// How scores fall with age: `"90d"` is a half-life with the default weight.
#[derive(Deserialize)]
#[serde(untagged)]
enum RecencyBody {
    HalfLife(String),
    Settings(RecencySettings),
}

/// What becomes of passages that are nearly the same as a better hit.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Duplicates {
    /// They are hits like others.
    #[default]
    Keep,
    /// They are named with the better hit, in its `duplicates`.
    Collapse,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FilterBody {
    sources: Option<Vec<String>>,
    labels: BTreeMap<String, String>,
    modified_after: Option<Timestamp>,
}

/// What is answered.
#[derive(Serialize)]
struct Answer {
    query_id: String,
    took_ms: f64,
    #[serde(flatten)]
    ranked: Ranked,
}

fn default_hits() -> usize {
    DEFAULT_HITS
}

async fn search(State(service): State<Shared>, caller: Allowed<ToSearch>, request: Request) -> Result<Json<Answer>, Problem> {
    let begun = Instant::now();
    let place = service.searches.enter()?;
    let asked: SearchBody = body::json(request, service.config().max_request_body_bytes).await?;
    let now = Timestamp::now();
    let rerank = asked.rerank;
    let query = asked.query(now, service.policies())?;
    let caller = caller.caller().clone();
    let ranked = place.run(move || run(&service, &caller, query, rerank, now)).await?;
    Ok(Json(Answer { query_id: fresh_id("q"), took_ms: milliseconds(begun), ranked }))
}

/// Embeds a query and searches; `rerank` is whether to re-rank, where the request says.
pub(super) fn run(
    service: &Service,
    caller: &Caller,
    mut query: Query,
    rerank: Option<bool>,
    now: Timestamp,
) -> sightline_index::Result<Ranked> {
    if query.mode != Mode::Keyword {
        service.pipeline().embed_query(&mut query);
    }
    ranked::search(service.engine(), service.reranker(), rerank, caller, &query, now)
}

impl SearchBody {
    pub(super) fn query(self, now: Timestamp, policies: Arc<BTreeMap<String, SourcePolicy>>) -> Result<Query, Problem> {
        if self.query.trim().is_empty() {
            return Err(Problem::bad_request("empty_query", "query: it is empty; ask something"));
        }
        if self.query.len() > MAX_QUERY_BYTES {
            let detail = format!("query: {} bytes, at most {MAX_QUERY_BYTES} are allowed", self.query.len());
            return Err(Problem::bad_request("query_too_long", detail));
        }
        if self.limit == 0 || self.limit > MAX_HITS {
            return Err(Problem::bad_request("invalid_field", format!("limit: 1 to {MAX_HITS} are allowed")));
        }
        let max_age = self.max_age.as_deref().map(|age| oldest(age, now)).transpose()?;
        let FilterBody { sources, labels, modified_after } = self.filter;
        Ok(Query {
            text: self.query,
            vector: None,
            fluency: None,
            mode: self.mode,
            limit: self.limit,
            filter: Filter { sources, labels, modified_after: modified_after.max(max_age) },
            min_epoch: self.min_epoch,
            why: self.why,
            exact: self.exact,
            neighbors: self.neighbors,
            sort: self.sort,
            recency: self.recency.map(RecencyBody::read).transpose()?,
            per_document: self.per_document,
            collapse_duplicates: self.duplicates == Duplicates::Collapse,
            diversity: self.diversity,
            policies,
        })
    }
}

impl RecencyBody {
    fn read(self) -> Result<Recency, Problem> {
        let settings = match self {
            RecencyBody::HalfLife(half_life) => RecencySettings { half_life, weight: None },
            RecencyBody::Settings(settings) => settings,
        };
        settings.read().map_err(|detail| Problem::bad_request("invalid_field", format!("recency: {detail}")))
    }
}

/// The time that lies an age such as `90d` before now.
fn oldest(text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    let age = age(text)
        .ok_or_else(|| Problem::bad_request("invalid_field", "max_age: a number and one of s, m, h, d, w, such as `90d`"))?;
    Ok(Timestamp(now.0.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_counted_back_from_now() {
        let now = Timestamp(10_000_000_000);
        for (age, before) in [("45s", 45_000), ("30m", 1_800_000), ("12h", 43_200_000), ("2d", 172_800_000), ("2w", 1_209_600_000)]
        {
            assert_eq!(oldest(age, now).unwrap(), Timestamp(now.0 - before), "{age}");
        }
        assert!(oldest("9223372036854775807w", now).unwrap() < now);
        for age in ["", "d", "90", "90 d", "-1d", "+1d", "1.5h", "1y", "1D", "90dd"] {
            assert!(oldest(age, now).is_err(), "{age}");
        }
    }

    #[test]
    fn the_later_of_both_bounds_holds() {
        let now = Timestamp(10_000_000_000);
        let query = |text: &str| {
            body::parse::<SearchBody>(text.as_bytes()).unwrap().query(now, Arc::default()).unwrap().filter.modified_after
        };
        assert_eq!(query(r#"{"query":"a"}"#), None);
        assert_eq!(query(r#"{"query":"a","max_age":"1d"}"#), Some(Timestamp(9_913_600_000)));
        let later = r#"{"query":"a","max_age":"1d","filter":{"modified_after":"2020-01-01T00:00:00Z"}}"#;
        assert_eq!(query(later), Timestamp::parse("2020-01-01T00:00:00Z"));
    }
}
