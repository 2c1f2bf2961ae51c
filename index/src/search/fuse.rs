//! Puts the two halves together: a convex combination of normalized scores.
//!
//! Bruch, Gai & Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval" (2023). Every candidate of either half is
//! scored by both, so nothing is missing. Both scores are divided by the highest among the candidates; their lower ends are
//! those of the scores themselves, 0 for BM25 and 0 for a cosine, and not of the candidates, so how deep candidates are taken
//! changes no score. Vectors weigh as much as the model knows of the query's language. Only permitted candidates come here, so the result depends on nothing hidden.
//! `benches/fusion.rs` compares it with other ways over all collections.

use std::cmp::Ordering;

/// The share of the vector score where the model knows the query's language.
const VECTOR_WEIGHT: f32 = 0.5;
/// How much of it is left where the model does not: enough to order passages that keywords do not find.
const MIN_FLUENCY: f32 = 0.05;

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

/// Descending score, then ascending `order`.
pub(super) fn rank(a: &Candidate, b: &Candidate) -> Ordering {
    b.score.total_cmp(&a.score).then(a.order.cmp(&b.order)).then(a.chunk.cmp(&b.chunk))
}

/// Scores candidates by both halves, and puts the best first. `fluency` is how well the model knows the query's language.
pub(super) fn combine(candidates: &mut [Candidate], fluency: Option<f32>) {
    let weight = VECTOR_WEIGHT * fluency.unwrap_or(1.0).clamp(MIN_FLUENCY, 1.0);
    let words = |candidate: &Candidate| candidate.keyword.unwrap_or(0.0);
    let meaning = |candidate: &Candidate| candidate.vector.unwrap_or(0.0).max(0.0);
    let highest = |score: &dyn Fn(&Candidate) -> f32| candidates.iter().map(score).fold(0.0, f32::max);
    let (most_words, most_meaning) = (highest(&words), highest(&meaning));
    let share = |score: f32, highest: f32| if highest > 0.0 { score / highest } else { 0.0 };
    for candidate in candidates.iter_mut() {
        candidate.score = (1.0 - weight) * share(words(candidate), most_words) + weight * share(meaning(candidate), most_meaning);
    }
    candidates.sort_unstable_by(rank);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(chunk: u32, keyword: Option<f32>, vector: Option<f32>) -> Candidate {
        Candidate { chunk, order: u64::from(chunk), keyword, vector, reranker: None, score: 0.0 }
    }

    #[test]
    fn agreement_wins_and_ties_are_stable() {
        let mut candidates =
            vec![candidate(1, Some(9.0), Some(0.1)), candidate(2, Some(8.0), Some(0.9)), candidate(3, None, Some(0.9))];
        combine(&mut candidates, None);
        assert_eq!(candidates.iter().map(|candidate| candidate.chunk).collect::<Vec<_>>(), [2, 1, 3]);
        combine(&mut candidates, Some(0.0));
        assert_eq!(candidates.iter().map(|candidate| candidate.chunk).collect::<Vec<_>>(), [1, 2, 3]);
        let mut equal = vec![candidate(5, None, None), candidate(4, None, Some(-0.2))];
        combine(&mut equal, None);
        assert_eq!(equal.iter().map(|candidate| candidate.chunk).collect::<Vec<_>>(), [4, 5]);
    }
}
