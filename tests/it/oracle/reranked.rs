//! Re-ranking by the definition: a scorer that any text can be given to, which candidates it orders, and what follows them.

use super::naive::{Hit, Naive, Part, Question, best};

/// How many passages are re-ranked, at least.
pub(super) const RERANKED: usize = 50;

/// A log-odds that follows from the words and the text alone; few different ones, so that ties are real.
pub(crate) fn score(words: &str, text: &str) -> f32 {
    let hash = blake3::hash(format!("{words}\n\n{text}").as_bytes());
    f32::from(hash.as_bytes()[0] % 41) / 4.0 - 5.0
}

/// What is asked, as it would be said: without signs, and without what is excluded.
fn words(parts: &[Part]) -> String {
    let said = parts.iter().filter(|part| part.sign != Some('-'));
    said.flat_map(|part| part.words.clone()).collect::<Vec<_>>().join(" ")
}

impl Question {
    /// How many candidates are re-ranked; `None` without re-ranking.
    pub(super) fn reranked(&self) -> Option<usize> {
        (self.rerank && !words(&self.parts).is_empty()).then(|| RERANKED.max(self.limit))
    }
}

impl Naive {
    /// The candidates that are re-ranked, with their new scores, and the others.
    pub(super) fn rerank(&self, question: &Question, hits: Vec<Hit>) -> (Vec<Hit>, Vec<Hit>) {
        let Some(count) = question.reranked() else { return (hits, Vec::new()) };
        let mut first = best(hits.into_iter(), usize::MAX);
        let others = first.split_off(count.min(first.len()));
        for hit in &mut first {
            let passage = self.passage(hit);
            let title = self.documents[&hit.key].versions.last().unwrap().title.clone();
            let lines: Vec<String> = title.into_iter().chain(passage.heading.clone()).chain([passage.text.clone()]).collect();
            let odds = f64::from(score(&words(&question.parts), &lines.join("\n")));
            hit.score = (1.0 / (1.0 + (-odds).exp())) as f32;
            hit.reranker = Some(hit.score);
        }
        (first, others)
    }
}
