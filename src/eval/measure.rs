//! Ranking measures of one query as trec_eval defines them, and their means.
//!
//! A document without a judgement is not relevant; a query without a relevant document has no measures.

use serde::{Deserialize, Serialize};

use super::collection::Judged;

/// What is measured, in the order of [`Measures::values`].
pub const MEASURES: [&str; 5] = ["nDCG@10", "Recall@10", "Recall@100", "MRR@10", "answer@1"];

/// Measures of one query, or their means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measures {
    /// Normalized discounted cumulative gain of the first 10 (Järvelin & Kekäläinen 2002, linear gains).
    pub ndcg_10: f64,
    /// Share of the relevant documents among the first 10.
    pub recall_10: f64,
    /// Share of the relevant documents among the first 100.
    pub recall_100: f64,
    /// Reciprocal rank of the first relevant document among the first 10.
    pub mrr_10: f64,
    /// Whether the passage of the first hit holds an answer, 1 or 0; where answers are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_1: Option<f64>,
}

impl Measures {
    /// Measures a ranking, best first; `None` where nothing is relevant.
    pub fn of<'a>(ranking: impl IntoIterator<Item = &'a str>, judged: &Judged) -> Option<Measures> {
        let gain = |score: i64| score.max(0) as f64;
        let gains: Vec<f64> = ranking.into_iter().map(|document| judged.get(document).copied().map_or(0.0, gain)).collect();
        let mut ideal: Vec<f64> = judged.values().copied().map(gain).filter(|gain| *gain > 0.0).collect();
        if ideal.is_empty() {
            return None;
        }
        ideal.sort_by(|a, b| b.total_cmp(a));
        let found = |depth| gains.iter().take(depth).filter(|gain| **gain > 0.0).count() as f64 / ideal.len() as f64;
        let first = gains.iter().take(10).position(|gain| *gain > 0.0);
        Some(Measures {
            ndcg_10: discounted(&gains) / discounted(&ideal),
            recall_10: found(10),
            recall_100: found(100),
            mrr_10: first.map_or(0.0, |rank| 1.0 / (rank + 1) as f64),
            answer_1: None,
        })
    }

    /// The means, each over those that have the measure; 0 of none.
    pub fn mean<'a>(all: impl Iterator<Item = &'a Measures> + Clone) -> Measures {
        let mean = |value: fn(&Measures) -> Option<f64>| {
            let (sum, count) = all.clone().filter_map(value).fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
            (count > 0.0).then_some(sum / count)
        };
        Measures {
            ndcg_10: mean(|one| Some(one.ndcg_10)).unwrap_or_default(),
            recall_10: mean(|one| Some(one.recall_10)).unwrap_or_default(),
            recall_100: mean(|one| Some(one.recall_100)).unwrap_or_default(),
            mrr_10: mean(|one| Some(one.mrr_10)).unwrap_or_default(),
            answer_1: mean(|one| one.answer_1),
        }
    }

    /// The values, in the order of [`MEASURES`].
    pub fn values(&self) -> [Option<f64>; 5] {
        [Some(self.ndcg_10), Some(self.recall_10), Some(self.recall_100), Some(self.mrr_10), self.answer_1]
    }
}

fn discounted(gains: &[f64]) -> f64 {
    gains.iter().take(10).zip(2u32..).map(|(gain, rank)| gain / f64::from(rank).log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(pairs: &[(&str, i64)]) -> Judged {
        pairs.iter().map(|(id, score)| ((*id).to_owned(), *score)).collect()
    }

    #[test]
    fn agrees_with_the_formulas() {
        let judged = judged(&[("a", 1), ("b", 2), ("c", 0), ("d", -1), ("e", 1)]);
        let measures = Measures::of(["c", "b", "x", "a", "d"], &judged).unwrap();
        let dcg = 2.0 / 3f64.log2() + 1.0 / 5f64.log2();
        let ideal = 2.0 + 1.0 / 3f64.log2() + 1.0 / 4f64.log2();
        assert!((measures.ndcg_10 - dcg / ideal).abs() < 1e-12);
        assert_eq!((measures.recall_10, measures.recall_100, measures.mrr_10), (2.0 / 3.0, 2.0 / 3.0, 0.5));
        let deep: Vec<String> = (0..10).map(|n| format!("x{n}")).chain(["a".to_owned()]).collect();
        let measures = Measures::of(deep.iter().map(String::as_str), &judged).unwrap();
        assert_eq!((measures.ndcg_10, measures.recall_10, measures.recall_100, measures.mrr_10), (0.0, 0.0, 1.0 / 3.0, 0.0));
    }

    #[test]
    fn what_is_not_measured_counts_in_no_mean() {
        assert_eq!(Measures::of(["a"], &judged(&[("a", 0)])), None);
        let one = Measures { ndcg_10: 1.0, answer_1: Some(1.0), ..Measures::default() };
        let other = Measures::default();
        let mean = Measures::mean([&one, &other].into_iter());
        assert_eq!((mean.ndcg_10, mean.answer_1), (0.5, Some(1.0)));
        assert_eq!(Measures::mean([&other].into_iter()).answer_1, None);
    }
}
