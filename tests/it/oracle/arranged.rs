//! What a search does with its candidates beside ranking them, by the definitions: recency, order, passages per document,
//! near-duplicates, diversity. It sees every candidate at once and remembers nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::naive::{Hit, Key, Naive};

/// How a query wants its hits arranged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrangement {
    /// Half-life in seconds and weight, for all sources.
    pub(crate) recency: Option<(u64, f32)>,
    /// The same by source.
    pub(crate) policies: BTreeMap<String, (u64, f32)>,
    pub(crate) newest_first: bool,
    pub(crate) per_document: Option<usize>,
    pub(crate) collapse: bool,
    pub(crate) diversity: f32,
}

impl Arrangement {
    pub(crate) fn is_default(&self) -> bool {
        self.recency.is_none()
            && self.policies.is_empty()
            && !self.newest_first
            && self.per_document.is_none()
            && !self.collapse
            && self.diversity == 0.0
    }
}

impl Naive {
    /// Candidates in their order without diversity.
    fn ordered(&self, wanted: &Arrangement, mut hits: Vec<Hit>) -> Vec<Hit> {
        let modified = |hit: &Hit| self.documents[&hit.key].modified.div_euclid(1000);
        for hit in &mut hits {
            let recency = if wanted.recency.is_some() { wanted.recency } else { wanted.policies.get(&hit.key.0).copied() };
            if let Some((half_life, weight)) = recency {
                let age = (self.now.div_euclid(1000) - modified(hit)).max(0) as f64;
                let lost = f64::from(weight) * (1.0 - (-age / half_life as f64).exp2());
                hit.score -= hit.score.abs() * lost as f32;
            }
        }
        let mut hits = super::naive::best(hits.into_iter(), usize::MAX);
        if wanted.newest_first {
            hits.sort_by_key(|hit| -modified(hit));
        }
        hits
    }

    /// The hits among candidates, best first, each with the documents of its duplicates. `others` come where hits are missing.
    pub(super) fn arrange(&self, wanted: &Arrangement, first: Vec<Hit>, others: Vec<Hit>, limit: usize) -> Vec<(Hit, Vec<Key>)> {
        let mut rest = self.ordered(wanted, first);
        let lowest = rest.iter().map(|hit| hit.score).fold(1.0, f32::min);
        let mut others = self.ordered(wanted, others);
        for (at, other) in others.iter_mut().enumerate() {
            other.score = lowest / (at + 2) as f32;
        }
        let highest = rest.iter().map(|hit| hit.score).fold(f32::MIN_POSITIVE, f32::max);
        let mut shown: Vec<(Hit, Vec<Key>)> = Vec::new();
        while shown.len() < limit {
            let value = |hit: &Hit| {
                let alike = shown.iter().map(|(other, _)| self.alike(hit, other)).fold(0.0, f32::max);
                (1.0 - wanted.diversity) * hit.score / highest - wanted.diversity * alike
            };
            let fits = |hit: &Hit| {
                let of_document = shown.iter().filter(|(other, _)| other.key == hit.key).count();
                wanted.per_document.is_none_or(|most| of_document < most)
            };
            let mut best: Option<usize> = None;
            for at in (0..rest.len()).filter(|at| fits(&rest[*at])) {
                // Without diversity their order decides.
                if best.is_none_or(|best| wanted.diversity > 0.0 && value(&rest[at]) > value(&rest[best])) {
                    best = Some(at);
                }
            }
            let Some(best) = best else {
                if others.is_empty() {
                    break;
                }
                rest = std::mem::take(&mut others);
                continue;
            };
            let hit = rest.remove(best);
            let copy = wanted.collapse.then(|| shown.iter().position(|(other, _)| self.nearly_same(&hit, other))).flatten();
            match copy {
                Some(at) => shown[at].1.push(hit.key),
                None => shown.push((hit, Vec::new())),
            }
        }
        shown
    }

    fn alike(&self, a: &Hit, b: &Hit) -> f32 {
        let vector = |hit: &Hit| self.passage(hit).vector.clone();
        match (vector(a), vector(b)) {
            (Some(a), Some(b)) => super::naive::dot(&a, &b),
            _ if a.key == b.key => 0.5,
            _ => 0.0,
        }
    }

    fn nearly_same(&self, a: &Hit, b: &Hit) -> bool {
        let runs = |hit: &Hit| {
            let words: Vec<String> = self.passage(hit).text.split_whitespace().map(str::to_owned).collect();
            let runs: BTreeSet<Vec<String>> =
                if words.len() < 8 { [words].into() } else { words.windows(4).map(<[String]>::to_vec).collect() };
            runs
        };
        let (a, b) = (runs(a), runs(b));
        a.intersection(&b).count() as f64 / a.union(&b).count() as f64 >= 0.8 - 1e-9
    }
}
