//! What a segment keeps of a word that many of its documents have: who has it, how often, and how high a few neighbours can
//! score, without decoding postings. [`stretch`] says how the latter bounds scores, whatever the caller.

use super::bm25::{B, contribution};
use super::readable::contains;
use super::segment::Spread;
use crate::prefetch::prefetch;

/// What bounds are raised by.
pub(super) const SLACK: f32 = 1.0001;
/// A word in at least one of so many documents is dense.
const SHARE: usize = 8;
/// Documents in a block.
pub(super) const BLOCK: usize = 8;
/// Documents are counted from the start of so many times 64: their number fits 16 bits.
const STRETCH: usize = if cfg!(test) { 3 } else { 1_000 };
/// A frequency of so many or more is kept apart.
const MANY: u32 = 15;
/// Stands for a frequency of [`MANY`] or more where a bound is wanted.
const ENDLESS: f32 = 1e30;
/// By the bits of a block's members and by document: by how many bits the frequency of the document is to be shifted, −1 where it
/// does not have the word.
static SHIFTS: [[i32; BLOCK]; 256] = shifts();

#[expect(clippy::indexing_slicing, reason = "it is computed by the compiler, which would notice")]
const fn shifts() -> [[i32; BLOCK]; 256] {
    let mut shifts = [[-1; BLOCK]; 256];
    let mut members = 0;
    while members < 256 {
        let (mut document, mut shift) = (0, 0);
        while document < BLOCK {
            if members >> document & 1 == 1 {
                shifts[members][document] = shift;
                shift += 4;
            }
            document += 1;
        }
        members += 1;
    }
    shifts
}

/// The documents of a frequent word.
pub(super) struct Dense {
    /// A bit for each that has the word.
    pub(super) members: Vec<u64>,
    /// By 64 documents: how many of their stretch come before them that have the word.
    ranks: Vec<u16>,
    /// By stretch: how many documents before it have the word.
    starts: Vec<u32>,
    /// By document that has the word: four bits, at most [`MANY`]; and as many zeros as are read at once.
    frequencies: Vec<u8>,
    /// Ascending: the documents that have it [`MANY`] times or more, and how often.
    many: Vec<(u32, u32)>,
    /// How many documents have the word.
    having: u32,
    /// By block: the most that a document of it scores for weight 1 under the segment's own average length, in 255ths of the
    /// highest score there is, rounded up.
    pub(super) most: Vec<u8>,
}

impl Dense {
    /// Room for a word in `having` of `len` documents; `None` where they are not enough.
    pub(super) fn room(having: u32, len: usize) -> Option<Dense> {
        (having as usize * SHARE >= len).then(|| Dense {
            members: vec![0; len.div_ceil(64)],
            ranks: Vec::with_capacity(len.div_ceil(64)),
            starts: Vec::with_capacity(len.div_ceil(64 * STRETCH)),
            frequencies: vec![0; having as usize / 2 + 1 + size_of::<u64>()],
            many: Vec::new(),
            having: 0,
            most: vec![0; len.div_ceil(BLOCK)],
        })
    }

    /// Notes that a document has the word; `norm` is K(l) for its length. Documents come in ascending order.
    #[inline]
    pub(super) fn insert(&mut self, doc: u32, frequency: u32, norm: f32) {
        let at = doc as usize;
        while self.ranks.len() <= at / 64 {
            if self.ranks.len().is_multiple_of(STRETCH) {
                self.starts.push(self.having);
            }
            self.ranks.push((self.having - self.starts.last().copied().unwrap_or_default()) as u16);
        }
        if let Some(word) = self.members.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
        if let Some(pair) = self.frequencies.get_mut(self.having as usize / 2) {
            *pair |= (frequency.min(MANY) as u8) << (self.having % 2 * 4);
        }
        self.having += 1;
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
        if contains(&self.members, doc) { self.frequency_of(doc) } else { 0 }
    }

    /// How often a document that has the word has it.
    #[inline]
    pub(super) fn frequency_of(&self, doc: u32) -> u32 {
        let frequency = self.from(doc) & MANY;
        if frequency < MANY {
            return frequency;
        }
        let many = self.many.binary_search_by_key(&doc, |(doc, _)| *doc).ok().and_then(|at| self.many.get(at));
        many.map_or(frequency, |(_, frequency)| *frequency)
    }

    /// How often each document of a block has the word, or so often that it cannot score more.
    #[inline]
    pub(super) fn frequencies(&self, block: usize) -> [f32; BLOCK] {
        let members = self.members.get(block / 8).copied().unwrap_or_default() >> (block % 8 * BLOCK) & 0xFF;
        let four = self.from((block * BLOCK) as u32);
        let mut frequencies = [0.0; BLOCK];
        let Some(shifts) = SHIFTS.get(members as usize) else { return frequencies };
        for (shift, frequency) in shifts.iter().zip(&mut frequencies) {
            // The sign of a shift is spread over all bits.
            let known = four >> (*shift & 31) & MANY & !(*shift >> 31).cast_unsigned();
            *frequency = if known < MANY { known as i32 as f32 } else { ENDLESS };
        }
        frequencies
    }

    /// How many documents before a 64 of them have the word.
    #[inline]
    fn rank(&self, at: usize) -> u32 {
        let start = self.starts.get(at / STRETCH).copied().unwrap_or_default();
        start + u32::from(self.ranks.get(at).copied().unwrap_or_default())
    }

    /// The frequencies of the first eight documents from `doc` on that have the word, four bits each.
    #[inline]
    fn from(&self, doc: u32) -> u32 {
        let at = doc as usize / 64;
        let before = self.members.get(at).copied().unwrap_or_default() & ((1 << (doc % 64)) - 1);
        let rank = self.rank(at) + before.count_ones();
        let bytes = self.frequencies.get(rank as usize / 2..).and_then(|bytes| bytes.first_chunk::<8>());
        (bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes)) >> (rank % 2 * 4)) as u32
    }

    /// Asks for the frequencies of a block before they are needed.
    #[inline]
    pub(super) fn prefetch(&self, block: usize) {
        prefetch(self.members.get(block / 8..=block / 8).unwrap_or_default());
        let rank = self.rank(block / 8) as usize;
        prefetch(self.frequencies.get(rank / 2..=rank / 2).unwrap_or_default());
    }

    pub(super) fn bytes(&self) -> usize {
        let words = self.members.len() * 8 + self.ranks.capacity() * 2 + self.starts.capacity() * 4;
        words + self.frequencies.len() + self.many.capacity() * 8 + self.most.len()
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_dense_word_says_what_was_inserted(
            len in 1usize..1_000, share in 1u32..17, seed in any::<u64>(), often in prop_oneof![Just(2u32), Just(40)],
        ) {
            let mut state = seed | 1;
            let mut next = || { state ^= state << 13; state ^= state >> 7; state ^= state << 17; (state >> 33) as u32 };
            let drawn = (0..len as u32).map(|doc| (doc, 1 + next() % often, next() % 16));
            let inserted: BTreeMap<u32, u32> =
                drawn.filter(|(.., chance)| *chance < share).map(|(doc, frequency, _)| (doc, frequency)).collect();
            let Some(mut dense) = Dense::room(inserted.len() as u32, len) else { return Ok(()) };
            for (doc, frequency) in &inserted {
                dense.insert(*doc, *frequency, 1.0);
            }
            for block in 0..len.div_ceil(BLOCK) {
                for (doc, bounded) in (block as u32 * BLOCK as u32..).zip(dense.frequencies(block)) {
                    let frequency = inserted.get(&doc).copied().unwrap_or(0);
                    prop_assert_eq!(dense.frequency(doc), frequency);
                    prop_assert_eq!(bounded, if frequency < MANY { frequency as f32 } else { ENDLESS });
                    let highest = (255.0 * contribution(1.0, frequency, 1.0) / contribution(1.0, 1, 0.0)).ceil() as u8;
                    prop_assert!(frequency == 0 || dense.most[block] >= highest);
                }
            }
        }
    }
}
