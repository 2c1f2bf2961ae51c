//! BM25 over what a caller may read.
//!
//! Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with the always positive idf
//! ln(1 + (N − df + ½) / (df + ½)). N, df and the average length count permitted chunks only, so that nothing hidden
//! changes a score. A chunk's length is read from tantivy's one-byte field norm. Scores are summed in the order of the
//! query's terms: equal inputs give equal bits, whatever the segments look like.

use std::collections::HashMap;

use tantivy::postings::Postings;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, TERMINATED, Term};

use super::index::KeywordSnapshot;
use crate::error::Result;

/// Term frequency saturation; this and [`B`] are the settings of Anserini's BM25 baselines.
const K1: f32 = 0.9;
/// Length normalization.
const B: f32 = 0.4;

/// What BM25 counts over: the chunks that the caller may read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Corpus {
    /// Their number.
    pub(crate) chunks: u64,
    /// The sum of their lengths, in terms.
    pub(crate) tokens: u64,
}

impl Corpus {
    fn average_length(self) -> f32 {
        if self.chunks == 0 { 1.0 } else { (self.tokens as f64 / self.chunks as f64).max(1.0) as f32 }
    }

    fn idf(self, df: u64) -> f32 {
        let (n, df) = (self.chunks as f64, df as f64);
        (1.0 + (n - df + 0.5).max(0.0) / (df + 0.5)).ln() as f32
    }
}

/// The permitted postings of a query's terms, and their document frequencies.
pub(crate) struct Collected {
    corpus: Corpus,
    /// By term: how many permitted chunks have it.
    df: Vec<u64>,
    /// How often each term stands in the query.
    repeats: Vec<f32>,
    /// By chunk: length, and frequency of each term.
    chunks: HashMap<u32, Frequencies>,
}

struct Frequencies {
    length: u32,
    /// (term, frequency), ascending by term.
    terms: Vec<(u16, u32)>,
}

/// At most this many different terms of a query are used; the rest are ignored.
const MAX_QUERY_TERMS: usize = 512;

/// Reads the postings of the query's terms, keeping those of chunks for which `admits` holds.
pub(crate) fn collect(
    snapshot: &KeywordSnapshot,
    query: &[String],
    corpus: Corpus,
    admits: impl Fn(u32) -> bool,
) -> Result<Collected> {
    let mut order: Vec<(&str, f32)> = Vec::new();
    for term in query {
        if let Some((_, repeats)) = order.iter_mut().find(|(known, _)| known == term) {
            *repeats += 1.0;
        } else if order.len() < MAX_QUERY_TERMS {
            order.push((term, 1.0));
        }
    }
    let mut df = vec![0u64; order.len()];
    let mut chunks = HashMap::<u32, Frequencies>::new();
    for segment in snapshot.segments.iter() {
        for ((number, (text, _)), df) in order.iter().enumerate().zip(&mut df) {
            let term = Term::from_field_text(snapshot.terms, text);
            let Some(mut postings) =
                segment.postings.read_postings(&term, IndexRecordOption::WithFreqs).map_err(tantivy::TantivyError::from)?
            else {
                continue;
            };
            let mut doc = postings.doc();
            while doc != TERMINATED {
                let chunk = segment.chunk(doc);
                if admits(chunk) {
                    *df += 1;
                    let length = || segment.lengths.fieldnorm(doc);
                    let entry = chunks.entry(chunk).or_insert_with(|| Frequencies { length: length(), terms: Vec::new() });
                    entry.terms.push((u16::try_from(number).unwrap_or(u16::MAX), postings.term_freq()));
                }
                doc = postings.advance();
            }
        }
    }
    Ok(Collected { corpus, df, repeats: order.into_iter().map(|(_, repeats)| repeats).collect(), chunks })
}

impl Collected {
    /// Every chunk that has one of the terms, with its score.
    pub(crate) fn scores(&self) -> impl Iterator<Item = (u32, f32)> + '_ {
        let weights = self.weights();
        self.chunks.iter().map(move |(&chunk, found)| (chunk, self.score_of(found, &weights)))
    }

    /// The score of one chunk; 0 when it has none of the terms.
    pub(crate) fn score(&self, chunk: u32) -> f32 {
        self.chunks.get(&chunk).map_or(0.0, |found| self.score_of(found, &self.weights()))
    }

    fn weights(&self) -> Vec<f32> {
        self.df.iter().zip(&self.repeats).map(|(&df, repeats)| self.corpus.idf(df) * repeats).collect()
    }

    fn score_of(&self, found: &Frequencies, weights: &[f32]) -> f32 {
        let norm = K1 * (1.0 - B + B * found.length as f32 / self.corpus.average_length());
        found.terms.iter().fold(0.0, |sum, &(term, frequency)| {
            let frequency = frequency as f32;
            sum + weights.get(usize::from(term)).copied().unwrap_or(0.0) * frequency * (K1 + 1.0) / (frequency + norm)
        })
    }
}
