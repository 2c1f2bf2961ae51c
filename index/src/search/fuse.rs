//! Puts the two halves together: a convex combination of normalized scores.
//!
//! Bruch, Gai & Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval" (2023). Every candidate of either half is
//! scored by both, so nothing is missing. Both scores are scaled to 0..1 between the lowest and highest of the
//! candidates. Only permitted candidates come here, so the result depends on nothing hidden.

use std::cmp::Ordering;

/// The share of the vector score.
const VECTOR_WEIGHT: f32 = 0.6;

/// A candidate with both scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) chunk: u32,
    /// Breaks ties, the same in every engine.
    pub(super) order: u64,
    pub(super) keyword: Option<f32>,
    pub(super) vector: Option<f32>,
    /// What it is ranked by.
    pub(super) score: f32,
}

/// Descending score, then ascending `order`.
pub(super) fn rank(a: &Candidate, b: &Candidate) -> Ordering {
    b.score.total_cmp(&a.score).then(a.order.cmp(&b.order)).then(a.chunk.cmp(&b.chunk))
}

/// Keeps the best `limit`, best first.
pub(super) fn best(mut candidates: Vec<Candidate>, limit: usize) -> Vec<Candidate> {
    if limit > 0 && candidates.len() > limit {
        candidates.select_nth_unstable_by(limit - 1, rank);
        candidates.truncate(limit);
    }
    candidates.sort_unstable_by(rank);
    candidates
}

/// Scores candidates by both halves.
pub(super) fn combine(candidates: &mut [Candidate]) {
    let keyword = Range::of(candidates.iter().map(|candidate| candidate.keyword.unwrap_or(0.0)));
    let vector = Range::of(candidates.iter().filter_map(|candidate| candidate.vector));
    for candidate in candidates {
        let words = keyword.scaled(candidate.keyword.unwrap_or(0.0));
        let meaning = candidate.vector.map_or(0.0, |score| vector.scaled(score));
        candidate.score = (1.0 - VECTOR_WEIGHT) * words + VECTOR_WEIGHT * meaning;
    }
}

/// The lowest and highest of some scores.
struct Range {
    low: f32,
    high: f32,
}

impl Range {
    fn of(scores: impl Iterator<Item = f32>) -> Range {
        scores.fold(Range { low: f32::MAX, high: f32::MIN }, |range, score| Range {
            low: range.low.min(score),
            high: range.high.max(score),
        })
    }

    /// The score between 0 and 1; where all scores are equal, 1 for a positive one.
    fn scaled(&self, score: f32) -> f32 {
        if self.high > self.low {
            (score - self.low) / (self.high - self.low)
        } else if score > 0.0 {
            1.0
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(chunk: u32, keyword: Option<f32>, vector: Option<f32>) -> Candidate {
        Candidate { chunk, order: u64::from(chunk), keyword, vector, score: 0.0 }
    }

    #[test]
    fn agreement_wins_and_ties_are_stable() {
        let mut candidates =
            vec![candidate(1, Some(9.0), Some(0.1)), candidate(2, Some(8.0), Some(0.9)), candidate(3, None, Some(0.9))];
        combine(&mut candidates);
        let ranked: Vec<u32> = best(candidates, 2).into_iter().map(|candidate| candidate.chunk).collect();
        assert_eq!(ranked, [2, 3]);
        let equal = vec![candidate(5, None, None), candidate(4, None, None)];
        assert_eq!(best(equal, 9).into_iter().map(|candidate| candidate.chunk).collect::<Vec<_>>(), [4, 5]);
    }
}
