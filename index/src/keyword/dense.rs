//! What a segment keeps of a word that many of its documents have: who has it, how often, and how high a few neighbours can
//! score, without decoding postings. [`stretch`] says how the latter bounds scores, whatever the caller.

use super::bm25::{B, contribution};
use super::readable::contains;
use super::segment::Spread;
use crate::prefetch::prefetch;

/// What bounds are raised by.
pub(super) const SLACK: f32 = 1.0001;
/// A word in at least one of so many documents is dense.
const SHARE: usize = 16;
/// Documents in a block.
pub(super) const BLOCK: usize = 8;
/// A frequency of so many or more is kept apart.
const MANY: u32 = 15;
/// Stands for a frequency of [`MANY`] or more where a bound is wanted.
const ENDLESS: f32 = 1e30;

/// The documents of a frequent word.
pub(super) struct Dense {
    /// A bit for each that has the word.
    pub(super) members: Vec<u64>,
    /// By block: four bits a document, at most [`MANY`].
    frequencies: Vec<u32>,
    /// Ascending: the documents that have it [`MANY`] times or more, and how often.
    many: Vec<(u32, u32)>,
    /// By block: the most that a document of it scores for weight 1 under the segment's own average length, in 255ths of the
    /// highest score there is, rounded up.
    pub(super) most: Vec<u8>,
}

impl Dense {
    /// Room for a word in `having` of `len` documents; `None` where they are not enough.
    pub(super) fn room(having: u32, len: usize) -> Option<Dense> {
        (having as usize * SHARE >= len).then(|| Dense {
            members: vec![0; len.div_ceil(64)],
            frequencies: vec![0; len.div_ceil(BLOCK)],
            many: Vec::new(),
            most: vec![0; len.div_ceil(BLOCK)],
        })
    }

    /// Notes that a document has the word; `norm` is K(l) for its length. Documents come in ascending order.
    #[inline]
    pub(super) fn insert(&mut self, doc: u32, frequency: u32, norm: f32) {
        let at = doc as usize;
        if let Some(word) = self.members.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
        if let Some(frequencies) = self.frequencies.get_mut(at / BLOCK) {
            *frequencies |= frequency.min(MANY) << (at % BLOCK * 4);
        }
        if frequency >= MANY {
            self.many.push((doc, frequency));
        }
        if let Some(most) = self.most.get_mut(at / BLOCK) {
            *most = (*most).max((255.0 * contribution(1.0, frequency, norm) / contribution(1.0, 1, 0.0)).ceil() as u8);
        }
    }

    /// How often a document has the word.
    #[inline]
    pub(super) fn frequency(&self, doc: u32) -> u32 {
        // The bits are far fewer than the frequencies, and mostly in the processor's cache.
        if contains(&self.members, doc) { self.frequency_of(doc) } else { 0 }
    }

    /// The same without looking whether it has the word at all.
    #[inline]
    pub(super) fn frequency_of(&self, doc: u32) -> u32 {
        let at = doc as usize;
        let frequency = self.frequencies.get(at / BLOCK).copied().unwrap_or_default() >> (at % BLOCK * 4) & MANY;
        if frequency < MANY {
            return frequency;
        }
        let many = self.many.binary_search_by_key(&doc, |(doc, _)| *doc).ok().and_then(|at| self.many.get(at));
        many.map_or(frequency, |(_, frequency)| *frequency)
    }

    /// How often each document of a block has the word, or so often that it cannot score more.
    #[inline]
    pub(super) fn frequencies(&self, block: usize) -> [f32; BLOCK] {
        let four = self.frequencies.get(block).copied().unwrap_or_default();
        let mut frequencies = [0.0; BLOCK];
        for (lane, frequency) in (0u32..).zip(&mut frequencies) {
            let known = four >> (4 * lane) & MANY;
            *frequency = if known < MANY { known as i32 as f32 } else { ENDLESS };
        }
        frequencies
    }

    /// Asks for the frequencies of a block before they are needed.
    #[inline]
    pub(super) fn prefetch(&self, block: usize) {
        prefetch(self.frequencies.get(block..=block).unwrap_or_default());
    }

    pub(super) fn bytes(&self) -> usize {
        self.members.len() * 8 + self.frequencies.len() * 4 + self.many.capacity() * 8 + self.most.len()
    }
}

/// How much more a chunk of a segment can score for a caller whose average length is A than under the segment's own average M.
///
/// BM25 gives a posting of frequency f in a chunk of length l the weight w · (k1 + 1) / (1 + u), where u = K(l) / f and
/// K(l) = k1 · (1 − b + b · l / A) for the average length A of what the caller may read. A is another one for every caller,
/// so what is kept of dense words is 1 / (1 + u) under M. K_A(l) / K_M(l) = (1 − b + b·l/A) / (1 − b + b·l/M) is a quotient of
/// two linear functions of l with a positive denominator, hence monotone, so on the lengths of a segment it is least at the
/// shortest or at the longest: u_A ≥ r · u_M for that least r, and 1 / (1 + u_A) ≤ 1 / (1 + r · u_M) ≤ max(1, 1/r) / (1 + u_M).
/// Tantivy's own block maxima keep the (length, frequency) pair that is best under other parameters, under which another pair
/// of the same block may score more; they are not used.
///
/// Rounding: a bound and a score are each a sum of at most 512 positive numbers that took a few operations, each of relative
/// error 2⁻²⁴, so both differ from the exact values by less than 530 · 2⁻²⁴ < 3.2 · 10⁻⁵ of them. A bound that is raised by
/// [`SLACK`] is above every score that it bounds, in whatever order either is summed.
pub(super) fn stretch(spread: Spread, average: f32) -> f32 {
    let norm = |length: f32, average: f32| 1.0 - B + B * length / average;
    let ratio = |length: f32| norm(length, average) / norm(length, spread.average);
    (1.0 / ratio(spread.shortest).min(ratio(spread.longest))).max(1.0)
}
