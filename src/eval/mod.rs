//! Evaluation: a judged collection in BEIR layout through the real pipeline, and how well each mode ranks it.
//!
//! `corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`), `qrels/*.tsv` (`query-id corpus-id score`).
//! Passages are ranked; a document counts at the rank of its best passage.

mod collection;
mod measure;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use serde::Serialize;
use sightline_index::{Caller, MAX_LIMIT, Mode, Query, Timestamp, Write};
use sightline_ingest::{Content, Incoming, IngestError, Pipeline};

pub use collection::{Collection, CollectionError};
pub use measure::Measures;

const SOURCE: &str = "eval";
const BATCH_DOCUMENTS: usize = 128;
const PAGE_DOCUMENTS: u32 = 1_000;
/// How many documents of a ranking are judged.
const DEPTH: usize = 100;

/// Why an evaluation stopped.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The collection cannot be read.
    #[error(transparent)]
    Collection(#[from] CollectionError),
    /// A document was not ingested.
    #[error("document `{id}`: {error}")]
    Ingest {
        /// The document.
        id: String,
        /// What went wrong.
        error: IngestError,
    },
    /// The data directory holds what would be ranked among the collection.
    #[error("the data directory also holds source `{0}`; name another directory with --data, or none")]
    OtherSource(String),
    /// The engine failed.
    #[error(transparent)]
    Index(#[from] sightline_index::Error),
}

/// What an evaluation measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Documents of the collection.
    pub documents: usize,
    /// Chunks that they became.
    pub chunks: u64,
    /// Judged queries.
    pub queries: usize,
    /// How long ingest took.
    pub ingest_seconds: f64,
    /// By mode, in the order keyword, vector, hybrid.
    pub modes: Vec<ModeReport>,
}

/// How one mode did.
#[derive(Clone, Debug, Serialize)]
pub struct ModeReport {
    /// The mode.
    pub mode: Mode,
    /// Averages over the judged queries.
    #[serde(flatten)]
    pub measures: Measures,
    /// Median time of a search without embedding the query, in milliseconds.
    pub p50_ms: f64,
}

/// Brings the pipeline's engine to a collection and nothing else, as a source that everyone may read. Returns seconds.
pub fn ingest(pipeline: &Pipeline, collection: &Collection, progress: impl Fn(usize)) -> Result<f64, EvalError> {
    let started = Instant::now();
    clear(pipeline, collection)?;
    let next = AtomicUsize::new(0);
    let mut done = 0;
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(BATCH_DOCUMENTS);
        for _ in 0..pipeline.width() {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some(document) = collection.documents.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let incoming = Incoming {
                        source: SOURCE.to_owned(),
                        id: document.id.clone(),
                        title: Some(document.title.clone()).filter(|title| !title.is_empty()),
                        mime: "text/plain".to_owned(),
                        content: Content::Text(document.text.clone()),
                        acl: Some(serde_json::json!({ "allow": ["public"] })),
                        ..Incoming::default()
                    };
                    let prepared = pipeline.prepare(incoming).map_err(|error| EvalError::Ingest { id: document.id.clone(), error });
                    if sender.send(prepared).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut batch = Vec::new();
        for prepared in receiver {
            batch.push(Write::Put(Box::new(prepared?.0)));
            if batch.len() == BATCH_DOCUMENTS {
                done += batch.len();
                pipeline.engine().write(std::mem::take(&mut batch), Timestamp::now())?;
                progress(done);
            }
        }
        pipeline.engine().write(batch, Timestamp::now())?;
        Ok::<_, EvalError>(())
    })?;
    Ok(started.elapsed().as_secs_f64())
}

/// Deletes what an earlier run left that is not of this collection.
fn clear(pipeline: &Pipeline, collection: &Collection) -> Result<(), EvalError> {
    let engine = pipeline.engine();
    if let Some(other) = engine.sources()?.into_iter().find(|source| source.id != SOURCE) {
        return Err(EvalError::OtherSource(other.id));
    }
    let wanted: HashSet<&str> = collection.documents.iter().map(|document| document.id.as_str()).collect();
    let mut after = String::new();
    loop {
        let page = engine.heads(SOURCE, &after, PAGE_DOCUMENTS)?;
        let Some(last) = page.last() else { return Ok(()) };
        after.clone_from(&last.id);
        let gone = page.into_iter().filter(|head| !wanted.contains(head.id.as_str()));
        let deletes = gone.map(|head| Write::Delete { source: SOURCE.to_owned(), id: head.id });
        engine.write(deletes.collect(), Timestamp::now())?;
    }
}

/// Runs every judged query in every mode.
pub fn evaluate(pipeline: &Pipeline, collection: &Collection, ingest_seconds: f64) -> Result<Report, EvalError> {
    let judged: Vec<_> = collection.queries.iter().filter(|query| collection.judgements.contains_key(&query.id)).collect();
    let embedded = |text: &str| {
        let mut query = Query { text: text.to_owned(), limit: MAX_LIMIT, ..Query::default() };
        pipeline.embed_query(&mut query);
        query
    };
    let asked: Vec<Query> = judged.iter().map(|query| embedded(&query.text)).collect();
    let mut modes = Vec::new();
    for mode in [Mode::Keyword, Mode::Vector, Mode::Hybrid] {
        let mut rankings = BTreeMap::new();
        let mut times = Vec::new();
        for (query, asked) in judged.iter().zip(&asked) {
            let asked = Query { mode, ..asked.clone() };
            let started = Instant::now();
            let results = pipeline.engine().rank_documents(&Caller::public(), &asked, DEPTH, Timestamp::now())?;
            times.push(started.elapsed().as_secs_f64() * 1000.0);
            rankings.insert(query.id.clone(), results.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
        }
        times.sort_by(f64::total_cmp);
        let p50_ms = times.get(times.len() / 2).copied().unwrap_or_default();
        modes.push(ModeReport { mode, measures: Measures::of(&rankings, &collection.judgements), p50_ms });
    }
    let chunks = pipeline.engine().stats()?.chunks;
    Ok(Report { documents: collection.documents.len(), chunks, queries: judged.len(), ingest_seconds, modes })
}
