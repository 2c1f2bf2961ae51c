//! Re-ranking: the best candidates, ordered by a model that reads query and passage together.
//!
//! The model is the caller's: a function of the query's words and texts. It is given only what the caller may read, and a
//! text's score must depend on that text and the words alone; then the result depends on nothing hidden.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rusqlite::Connection;

use super::fuse::{self, Candidate};
use super::query::Query;
use super::run::Warning;
use crate::access::Permit;
use crate::catalog::{ChunkRecord, DocumentRecord};
use crate::engine::{Engine, Reading, Wanted, in_context};
use crate::error::Result;
use crate::keyword;

/// How many passages are re-ranked, or as many as hits are wanted, if those are more.
pub const RERANK_CANDIDATES: usize = 50;

/// Scores texts by a query's words: one number for each text, the higher the better, on the scale of a log-odds. An error
/// says why for the log.
pub type Scorer<'a> = dyn Fn(&str, &[&str]) -> std::result::Result<Vec<f32>, String> + 'a;

/// The re-ranking of one search. It remembers what it scored, so that a passage that is looked at again costs nothing.
pub(super) struct Reranking<'a> {
    scorer: &'a Scorer<'a>,
    words: String,
    known: HashMap<String, f32>,
    failed: bool,
}

/// Candidates after re-ranking.
pub(super) struct Reranked {
    /// Those with a score of the model, best first; all of them, as they came, when it failed.
    pub(super) best: Vec<Candidate>,
    /// The others, as they came.
    pub(super) rest: Vec<Candidate>,
    /// True when a candidate could not be read any more.
    pub(super) lost: bool,
}

impl<'a> Reranking<'a> {
    /// `None` when the query has no words to compare with, because it only excludes.
    pub(super) fn new(scorer: &'a Scorer<'a>, query: &Query) -> Option<Reranking<'a>> {
        let words = keyword::plain_words(&query.text);
        (!words.is_empty()).then(|| Reranking { scorer, words, known: HashMap::new(), failed: false })
    }

    /// Re-ranks the best of `candidates`, which come best first.
    pub(super) fn run(
        &mut self,
        engine: &Engine,
        permit: &Permit,
        query: &Query,
        mut candidates: Vec<Candidate>,
    ) -> Result<Reranked> {
        if self.failed {
            return Ok(Reranked { best: candidates, rest: Vec::new(), lost: false });
        }
        let rest = candidates.split_off(depth(query).min(candidates.len()));
        // The model runs after the texts are read, so that no transaction stays open meanwhile.
        let texts = engine.texts(permit, &candidates)?;
        if let Err(error) = self.score(texts.iter().flatten()) {
            tracing::error!(%error, "passages were not re-ranked");
            self.failed = true;
            candidates.extend(rest);
            return Ok(Reranked { best: candidates, rest: Vec::new(), lost: false });
        }
        let scored = |(candidate, text): (&Candidate, &Option<String>)| {
            let score = logistic(*self.known.get(text.as_ref()?)?);
            Some(Candidate { score, reranker: Some(score), ..*candidate })
        };
        let mut best: Vec<Candidate> = candidates.iter().zip(&texts).filter_map(scored).collect();
        best.sort_unstable_by(fuse::rank);
        Ok(Reranked { lost: best.len() < candidates.len(), best, rest })
    }

    /// Scores the texts that are not known yet.
    fn score<'t>(&mut self, texts: impl Iterator<Item = &'t String>) -> std::result::Result<(), String> {
        let mut new: Vec<&str> = texts.filter(|text| !self.known.contains_key(*text)).map(String::as_str).collect();
        new.sort_unstable();
        new.dedup();
        if new.is_empty() {
            return Ok(());
        }
        let scores = (self.scorer)(&self.words, &new)?;
        if scores.len() != new.len() || scores.iter().any(|score| score.is_nan()) {
            return Err(format!("{} numbers were expected, {} came, or some are none", new.len(), scores.len()));
        }
        self.known.extend(new.into_iter().map(str::to_owned).zip(scores));
        Ok(())
    }

    /// What the caller should know of it.
    pub(super) fn warning(&self) -> Option<Warning> {
        let detail = "the re-ranker failed; the order is the one without it".to_owned();
        self.failed.then_some(Warning { code: "reranker_unavailable", source: None, detail })
    }
}

/// How many candidates are re-ranked.
pub(super) fn depth(query: &Query) -> usize {
    RERANK_CANDIDATES.max(query.limit)
}

/// Scores the others below the best, in the order that they have: the n-th has the (n + 1)-th part of the lowest score.
pub(super) fn follow(best: &[Candidate], rest: &mut [Candidate]) {
    let lowest = best.iter().map(|candidate| candidate.score).fold(1.0, f32::min);
    for (candidate, part) in rest.iter_mut().zip(2u16..) {
        candidate.score = lowest / f32::from(part);
    }
}

/// 1 / (1 + exp(−x)).
fn logistic(score: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(score)).exp())) as f32
}

impl Engine {
    /// What the model reads of candidates; `None` when a write under way took one.
    fn texts(&self, permit: &Permit, candidates: &[Candidate]) -> Result<Vec<Option<String>>> {
        let mut readings = Readings::default();
        self.catalog.read(|db| {
            let text = |candidate: &Candidate| {
                let Some((chunk, reading)) = readings.of(db, permit, candidate.chunk)? else { return Ok(None) };
                let text = reading.text_at(reading.place(chunk.start, chunk.end));
                Ok(text.map(|text| in_context(reading.version.title.as_deref(), &chunk.headings, text)))
            };
            candidates.iter().map(text).collect()
        })
    }
}

/// Documents as a caller may read them, each opened once in one transaction.
#[derive(Default)]
pub(super) struct Readings(BTreeMap<i64, Option<Arc<Reading>>>);

impl Readings {
    /// A chunk and its document; `None` when a write under way took it.
    pub(super) fn of(&mut self, db: &Connection, permit: &Permit, chunk: u32) -> Result<Option<(ChunkRecord, Arc<Reading>)>> {
        let Some(chunk) = ChunkRecord::get(db, chunk)? else { return Ok(None) };
        let reading = match self.0.get(&chunk.doc) {
            Some(reading) => reading.clone(),
            None => {
                let document = DocumentRecord::by_num(db, chunk.doc)?.filter(|document| document.deleted_at.is_none());
                let reading = match document {
                    Some(document) => Reading::open(db, permit, document, Wanted::Newest)?.map(Arc::new),
                    None => None,
                };
                self.0.insert(chunk.doc, reading.clone());
                reading
            }
        };
        Ok(reading.map(|reading| (chunk, reading)))
    }
}
