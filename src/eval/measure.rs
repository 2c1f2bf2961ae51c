//! Ranking measures as trec_eval defines them, averaged over the judged queries.

use std::collections::BTreeMap;

use serde::Serialize;

use super::collection::Judgements;

/// Averages over queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Measures {
    /// Normalized discounted cumulative gain of the first 10 (Järvelin & Kekäläinen 2002, linear gains).
    pub ndcg_10: f64,
    /// Share of the relevant documents among the first 100.
    pub recall_100: f64,
    /// Reciprocal rank of the first relevant document among the first 10.
    pub mrr_10: f64,
}

impl Measures {
    /// Measures rankings, best first. A judged query without a ranking counts as 0.
    pub fn of(rankings: &BTreeMap<String, Vec<String>>, judgements: &Judgements) -> Measures {
        let mut sum = Measures::default();
        let mut queries = 0.0;
        for (query, judged) in judgements {
            let relevant = judged.values().filter(|score| **score > 0).count();
            if relevant == 0 {
                continue;
            }
            queries += 1.0;
            let Some(ranking) = rankings.get(query) else { continue };
            let gain = |document: &String| judged.get(document).copied().unwrap_or(0).max(0) as f64;
            let gains: Vec<f64> = ranking.iter().map(gain).collect();
            let mut ideal: Vec<f64> = judged.values().map(|score| (*score).max(0) as f64).collect();
            ideal.sort_by(|a, b| b.total_cmp(a));
            sum.ndcg_10 += discounted(&gains) / discounted(&ideal);
            sum.recall_100 += gains.iter().take(100).filter(|gain| **gain > 0.0).count() as f64 / relevant as f64;
            sum.mrr_10 += gains.iter().take(10).position(|gain| *gain > 0.0).map_or(0.0, |rank| 1.0 / (rank + 1) as f64);
        }
        if queries > 0.0 {
            sum.ndcg_10 /= queries;
            sum.recall_100 /= queries;
            sum.mrr_10 /= queries;
        }
        sum
    }
}

fn discounted(gains: &[f64]) -> f64 {
    gains.iter().take(10).zip(2u32..).map(|(gain, rank)| gain / f64::from(rank).log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_formulas() {
        let judged = |pairs: &[(&str, i64)]| pairs.iter().map(|(id, score)| ((*id).to_owned(), *score)).collect();
        let judgements: Judgements = [("q".to_owned(), judged(&[("a", 1), ("b", 2), ("c", 0)]))].into();
        let ranking = ["c", "b", "x", "a"].map(str::to_owned).to_vec();
        let measures = Measures::of(&[("q".to_owned(), ranking)].into(), &judgements);
        let dcg = 2.0 / 3f64.log2() + 1.0 / 5f64.log2();
        let ideal = 2.0 + 1.0 / 3f64.log2();
        assert!((measures.ndcg_10 - dcg / ideal).abs() < 1e-12);
        assert_eq!((measures.recall_100, measures.mrr_10), (1.0, 0.5));
    }
}
