//! Which chunks answer a query, best first: candidates of keywords and vectors over what the caller may read, fused.

use std::collections::HashSet;

use super::fuse::{Candidate, Fusion};
use super::query::{Filter, Mode, Query};
use super::run::Warning;
use crate::access::{Access, Bits, Guard, Permit};
use crate::engine::View;
use crate::error::Result;
use crate::keyword::{Question, Ranking};
use crate::timestamp::Timestamp;
use crate::vector::Depth;

/// How many candidates are looked at where documents or duplicates may be left out.
const MIN_CANDIDATES: usize = 200;
/// How many the fusion takes of each half, at least.
const MIN_BY_MEANING: usize = 50;
const MIN_BY_WORDS: usize = 400;
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

/// Ranks the best `depth` candidates.
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

/// How many candidates a query needs at first.
pub(super) fn first_depth(query: &Query) -> usize {
    if query.arranges() { MIN_CANDIDATES.max(query.limit) } else { query.limit }
}

/// How many to look at when these were too few; `None` when that is enough.
pub(super) fn next_depth(depth: usize) -> Option<usize> {
    (depth < MAX_CANDIDATES).then(|| MAX_CANDIDATES.min(depth * 4))
}

/// The best `depth` candidates of a mode, best first: of all chunks in scope, as far as the vector search finds all.
pub(super) fn rank(scope: &Scope<'_>, query: &Query, mode: Mode, question: &Question, depth: usize) -> Result<Vec<Candidate>> {
    let view = scope.view;
    // Requirements and exclusions narrow both halves.
    let ranking = if mode != Mode::Vector || question.constrains() {
        let readable = view.keyword.readable(scope.permit, &view.classes, || view.corpus(scope.permit.classes()));
        Some(Ranking::new(&view.keyword, question, readable)?)
    } else {
        None
    };
    let vector = query.vector.as_deref().filter(|_| mode != Mode::Keyword);
    let vector = vector.map(|vector| crate::vector::normalized(vector, vector.len())).transpose()?;
    let narrowing = ranking.as_ref().filter(|_| question.constrains());
    match (&ranking, vector) {
        (Some(ranking), None) => scope.by_words(ranking, depth, 0.0),
        (Some(ranking), Some(vector)) if mode == Mode::Hybrid => scope.by_both(ranking, narrowing, &vector, query, depth),
        (_, Some(vector)) => Ok(scope.by_meaning(narrowing, &vector, Depth::Results(depth), query.exact)),
        (None, None) => Ok(Vec::new()),
    }
}

impl Scope<'_> {
    fn candidate(&self, chunk: u32) -> Candidate {
        let order = self.view.facts.get(chunk).order();
        Candidate { chunk, order, keyword: None, vector: None, reranker: None, score: 0.0 }
    }

    /// The best by words, with at least the score `floor`.
    fn by_words(&self, ranking: &Ranking, depth: usize, floor: f32) -> Result<Vec<Candidate>> {
        let found = ranking.top(depth, floor, |chunk| self.wanted(chunk), |chunk| self.view.facts.get(chunk).order())?;
        Ok(found.into_iter().map(|(chunk, score)| Candidate { keyword: Some(score), score, ..self.candidate(chunk) }).collect())
    }

    /// The best by meaning, among those that `narrowing` admits; see [`Depth`].
    fn by_meaning(&self, narrowing: Option<&Ranking>, vector: &[f32], depth: Depth, exact: bool) -> Vec<Candidate> {
        let view = self.view;
        let order = |chunk: u32| view.facts.get(chunk).order();
        // How many are left depends on what the caller may read alone, and so does the way they are searched.
        let found = match narrowing.and_then(|ranking| ranking.admitted(MAX_COMPARED)) {
            Some(mut chunks) => {
                chunks.retain(|chunk| view.facts.get(*chunk).has_vector() && self.wanted(*chunk));
                view.vectors.nearest(&chunks, vector, depth.count(), order)
            }
            None => {
                let near = crate::vector::Scope {
                    permitted: self.filter.as_ref().unwrap_or(self.permit.bits()),
                    classes: &view.classes,
                    order: &order,
                    wanted: &|chunk| self.wanted(chunk) && narrowing.is_none_or(|ranking| ranking.admits(chunk)),
                };
                view.vectors.search(&near, vector, depth, exact)
            }
        };
        found.into_iter().map(|(chunk, score)| Candidate { vector: Some(score), score, ..self.candidate(chunk) }).collect()
    }

    /// Gives candidates that have a vector the score by meaning.
    fn compare(&self, candidates: &mut [Candidate], vector: &[f32]) {
        let having = candidates.iter_mut().filter(|candidate| self.view.facts.get(candidate.chunk).has_vector());
        let mut having: Vec<&mut Candidate> = having.collect();
        let chunks: Vec<u32> = having.iter().map(|candidate| candidate.chunk).collect();
        for (candidate, score) in having.iter_mut().zip(self.view.vectors.similarities(&chunks, vector)) {
            candidate.vector = score;
        }
    }

    /// The best by both halves together. What is found by meaning says how well others must match the words.
    fn by_both(
        &self,
        ranking: &Ranking,
        narrowing: Option<&Ranking>,
        vector: &[f32],
        query: &Query,
        depth: usize,
    ) -> Result<Vec<Candidate>> {
        let half = depth.max(MIN_BY_MEANING);
        let mut by_meaning = self.by_meaning(narrowing, vector, Depth::Candidates { count: half, sure: depth }, query.exact);
        let fusion = Fusion::new(query.fluency, &by_meaning, half);
        let chunks: Vec<u32> = by_meaning.iter().map(|candidate| candidate.chunk).collect();
        for (candidate, score) in by_meaning.iter_mut().zip(ranking.scores(&chunks)?) {
            candidate.keyword = Some(score).filter(|score| *score > 0.0);
        }
        let mut floor = fusion.least_words(&by_meaning, depth);
        let known: HashSet<u32> = chunks.into_iter().collect();
        let mut room = depth.max(MIN_BY_WORDS);
        loop {
            let by_words = self.by_words(ranking, room, floor)?;
            let last = by_words.last().filter(|_| by_words.len() >= room).and_then(|last| last.keyword);
            let others = by_words.into_iter().filter(|candidate| !known.contains(&candidate.chunk));
            let mut candidates: Vec<Candidate> = by_meaning.iter().copied().chain(others).collect();
            self.compare(candidates.get_mut(by_meaning.len()..).unwrap_or_default(), vector);
            fusion.combine(&mut candidates);
            let least = fusion.least_words_beside(&candidates, depth);
            match next_depth(room).filter(|_| query.exact && last.is_some_and(|last| last > least)) {
                Some(more) => (room, floor) = (more, floor.max(least)),
                None => {
                    candidates.truncate(depth);
                    return Ok(candidates);
                }
            }
        }
    }
}
