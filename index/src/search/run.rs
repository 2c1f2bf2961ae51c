//! One search, from a caller and a query to cited hits.

use std::collections::{BTreeMap, HashSet};

use rusqlite::Connection;
use serde::Serialize;

use super::alike::Runs;
use super::arrange::{Recency, Selection, Sort, newest_first, weigh};
use super::fuse::Candidate;
use super::query::{Mode, Query, SourcePolicy};
use super::rank::{Answer, Scope, answer, effective_mode, first_depth, next_depth};
use super::rerank::{self, Readings, Reranked, Reranking, Scorer};
use crate::access::{Caller, Permit, SourceNo};
use crate::catalog::{ChunkRecord, DocumentRecord, sources};
use crate::citation::Citation;
use crate::engine::{Engine, Place, Reading, View};
use crate::error::{Error, Result};
use crate::keyword::{self, Language, Question};
use crate::timestamp::Timestamp;

/// The answer to a query.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// The epoch that the answer obeys.
    pub epoch: u64,
    /// The mode that answered.
    pub mode: Mode,
    /// Best first.
    pub hits: Vec<Hit>,
    /// What the caller should know of the answer.
    pub warnings: Vec<Warning>,
}

/// A passage that the caller may read.
#[derive(Clone, Debug, Serialize)]
pub struct Hit {
    /// What it is ranked by; comparable within one answer only.
    pub score: f32,
    /// The passage.
    pub text: String,
    /// Bytes of `text` that match words of the query.
    pub highlights: Vec<[usize; 2]>,
    /// Where it comes from.
    pub citation: Citation,
    /// The parts of the score.
    pub scores: Scores,
    /// Why the caller may see it, when asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Vec<String>>,
    /// Passages further down that say nearly the same, where duplicates are collapsed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub duplicates: Vec<Citation>,
}

/// A document of a ranking, at the rank of its best passage.
#[derive(Clone, Debug, PartialEq)]
pub struct RankedDocument {
    /// The source's id.
    pub source: String,
    /// The document's id.
    pub id: String,
    /// The score of its best passage.
    pub score: f32,
}

/// The scores of the two halves and of the re-ranker, where they took part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// BM25 over what the caller may read.
    pub keyword: Option<f32>,
    /// Cosine similarity.
    pub vector: Option<f32>,
    /// What the re-ranker makes of query and passage, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reranker: Option<f32>,
}

/// Something that the caller should know of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Stable code.
    pub code: &'static str,
    /// The source that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// For a person.
    pub detail: String,
}

impl Engine {
    /// Searches what the caller may read at `now`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a query out of bounds, or for a `min_epoch` that has not been reached.
    pub fn search(&self, caller: &Caller, query: &Query, now: Timestamp) -> Result<Results> {
        self.search_with(caller, query, now, None)
    }

    /// Searches likewise, with the best [`RERANK_CANDIDATES`](super::RERANK_CANDIDATES) passages (or as many as hits are
    /// wanted) in the order of their scores by `scorer`, put on a scale of 0 to 1 by the logistic function. Recency and the
    /// like come after. Where passages are left out and hits are missing, the others follow: arranged like them, and scored
    /// by the place that this gives, the n-th with the (n + 1)-th part of the lowest score before them. When the scorer
    /// fails, the order stays as it was and a warning says so.
    ///
    /// # Errors
    /// Those of [`Engine::search`].
    pub fn search_with(&self, caller: &Caller, query: &Query, now: Timestamp, scorer: Option<&Scorer<'_>>) -> Result<Results> {
        query.check(self.model().map_or(0, |model| model.dimensions))?;
        let mut reranking = scorer.and_then(|scorer| Reranking::new(scorer, query));
        let (results, lost) = self.attempt(caller, query, now, reranking.as_mut())?;
        if !lost {
            return Ok(results);
        }
        // A write under way took a hit. While its lock is held nothing is between commit and publication, so that what came
        // in the hit's place is found. Only passages that came in are scored meanwhile.
        let _no_write_under_way = self.hold_writes();
        Ok(self.attempt(caller, query, now, reranking.as_mut())?.0)
    }

    /// The documents of the best passages, each once, without their texts. For measuring rankings deeper than an answer shows.
    pub fn rank_documents(&self, caller: &Caller, query: &Query, limit: usize, now: Timestamp) -> Result<Vec<RankedDocument>> {
        query.check(self.model().map_or(0, |model| model.dimensions))?;
        let (permit, view) = self.permit(caller, now);
        let (mode, _) = effective_mode(query, &view);
        let scope = Scope::new(&self.state.read().access, &permit, &view, &query.filter);
        let ranked = answer(&scope, query, mode, first_depth(query))?.candidates;
        self.catalog.read(|db| {
            let mut seen = HashSet::new();
            let mut found = Vec::new();
            for candidate in ranked.into_iter().take(query.limit) {
                if found.len() == limit {
                    break;
                }
                let Some(chunk) = ChunkRecord::get(db, candidate.chunk)? else { continue };
                if !seen.insert(chunk.doc) {
                    continue;
                }
                let Some(document) = DocumentRecord::by_num(db, chunk.doc)? else { continue };
                let source = sources::id(db, document.source)?.unwrap_or_default();
                found.push(RankedDocument { source, id: document.id, score: candidate.score });
            }
            Ok(found)
        })
    }

    /// The best chunks by their numbers in this data directory, and their scores, without reading any text. For measuring
    /// rankings alone.
    #[doc(hidden)]
    pub fn rank_chunks(&self, caller: &Caller, query: &Query, now: Timestamp) -> Result<Vec<(u32, f32)>> {
        query.check(self.model().map_or(0, |model| model.dimensions))?;
        let (permit, view) = self.permit(caller, now);
        let (mode, _) = effective_mode(query, &view);
        let scope = Scope::new(&self.state.read().access, &permit, &view, &query.filter);
        let ranked = answer(&scope, query, mode, first_depth(query))?.candidates;
        Ok(ranked.into_iter().take(query.limit).map(|candidate| (candidate.chunk, candidate.score)).collect())
    }

    /// Forgets what keyword search counted for permits, so that the next search of any caller counts anew. For measuring.
    #[doc(hidden)]
    pub fn forget_counts(&self) {
        self.state.read().view.keyword.forget_permits();
    }

    /// One run of a search. True when a candidate could not be shown any more.
    fn attempt(
        &self,
        caller: &Caller,
        query: &Query,
        now: Timestamp,
        mut reranking: Option<&mut Reranking<'_>>,
    ) -> Result<(Results, bool)> {
        let (permit, view) = self.permit(caller, now);
        if let Some(min) = query.min_epoch.filter(|min| *min > view.epoch) {
            return Err(Error::invalid("min_epoch", format!("epoch {min} has not been reached, this is {}", view.epoch)));
        }
        let (permit, view) = (permit.as_ref(), view.as_ref());
        let (mode, mut warnings) = effective_mode(query, view);
        let scope = Scope::new(&self.state.read().access, permit, view, &query.filter);
        let mut depth = first_depth(query).max(reranking.as_ref().map_or(0, |_| rerank::depth(query)));
        let (warning, mut shown) = loop {
            let Answer { candidates, question, warning } = answer(&scope, query, mode, depth)?;
            let found = candidates.len();
            let Reranked { mut best, mut rest, lost } = match &mut reranking {
                Some(reranking) => reranking.run(self, permit, query, candidates)?,
                None => Reranked { best: candidates, rest: Vec::new(), lost: false },
            };
            self.arrange(&mut best, view, query, now);
            self.arrange(&mut rest, view, query, now);
            rerank::follow(&best, &mut rest);
            let selection = Selection::new(view, &best, &rest, query.diversity, query.per_document);
            let mut shown = self.show(permit, query, &question, selection)?;
            shown.lost |= lost;
            // Passages that were left out may have kept others from being found.
            match next_depth(depth).filter(|_| query.arranges() && shown.hits.len() < query.limit && found >= depth) {
                Some(next) => depth = next,
                None => break (warning, shown),
            }
        };
        warnings.extend(warning);
        warnings.extend(reranking.and_then(|reranking| reranking.warning()));
        // The answer obeys the epoch at which it is sent, not the one at which it began.
        let (current, latest) = self.permit(caller, now);
        let admits = |chunk: u32| current.admits(latest.classes.get(chunk));
        let before = shown.hits.len();
        shown.hits.retain(|found| admits(found.chunk));
        let lost = shown.lost || shown.hits.len() < before;
        let state = self.state.read();
        let hits = shown.hits.into_iter().map(|mut found| {
            found.duplicates.retain(|(chunk, _)| admits(*chunk));
            let why = query.why.then(|| state.access.why(caller, &current, latest.classes.get(found.chunk), now));
            Hit { why, duplicates: found.duplicates.into_iter().map(|(_, citation)| citation).collect(), ..found.hit }
        });
        let hits: Vec<Hit> = hits.collect();
        drop(state);
        warnings.extend(stale_sources(&hits, query, now));
        Ok((Results { epoch: view.epoch, mode, hits, warnings }, lost))
    }

    /// Puts candidates into the order that the query wants, before documents, duplicates and diversity.
    fn arrange(&self, candidates: &mut [Candidate], view: &View, query: &Query, now: Timestamp) {
        let by_source = query.recency.is_none() && query.policies.values().any(|policy| policy.recency.is_some());
        if by_source {
            let state = self.state.read();
            let of = |policy: &SourcePolicy, id: &String| Some((state.access.source(id)?, policy.recency?));
            let sources: BTreeMap<SourceNo, Recency> = query.policies.iter().filter_map(|(id, policy)| of(policy, id)).collect();
            let source = |chunk: u32| Some(state.access.class(view.classes.get(chunk))?.source);
            weigh(candidates, view, now, |chunk| sources.get(&source(chunk)?).copied());
        } else if query.recency.is_some() {
            weigh(candidates, view, now, |_| query.recency);
        }
        if query.sort == Sort::ModifiedAt {
            newest_first(candidates, view);
        }
    }

    /// Reads what is shown.
    fn show(&self, permit: &Permit, query: &Query, question: &Question, mut selection: Selection<'_>) -> Result<Shown> {
        let mut readings = Readings::default();
        let mut shown = Shown::default();
        let mut runs: Vec<Runs> = Vec::new();
        self.catalog.read(|db| {
            while shown.hits.len() < query.limit
                && let Some(candidate) = selection.next()
            {
                let Some(hit) = self.hit(db, permit, &candidate, query, question, &mut readings)? else {
                    shown.lost = true;
                    continue;
                };
                if query.collapse_duplicates {
                    let own = Runs::of(&hit.text);
                    let known = runs.iter().position(|known| known.alike(&own));
                    if let Some(known) = known.and_then(|at| shown.hits.get_mut(at)) {
                        known.duplicates.push((candidate.chunk, hit.citation));
                        continue;
                    }
                    runs.push(own);
                }
                selection.take(&candidate);
                shown.hits.push(Found { chunk: candidate.chunk, hit, duplicates: Vec::new() });
            }
            Ok(())
        })?;
        Ok(shown)
    }

    /// The text and citation of a candidate; `None` when a write under way took it.
    fn hit(
        &self,
        db: &Connection,
        permit: &Permit,
        candidate: &Candidate,
        query: &Query,
        question: &Question,
        readings: &mut Readings,
    ) -> Result<Option<Hit>> {
        let Some((chunk, reading)) = readings.of(db, permit, candidate.chunk)? else { return Ok(None) };
        let place = with_neighbors(db, &reading, &chunk, query.neighbors)?;
        let Some((text, citation)) = reading.cite(self, place, Some(&chunk)) else { return Ok(None) };
        let language = chunk.language.unwrap_or_else(|| Language::of(text));
        let highlights = keyword::matches(text, language, |term| question.means(term));
        Ok(Some(Hit {
            score: candidate.score,
            highlights: highlights.into_iter().map(|span| [span.start, span.end]).collect(),
            text: text.to_owned(),
            citation,
            scores: Scores { keyword: candidate.keyword, vector: candidate.vector, reranker: candidate.reranker },
            why: None,
            duplicates: Vec::new(),
        }))
    }
}

/// The hits of one run, before permissions are checked again.
#[derive(Default)]
struct Shown {
    hits: Vec<Found>,
    /// True when a candidate could not be shown any more.
    lost: bool,
}

struct Found {
    chunk: u32,
    hit: Hit,
    duplicates: Vec<(u32, Citation)>,
}

/// A warning for each source of which a hit was not seen for longer than its policy allows.
fn stale_sources(hits: &[Hit], query: &Query, now: Timestamp) -> Vec<Warning> {
    let limit = |source: &str| query.policies.get(source)?.stale_after_seconds;
    let mut oldest: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for citation in hits.iter().map(|hit| &hit.citation) {
        let age = now.seconds().saturating_sub(citation.verified_at.seconds());
        if limit(&citation.source).is_some_and(|limit| u64::from(age) > limit) {
            let seen = oldest.entry(&citation.source).or_insert(citation.verified_at);
            *seen = (*seen).min(citation.verified_at);
        }
    }
    let warning = |(source, seen): (&str, Timestamp)| Warning {
        code: "source_stale",
        source: Some(source.to_owned()),
        detail: format!("a passage of this answer was last seen in its source at {seen}"),
    };
    oldest.into_iter().map(warning).collect()
}

/// The place of a chunk with its neighbours in the same section, or outside sections. Other sections in between do not
/// count, whether the caller may read them or not.
fn with_neighbors(db: &Connection, reading: &Reading, chunk: &ChunkRecord, neighbors: u32) -> Result<Place> {
    let own = reading.place(chunk.start, chunk.end);
    if neighbors == 0 {
        return Ok(own);
    }
    let near: Vec<ChunkRecord> =
        ChunkRecord::of(db, chunk.doc)?.into_iter().filter(|other| other.section == chunk.section).collect();
    let at = near.iter().position(|other| other.num == chunk.num).unwrap_or_default();
    let neighbors = neighbors as usize;
    let near = near.iter().skip(at.saturating_sub(neighbors)).take(neighbors.min(at) + 1 + neighbors);
    Ok(near.map(|other| reading.place(other.start, other.end)).fold(own, |all, other| Place {
        section: all.section,
        start: all.start.min(other.start),
        end: all.end.max(other.end),
    }))
}
