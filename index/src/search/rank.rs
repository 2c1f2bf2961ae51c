//! Which chunks answer a query, best first: candidates of keywords and vectors over what the caller may read, fused.

use std::collections::HashSet;

use super::fuse::{self, Candidate};
use super::query::{Filter, Mode, Query};
use super::run::Warning;
use crate::access::{Access, Bits, Guard, Permit};
use crate::engine::View;
use crate::error::Result;
use crate::keyword::{Question, Ranking};
use crate::timestamp::Timestamp;

/// How many candidates each half brings to the fusion, at least.
const MIN_CANDIDATES: usize = 200;
/// How many at most, where documents or duplicates are left out and hits are still missing.
const MAX_CANDIDATES: usize = 3_200;
/// Where requirements leave so many chunks or fewer, the vectors of all are compared.
const MAX_COMPARED: usize = 16_384;

/// What a search may look at.
pub(super) struct Scope<'a> {
    permit: &'a Permit,
    view: &'a View,
    /// Classes that the filter admits; `None` admits all.
    filter: Option<Bits>,
    modified_after: Option<u32>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(access: &Access, permit: &'a Permit, view: &'a View, filter: &Filter) -> Scope<'a> {
        let narrow = filter.sources.is_some() || !filter.labels.is_empty();
        let classes = narrow.then(|| {
            let guard = Guard { sources: filter.sources.clone(), labels: filter.labels.clone() };
            let mut bits = Bits::default();
            for number in permit.classes() {
                if access.class(number).is_some_and(|class| access.guard_admits(&guard, class)) {
                    bits.insert(number);
                }
            }
            bits
        });
        Scope { permit, view, filter: classes, modified_after: filter.modified_after.map(Timestamp::seconds) }
    }

    /// True when the filter admits a readable chunk.
    #[inline]
    fn wanted(&self, chunk: u32) -> bool {
        self.filter.as_ref().is_none_or(|classes| classes.contains(self.view.classes.get(chunk)))
            && self.modified_after.is_none_or(|after| self.view.facts.get(chunk).modified > after)
    }
}

/// The mode that can answer, and a warning where it is not the one asked for.
pub(super) fn effective_mode(query: &Query, view: &View) -> (Mode, Vec<Warning>) {
    let possible = query.vector.is_some() && view.vectors.dimensions() > 0;
    if query.mode == Mode::Keyword || possible {
        return (query.mode, Vec::new());
    }
    let detail = "the query could not be embedded; only keywords were searched".to_owned();
    (Mode::Keyword, vec![Warning { code: "embedder_unavailable", source: None, detail }])
}

/// What answers a query.
pub(super) struct Answer {
    /// Best first; at least as many as hits are wanted, if there are.
    pub(super) candidates: Vec<Candidate>,
    /// The question that they answer: phrases that nothing has are left out of it.
    pub(super) question: Question,
    pub(super) warning: Option<Warning>,
}

/// Ranks the best `depth` candidates of each half.
pub(super) fn answer(scope: &Scope<'_>, query: &Query, mode: Mode, depth: usize) -> Result<Answer> {
    let question = Question::parse(&query.text);
    let candidates = rank(scope, query, mode, &question, depth)?;
    match question.relaxed().filter(|_| candidates.is_empty()) {
        None => Ok(Answer { candidates, question, warning: None }),
        Some(question) => {
            let candidates = rank(scope, query, mode, &question, depth)?;
            let detail = "nothing has the quoted words side by side; they were searched as plain words".to_owned();
            Ok(Answer { candidates, question, warning: Some(Warning { code: "phrase_not_found", source: None, detail }) })
        }
    }
}

/// How many candidates of each half a query needs at first.
pub(super) fn first_depth(query: &Query, mode: Mode) -> usize {
    if mode == Mode::Hybrid || query.arranges() { MIN_CANDIDATES.max(query.limit) } else { query.limit }
}

/// How many to look at when these were too few; `None` when that is enough.
pub(super) fn next_depth(depth: usize) -> Option<usize> {
    (depth < MAX_CANDIDATES).then(|| MAX_CANDIDATES.min(depth * 4))
}

/// The best candidates of a mode, best first.
pub(super) fn rank(scope: &Scope<'_>, query: &Query, mode: Mode, question: &Question, depth: usize) -> Result<Vec<Candidate>> {
    let view = scope.view;
    let candidate = |chunk: u32| {
        let order = view.facts.get(chunk).order;
        Candidate { chunk, order, keyword: None, vector: None, reranker: None, score: 0.0 }
    };
    // Requirements and exclusions narrow both halves.
    let ranking = if mode != Mode::Vector || question.constrains() {
        let readable = view.keyword.readable(scope.permit, &view.classes, || view.corpus(scope.permit.classes()));
        Some(Ranking::new(&view.keyword, question, readable)?)
    } else {
        None
    };
    let by_words = match (&ranking, mode) {
        (Some(ranking), Mode::Keyword | Mode::Hybrid) => {
            ranking.top(depth, |chunk| scope.wanted(chunk), |chunk| view.facts.get(chunk).order)?
        }
        _ => Vec::new(),
    };
    let by_words = by_words.into_iter().map(|(chunk, score)| Candidate { keyword: Some(score), score, ..candidate(chunk) });
    let mut candidates: Vec<Candidate> = by_words.collect();
    let Some(vector) = query.vector.as_deref().filter(|_| mode != Mode::Keyword) else { return Ok(candidates) };
    let vector = crate::vector::normalized(vector, vector.len())?;
    let similarity = |chunk: u32| view.facts.get(chunk).vector.then(|| view.vectors.similarity(chunk, &vector)).flatten();
    let narrowed = ranking.as_ref().filter(|_| question.constrains());
    let order = |chunk: u32| view.facts.get(chunk).order;
    // How many are left depends on what the caller may read alone, and so does the way they are searched.
    let by_meaning = match narrowed.and_then(|ranking| ranking.admitted(MAX_COMPARED)) {
        Some(mut chunks) => {
            chunks.retain(|chunk| view.facts.get(*chunk).vector && scope.wanted(*chunk));
            view.vectors.nearest(&chunks, &vector, depth, order)
        }
        None => {
            let near = crate::vector::Scope {
                permitted: scope.filter.as_ref().unwrap_or(scope.permit.bits()),
                classes: &view.classes,
                order: &order,
                wanted: &|chunk| scope.wanted(chunk) && narrowed.is_none_or(|ranking| ranking.admits(chunk)),
            };
            view.vectors.search(&near, &vector, depth, query.exact)
        }
    };
    let by_meaning: Vec<_> =
        by_meaning.into_iter().map(|(chunk, score)| Candidate { vector: Some(score), score, ..candidate(chunk) }).collect();
    let Some(ranking) = ranking.filter(|_| mode == Mode::Hybrid) else { return Ok(by_meaning) };
    let known: HashSet<u32> = candidates.iter().map(|candidate| candidate.chunk).collect();
    for candidate in &mut candidates {
        candidate.vector = similarity(candidate.chunk);
    }
    let others: Vec<Candidate> = by_meaning.into_iter().filter(|candidate| !known.contains(&candidate.chunk)).collect();
    let chunks: Vec<u32> = others.iter().map(|candidate| candidate.chunk).collect();
    candidates.extend(
        others
            .into_iter()
            .zip(ranking.scores(&chunks)?)
            .map(|(candidate, score)| Candidate { keyword: Some(score).filter(|score| *score > 0.0), ..candidate }),
    );
    fuse::combine(&mut candidates, query.fluency);
    Ok(candidates)
}
