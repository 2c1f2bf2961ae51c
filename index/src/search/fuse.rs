//! Puts the two halves together: a convex combination of normalized scores.
//!
//! Bruch, Gai & Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval" (2023). Every candidate of either half is
//! scored by both, so nothing is missing. Both scores are divided by the highest among the candidates; their lower ends are
//! those of the scores themselves, 0 for BM25 and 0 for a cosine, and not of the candidates, so how deep candidates are taken
//! changes no score. Vectors weigh as much as the model knows of the query's language. Only permitted candidates come here, so the result depends on nothing hidden.
//! `benches/fusion.rs` compares it with other ways over all collections.
//!
//! The best of all chunks are found without scoring all, as by the threshold algorithm (Fagin, Lotem & Naor 2001): what was not
//! found by meaning has at most the cosine of the last that was, so [`Fusion::least_words`] says how well it must match the
//! words to be among the best, and [`Fusion::least_words_beside`] whether what was found by words goes down far enough.

use std::cmp::Ordering;

/// The share of the vector score where the model knows the query's language.
const VECTOR_WEIGHT: f32 = 0.5;
/// How much of it is left where the model does not: enough to order passages that keywords do not find.
const MIN_FLUENCY: f32 = 0.05;
/// What the least score is lowered by: more than a few operations of relative error 2⁻²⁴ can add up to.
const ROUNDING: f32 = 1e-5;

/// A candidate with both scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) chunk: u32,
    /// Breaks ties, the same in every engine.
    pub(super) order: u64,
    pub(super) keyword: Option<f32>,
    pub(super) vector: Option<f32>,
    pub(super) reranker: Option<f32>,
    /// What it is ranked by.
    pub(super) score: f32,
}

/// Descending score; of equal scores the nearer first, as of what matches no word and means something else, which all
/// scores 0; then ascending `order`.
pub(super) fn rank(a: &Candidate, b: &Candidate) -> Ordering {
    let cosine = |candidate: &Candidate| candidate.vector.unwrap_or(f32::NEG_INFINITY);
    let by_score = b.score.total_cmp(&a.score).then_with(|| cosine(b).total_cmp(&cosine(a)));
    by_score.then_with(|| a.order.cmp(&b.order)).then_with(|| a.chunk.cmp(&b.chunk))
}

/// How the halves are put together for one query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fusion {
    /// The share of the vector score.
    weight: f32,
    /// The highest cosine of what was not found by meaning.
    unseen: f32,
}

impl Fusion {
    /// `fluency` is how well the model knows the query's language; `by_meaning` are the nearest chunks, best first, with all
    /// there are when they are fewer than `limit`.
    pub(super) fn new(fluency: Option<f32>, by_meaning: &[Candidate], limit: usize) -> Fusion {
        let weight = VECTOR_WEIGHT * fluency.unwrap_or(1.0).clamp(MIN_FLUENCY, 1.0);
        let unseen = by_meaning.last().filter(|_| by_meaning.len() >= limit).map_or(0.0, meaning);
        Fusion { weight, unseen }
    }

    /// The least BM25 score with which a chunk that was not found by meaning can be among the best `depth`, or score higher
    /// than all that were; `candidates` are those that were found, with both scores.
    ///
    /// Let m be the highest BM25 score of all chunks, m₀ ≤ m that of the candidates, c the highest cosine and w the weight. A
    /// chunk with BM25 score k that was not found scores at most (1 − w) · k / m + w · unseen / c, which is less than a
    /// candidate with kᵢ and vᵢ has if k < kᵢ + w / (1 − w) · m · (vᵢ − unseen) / c. As vᵢ ≥ unseen, that holds with m₀ for m.
    pub(super) fn least_words(self, candidates: &[Candidate], depth: usize) -> f32 {
        let (most_words, most_meaning) = (highest(candidates, words), highest(candidates, meaning));
        let worth = self.weight / (1.0 - self.weight) * most_words;
        let mut least: Vec<f32> = candidates
            .iter()
            .map(|candidate| words(candidate) + worth * share(meaning(candidate) - self.unseen, most_meaning).max(0.0))
            .collect();
        let Some(at) = depth.checked_sub(1).filter(|at| *at < least.len()) else { return 0.0 };
        let (_, least, _) = least.select_nth_unstable_by(at, |a, b| b.total_cmp(a));
        least.min(most_words) * (1.0 - ROUNDING)
    }

    /// The least BM25 score with which a chunk that was found neither by meaning nor by words can be among the best `depth` of
    /// `candidates`, which are combined and come best first.
    pub(super) fn least_words_beside(self, candidates: &[Candidate], depth: usize) -> f32 {
        let (most_words, most_meaning) = (highest(candidates, words), highest(candidates, meaning));
        let worst = depth.checked_sub(1).and_then(|at| candidates.get(at)).map_or(0.0, |worst| worst.score);
        let least = (worst - self.weight * share(self.unseen, most_meaning)) / (1.0 - self.weight) * most_words;
        least * (1.0 - ROUNDING)
    }

    /// Scores candidates by both halves, and puts the best first.
    pub(super) fn combine(self, candidates: &mut [Candidate]) {
        let (most_words, most_meaning) = (highest(candidates, words), highest(candidates, meaning));
        for candidate in candidates.iter_mut() {
            candidate.score = self.combined(share(words(candidate), most_words), share(meaning(candidate), most_meaning));
        }
        candidates.sort_unstable_by(rank);
    }

    fn combined(self, words: f32, meaning: f32) -> f32 {
        (1.0 - self.weight) * words + self.weight * meaning
    }
}

fn words(candidate: &Candidate) -> f32 {
    candidate.keyword.unwrap_or(0.0)
}

fn meaning(candidate: &Candidate) -> f32 {
    candidate.vector.unwrap_or(0.0).max(0.0)
}

fn highest(candidates: &[Candidate], score: impl Fn(&Candidate) -> f32) -> f32 {
    candidates.iter().map(score).fold(0.0, f32::max)
}

fn share(score: f32, highest: f32) -> f32 {
    if highest > 0.0 { score / highest } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn candidate(chunk: u32, keyword: Option<f32>, vector: Option<f32>) -> Candidate {
        Candidate { chunk, order: u64::from(chunk), keyword, vector, reranker: None, score: 0.0 }
    }

    #[test]
    fn agreement_wins_and_ties_are_stable() {
        let mut candidates =
            vec![candidate(1, Some(9.0), Some(0.1)), candidate(2, Some(8.0), Some(0.9)), candidate(3, None, Some(0.9))];
        Fusion::new(None, &[], 1).combine(&mut candidates);
        assert_eq!(candidates.iter().map(|candidate| candidate.chunk).collect::<Vec<_>>(), [2, 1, 3]);
        Fusion::new(Some(0.0), &[], 1).combine(&mut candidates);
        assert_eq!(candidates.iter().map(|candidate| candidate.chunk).collect::<Vec<_>>(), [1, 2, 3]);
        let mut equal = vec![candidate(5, None, None), candidate(4, None, Some(-0.2))];
        Fusion::new(None, &[], 1).combine(&mut equal);
        assert_eq!(equal.iter().map(|candidate| candidate.chunk).collect::<Vec<_>>(), [4, 5]);
    }

    proptest! {
        /// Nothing that is among the best of all is left out by what either floor leaves out.
        #[test]
        fn what_is_left_out_is_not_among_the_best(
            all in vec((option::of(0.0f32..9.0), option::of(-0.2f32..1.0)), 1..300),
            (depth, half, by_words) in (1usize..12, 12usize..40, 1usize..40),
            fluency in option::of(0.0f32..1.0),
        ) {
            let mut all: Vec<Candidate> = (0..).zip(all).map(|(chunk, (words, meaning))| candidate(chunk, words, meaning)).collect();
            all.retain(|candidate| candidate.keyword.is_some() || candidate.vector.is_some());
            let mut near: Vec<Candidate> = all.iter().copied().filter(|candidate| candidate.vector.is_some()).collect();
            near.sort_by(|a, b| b.vector.unwrap().total_cmp(&a.vector.unwrap()));
            near.truncate(half);
            let fusion = Fusion::new(fluency, &near, half);
            let floor = fusion.least_words(&near, depth);
            let mut others: Vec<Candidate> = all.iter().copied().filter(|candidate| words(candidate) >= floor).collect();
            let top = |mut known: Vec<Candidate>| {
                known.sort_by_key(|known| known.chunk);
                known.dedup_by_key(|known| known.chunk);
                fusion.combine(&mut known);
                known.into_iter().take(depth).map(|known| (known.chunk, known.score)).collect::<Vec<_>>()
            };
            let best = top(all.clone());
            prop_assert_eq!(&top([near.clone(), others.clone()].concat()), &best);

            others.sort_by(|a, b| words(b).total_cmp(&words(a)));
            let last = others.get(by_words).map_or(0.0, words);
            others.truncate(by_words);
            others.retain(|other| !near.iter().any(|near| near.chunk == other.chunk));
            let mut found = [near, others].concat();
            fusion.combine(&mut found);
            if last < fusion.least_words_beside(&found, depth) {
                prop_assert_eq!(&top(found), &best);
            }
        }
    }
}
