//! The formula: BM25 over what a caller may read.
//!
//! Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with the always positive idf
//! ln(1 + (N − df + ½) / (df + ½)). N, df and the average length count permitted chunks only, so that nothing hidden
//! changes a score. A chunk's length is read from tantivy's one-byte field norm. Scores are summed in the order of the
//! query's words: equal inputs give equal bits, whatever the segments look like.

use tantivy::fieldnorm::FieldNormReader;

/// Term frequency saturation; this and [`B`] are the settings of Anserini's BM25 baselines.
pub(super) const K1: f32 = 0.9;
/// Length normalization.
pub(super) const B: f32 = 0.4;

/// What BM25 counts over: the chunks that the caller may read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Corpus {
    /// Their number.
    pub(crate) chunks: u64,
    /// The sum of their lengths, in terms.
    pub(crate) tokens: u64,
}

impl Corpus {
    pub(super) fn average_length(self) -> f32 {
        if self.chunks == 0 { 1.0 } else { (self.tokens as f64 / self.chunks as f64).max(1.0) as f32 }
    }

    pub(super) fn idf(self, df: u64) -> f32 {
        let (n, df) = (self.chunks as f64, df as f64);
        (1.0 + (n - df + 0.5).max(0.0) / (df + 0.5)).ln() as f32
    }
}

/// By length code: K(l) = k1 · (1 − b + b · l / average), what is added to a frequency.
pub(super) fn norms(average: f32) -> [f32; 256] {
    let mut norms = [0.0; 256];
    for (code, norm) in (0..=u8::MAX).zip(&mut norms) {
        *norm = K1 * (1.0 - B + B * FieldNormReader::id_to_fieldnorm(code) as f32 / average);
    }
    norms
}

/// What a word adds to the score of a chunk that has it `frequency` times.
#[inline]
pub(super) fn contribution(weight: f32, frequency: u32, norm: f32) -> f32 {
    let frequency = frequency as f32;
    weight * frequency * (K1 + 1.0) / (frequency + norm)
}
