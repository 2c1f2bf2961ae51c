//! Evaluation: a judged collection in BEIR layout through the real pipeline, and how well each mode ranks it.
//!
//! `corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`), `qrels/*.tsv` (`query-id corpus-id score`).
//! Passages are ranked; a document counts at the rank of its best passage. A saved run is compared with ([`compare`]), and
//! the same queries are asked as callers who may read a part ([`ask_callers`]).

mod ask;
mod callers;
mod collection;
mod comparison;
mod ingest;
mod measure;
mod private;
mod run;
mod significance;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;
use sightline_index::{Caller, Mode};
use sightline_ingest::{IngestError, Pipeline};

pub use ask::Questions;
pub use collection::{Collection, CollectionError};
pub use comparison::{Change, Comparison, Difference, compare, saved};
pub use ingest::ingest;
pub use measure::{MEASURES, Measures};
pub use private::{CallerMode, CallerReport, ask_callers};
pub(crate) use run::name_of;
pub use run::{CollectionRun, ModeRun, QueryRun, Ranked, Run};

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
    /// The model failed on a query; the log says why.
    #[error("query `{id}` was not embedded")]
    NotEmbedded {
        /// The query.
        id: String,
    },
    /// A query was refused.
    #[error("query `{id}`: {error}")]
    Query {
        /// The query.
        id: String,
        /// Why.
        error: sightline_index::Error,
    },
    /// The data directory holds what would be ranked among the collection.
    #[error("the data directory also holds source `{0}`; name another directory with --data, or none")]
    OtherSource(String),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A file is no saved run.
    #[error("{path} is no saved run: {detail}; write one with --save")]
    Run {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A saved run is of other files.
    #[error("{path} is a run of {saved}, and not of `{name}` as it is now; save one of it with --save")]
    OtherCollection {
        /// The file.
        path: PathBuf,
        /// What it is of.
        saved: String,
        /// The collection.
        name: String,
    },
    /// The engine failed.
    #[error(transparent)]
    Index(#[from] sightline_index::Error),
}

/// What an evaluation measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What the collection is called.
    pub collection: String,
    /// Which one it is: blake3 of its corpus, queries and judgements, in hex.
    pub blake3: String,
    /// Documents of the collection.
    pub documents: usize,
    /// Chunks that they became.
    pub chunks: u64,
    /// Judged queries.
    pub queries: usize,
    /// How long ingest took.
    pub ingest_seconds: f64,
    /// By mode, in the order keyword, vector, hybrid; without a model keyword alone.
    pub modes: Vec<ModeReport>,
    /// How it differs from a saved run, when one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<Vec<Comparison>>,
    /// How callers fared who may read a part, when that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callers: Option<Vec<CallerReport>>,
}

/// How one mode did.
#[derive(Clone, Debug, Serialize)]
pub struct ModeReport {
    /// The mode.
    pub mode: Mode,
    /// Means over the judged queries.
    #[serde(flatten)]
    pub measures: Measures,
    /// Median time of a search without embedding the query, in milliseconds.
    pub p50_ms: f64,
    /// Query by query; what a saved run holds.
    #[serde(skip)]
    pub run: ModeRun,
}

/// Runs every judged query in every mode.
pub fn evaluate(
    pipeline: &Pipeline,
    collection: &Collection,
    questions: &Questions<'_>,
    ingest_seconds: f64,
) -> Result<Report, EvalError> {
    Ok(Report {
        collection: collection.name.clone(),
        blake3: collection.blake3.clone(),
        documents: collection.documents.len(),
        chunks: pipeline.engine().stats()?.chunks,
        queries: questions.all.len(),
        ingest_seconds,
        modes: questions.modes.iter().map(|mode| evaluate_mode(pipeline, questions, *mode)).collect::<Result<_, _>>()?,
        against: None,
        callers: None,
    })
}

fn evaluate_mode(pipeline: &Pipeline, questions: &Questions<'_>, mode: Mode) -> Result<ModeReport, EvalError> {
    let (engine, caller) = (pipeline.engine(), Caller::public());
    let mut queries = BTreeMap::new();
    let mut times = Vec::new();
    for asked in &questions.all {
        let started = Instant::now();
        let ranking = asked.rank_all(engine, &caller, mode, false)?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
        let answered = asked.answered(engine, &caller, mode)?;
        let measures = Measures { answer_1: answered.map(|held| f64::from(u8::from(held))), ..asked.measure(&ranking) };
        queries.insert(asked.question.id.clone(), QueryRun { measures, ranking });
    }
    times.sort_by(f64::total_cmp);
    let p50_ms = times.get(times.len() / 2).copied().unwrap_or_default();
    let measures = Measures::mean(queries.values().map(|query| &query.measures));
    Ok(ModeReport { mode, measures, p50_ms, run: ModeRun { mode, measures, queries } })
}

/// A mode's means over several collections, each counting the same.
#[derive(Clone, Debug, Serialize)]
pub struct Average {
    /// The mode.
    pub mode: Mode,
    /// How many collections have it.
    pub collections: usize,
    /// The means of their means.
    #[serde(flatten)]
    pub measures: Measures,
}

/// The macro averages of several reports.
pub fn average(reports: &[Report]) -> Vec<Average> {
    let modes = [Mode::Keyword, Mode::Vector, Mode::Hybrid];
    let of = |mode| {
        let measured: Vec<&Measures> =
            reports.iter().flat_map(|report| &report.modes).filter(|it| it.mode == mode).map(|it| &it.measures).collect();
        Average { mode, collections: measured.len(), measures: Measures::mean(measured.iter().copied()) }
    };
    modes.into_iter().map(of).filter(|average| average.collections > 0).collect()
}
