//! Which candidates are shown, and in which order: recency, one document's passages, diversity, time.
//!
//! Pure functions over permitted candidates and what is known of them, so the result depends on nothing hidden. Scores that
//! are shown are those after recency; diversity and sorting change the order alone.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::fuse::{self, Candidate};
use crate::engine::View;
use crate::timestamp::Timestamp;

/// How a passage's score falls with its age.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recency {
    /// After this many seconds half of `weight` is lost, after twice as many three quarters, and so on.
    pub half_life_seconds: u64,
    /// The share of the score that age can take, 0 to 1.
    pub weight: f32,
}

impl Recency {
    /// The score of a passage of this age.
    fn weighed(self, score: f32, age_seconds: u64) -> f32 {
        let kept = (-(age_seconds as f64) / self.half_life_seconds.max(1) as f64).exp2();
        score - score.abs() * (f64::from(self.weight) * (1.0 - kept)) as f32
    }
}

/// The order of hits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// Best first.
    #[default]
    Relevance,
    /// Of the best candidates, the most recently modified first.
    ModifiedAt,
}

/// Weighs candidates by their age. `recency` says how, where it does.
pub(super) fn weigh(candidates: &mut [Candidate], view: &View, now: Timestamp, recency: impl Fn(u32) -> Option<Recency>) {
    let mut weighed = false;
    for candidate in candidates.iter_mut() {
        if let Some(recency) = recency(candidate.chunk) {
            let age = now.seconds().saturating_sub(view.facts.get(candidate.chunk).modified);
            candidate.score = recency.weighed(candidate.score, u64::from(age));
            weighed = true;
        }
    }
    if weighed {
        candidates.sort_unstable_by(fuse::rank);
    }
}

/// The most recently modified first; of equal times, the better first.
pub(super) fn newest_first(candidates: &mut [Candidate], view: &View) {
    let modified = |candidate: &Candidate| view.facts.get(candidate.chunk).modified;
    candidates.sort_by_key(|candidate| std::cmp::Reverse(modified(candidate)));
}

/// Hands out candidates in the order in which they are shown.
pub(super) struct Selection<'a> {
    view: &'a View,
    rest: Vec<Candidate>,
    /// So many of `rest` come before the others, whatever diversity says.
    first: usize,
    /// By candidate of `rest`: how alike it is to the most alike one that was taken.
    alike: Vec<f32>,
    highest: f32,
    diversity: f32,
    per_document: usize,
    taken: HashMap<u64, usize>,
}

impl<'a> Selection<'a> {
    /// `diversity` is 0 to 1; candidates come in their order without it, and `others` after all of `first`.
    pub(super) fn new(
        view: &'a View,
        first: &[Candidate],
        others: &[Candidate],
        diversity: f32,
        per_document: Option<usize>,
    ) -> Selection<'a> {
        let candidates = [first, others].concat();
        let highest = candidates.iter().map(|candidate| candidate.score).fold(f32::MIN_POSITIVE, f32::max);
        Selection {
            view,
            alike: vec![0.0; candidates.len()],
            rest: candidates,
            first: first.len(),
            highest,
            diversity,
            per_document: per_document.unwrap_or(usize::MAX),
            taken: HashMap::new(),
        }
    }

    /// The next candidate. It counts as shown once it is given to [`Selection::take`].
    ///
    /// Maximal marginal relevance (Carbonell & Goldstein 1998): the best of (1 − d) · score / highest − d · alike.
    pub(super) fn next(&mut self) -> Option<Candidate> {
        let (taken, per_document) = (&self.taken, self.per_document);
        let full = |candidate: &Candidate| taken.get(&document(candidate)).is_some_and(|count| *count >= per_document);
        let mut best: Option<(usize, f32)> = None;
        for (at, (candidate, alike)) in self.rest.iter().zip(&self.alike).enumerate() {
            if at == self.first && best.is_some() {
                break;
            }
            if full(candidate) {
                continue;
            }
            let value = (1.0 - self.diversity) * candidate.score / self.highest - self.diversity * alike;
            if best.is_none_or(|(_, most)| value > most) {
                best = Some((at, value));
            }
            if self.diversity == 0.0 {
                break;
            }
        }
        let (at, _) = best?;
        self.first -= usize::from(at < self.first);
        self.alike.remove(at);
        Some(self.rest.remove(at))
    }

    /// Counts a candidate as shown.
    pub(super) fn take(&mut self, candidate: &Candidate) {
        *self.taken.entry(document(candidate)).or_default() += 1;
        if self.diversity > 0.0 {
            let has_vector = |chunk: u32| self.view.facts.get(chunk).has_vector();
            let vector = has_vector(candidate.chunk).then(|| self.view.vectors.vector(candidate.chunk)).flatten();
            for (other, alike) in self.rest.iter().zip(&mut self.alike) {
                let vector = vector.as_ref().filter(|_| has_vector(other.chunk));
                let cosine = vector.and_then(|vector| self.view.vectors.similarity(other.chunk, vector));
                // Without vectors, passages of one document are taken for half alike.
                let near = cosine.unwrap_or(if document(other) == document(candidate) { 0.5 } else { 0.0 });
                *alike = alike.max(near);
            }
        }
    }
}

/// What tells documents apart; see `Facts` in `engine/state.rs`.
fn document(candidate: &Candidate) -> u64 {
    candidate.order >> 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_takes_its_share() {
        let recency = Recency { half_life_seconds: 100, weight: 0.5 };
        assert_eq!(recency.weighed(0.8, 0), 0.8);
        assert_eq!(recency.weighed(0.8, 100), 0.8 * 0.75);
        assert_eq!(recency.weighed(0.8, 200), 0.8 * 0.625);
        // A negative cosine falls too.
        assert_eq!(recency.weighed(-0.8, 100), -1.0);
        assert!((recency.weighed(1.0, u64::MAX) - 0.5).abs() < 1e-6);
    }
}
