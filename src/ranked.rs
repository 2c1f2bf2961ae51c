//! One search with the re-ranker, where there is one and it is wanted, and how long that took.

use std::cell::Cell;
use std::time::{Duration, Instant};

use serde::Serialize;
use sightline_index::{Caller, Engine, Query, Result, Results, Timestamp, Warning};
use sightline_ingest::Reranker;

/// The answer to a query.
#[derive(Debug, Serialize)]
pub struct Ranked {
    /// How long the re-ranker took, in milliseconds, where it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerank_ms: Option<f64>,
    /// What was found.
    #[serde(flatten)]
    pub results: Results,
}

/// Searches, and re-ranks if `wanted`; where that is not said, if there is a re-ranker. Without one it is a warning.
///
/// # Errors
/// Those of [`Engine::search`].
pub fn search(
    engine: &Engine,
    reranker: Option<&Reranker>,
    wanted: Option<bool>,
    caller: &Caller,
    query: &Query,
    now: Timestamp,
) -> Result<Ranked> {
    let Some(reranker) = reranker.filter(|_| wanted != Some(false)) else {
        let mut results = engine.search(caller, query, now)?;
        if wanted == Some(true) {
            let detail = "no re-ranker is configured; the order is the one without it".to_owned();
            results.warnings.push(Warning { code: "reranker_unavailable", source: None, detail });
        }
        return Ok(Ranked { rerank_ms: None, results });
    };
    let took: Cell<Option<Duration>> = Cell::new(None);
    let scorer = |words: &str, passages: &[&str]| {
        let begun = Instant::now();
        let scores = reranker.scores(words, passages).map_err(|error| error.to_string());
        took.set(Some(took.get().unwrap_or_default() + begun.elapsed()));
        scores
    };
    let results = engine.search_with(caller, query, now, Some(&scorer))?;
    Ok(Ranked { rerank_ms: took.get().map(|took| took.as_secs_f64() * 1000.0), results })
}
