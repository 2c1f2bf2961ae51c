//! The best chunks of a segment, without scoring those that cannot be among them.
//!
//! Block-Max Pruning (Mallia, Suel & Tonellotto 2024) for dense words, and addition of postings for the others, over ranges of
//! documents. Of a dense word every block of 8 documents has a bound (`dense.rs` proves it); the postings of
//! the others are few and are read. What both give a block together bounds its documents. Of the blocks that reach the score to
//! beat, those documents are given up that do not reach it with what the dense words really give them (`bounds.rs`); what is left
//! is scored, the likeliest first. The first score to beat comes from the blocks with the greatest bounds. A document is given up
//! only when its bound is below the lowest score kept; so ties are decided by order, and scores, which are summed in the order of
//! the question's words, are those of the exhaustive loop to the bit.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use tantivy::schema::IndexRecordOption;

use super::bm25::contribution;
use super::bounds::{DRIFT, DenseWord, Range, Reaching, add_most, reach, refine};
use super::dense::{BLOCK, Dense, SLACK, stretch};
use super::lists::{Cursor, Documents, WordList};
use super::ranking::Ranking;
use super::readable::contains;
use super::segment::Segment;
use crate::error::Result;

/// Documents in a range: what is known of them stays in the processor's cache. Few in tests, so that those have many ranges.
const RANGE: usize = if cfg!(test) { 512 } else { 32_768 };
/// Blocks that are looked at to begin with, at least.
const MIN_GLIMPSED: usize = 32;
/// Documents whose numbers are read at once, and not one after the other: they are far apart in memory.
const TOGETHER: usize = 16;
/// More postings than these are forgotten faster with the whole range.
const MANY: usize = RANGE / 16;
/// Which documents of a block have a word tells much when one of so many has it, or fewer.
const TELLING: usize = 2;

/// A kept chunk; the greatest is the worst.
#[derive(Clone, Copy, PartialEq)]
struct Kept {
    score: f32,
    order: u64,
    chunk: u32,
}

impl Eq for Kept {}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.order.cmp(&other.order)).then(self.chunk.cmp(&other.chunk))
    }
}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The best chunks so far.
pub(super) struct Best {
    limit: usize,
    /// Lower scores are of no use.
    floor: f32,
    kept: BinaryHeap<Kept>,
}

impl Best {
    pub(super) fn new(limit: usize, floor: f32) -> Best {
        Best { limit, floor, kept: BinaryHeap::with_capacity(limit.min(1_024) + 1) }
    }

    /// How many are kept.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// What a score must not be below.
    #[inline]
    pub(super) fn threshold(&self) -> f32 {
        // Those that are kept are not below the floor.
        if self.kept.len() < self.limit { self.floor } else { self.kept.peek().map_or(f32::MAX, |worst| worst.score) }
    }

    pub(super) fn offer(&mut self, score: f32, chunk: u32, order: u64) {
        if score < self.floor {
            return;
        }
        let new = Kept { score, order, chunk };
        if self.kept.len() < self.limit {
            self.kept.push(new);
        } else if let Some(mut worst) = self.kept.peek_mut()
            && new < *worst
        {
            *worst = new;
        }
    }

    pub(super) fn into_sorted(self) -> Vec<(u32, f32)> {
        self.kept.into_sorted_vec().into_iter().map(|kept| (kept.chunk, kept.score)).collect()
    }
}

/// A segment, the lists of the question's words in it, and which of its documents may be hits.
pub(super) struct Leaf<'a> {
    pub(super) segment: &'a Segment,
    pub(super) lists: &'a [Option<Arc<WordList>>],
    pub(super) bits: &'a [u64],
}

/// A word of the question in a segment.
enum Word<'a> {
    Dense {
        dense: &'a Dense,
        weight: f32,
    },
    Sparse {
        cursor: Cursor,
        weight: f32,
        /// Its postings in the range: places in the range, ascending, and what they score.
        scores: Vec<(u32, f32)>,
    },
}

/// Offers the best chunks of a segment to `best`.
pub(super) fn collect(
    ranking: &Ranking,
    leaf: &Leaf<'_>,
    best: &mut Best,
    wanted: &impl Fn(u32) -> bool,
    order: &impl Fn(u32) -> u64,
) -> Result<()> {
    let mut search = Search::new(ranking, leaf)?;
    for (start, bits) in (0u32..).step_by(RANGE).zip(leaf.bits.chunks(RANGE / 64)) {
        if bits.iter().any(|word| *word != 0) {
            search.bound(start, bits);
            search.offer(start, bits, best, wanted, order);
            search.clear();
        }
    }
    Ok(())
}

/// A search of a segment, range by range.
struct Search<'a> {
    ranking: &'a Ranking,
    leaf: &'a Leaf<'a>,
    /// In the order of the question.
    words: Vec<Word<'a>>,
    /// The dense ones, the greatest weight first.
    dense: Vec<DenseWord<'a>>,
    /// By block of the range: the most that the dense words give a document.
    most: Vec<f32>,
    /// By block of the range: what the sparse words give its documents together.
    given: Vec<f32>,
    /// By document of the range: what the sparse words give it.
    sums: Vec<f32>,
    /// Blocks that may have hits.
    reaching: Vec<Reaching>,
    /// Their documents that may be hits: bounds, and places in the range.
    likely: Vec<(f32, u32)>,
}

impl<'a> Search<'a> {
    fn new(ranking: &'a Ranking, leaf: &'a Leaf<'a>) -> Result<Search<'a>> {
        let highest = contribution(1.0, 1, 0.0);
        let unit = highest / 255.0 * stretch(leaf.segment.spread, ranking.average) * SLACK;
        let mut words = Vec::with_capacity(leaf.lists.len());
        let mut dense = Vec::new();
        for (list, &weight) in leaf.lists.iter().zip(&ranking.weights) {
            let Some(list) = list.as_deref() else { continue };
            match &list.documents {
                Documents::Dense(known) => {
                    let telling = list.len as usize * TELLING <= leaf.segment.len();
                    dense.push(DenseWord { dense: known, weight: weight * highest, unit: weight * unit, telling });
                    words.push(Word::Dense { dense: known, weight });
                }
                Documents::Sparse(postings) => {
                    let cursor = leaf.segment.open_list(postings, IndexRecordOption::WithFreqs)?;
                    words.push(Word::Sparse { cursor, weight, scores: Vec::new() });
                }
            }
        }
        dense.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        let docs = leaf.segment.len().min(RANGE).next_multiple_of(64);
        let blocks = docs / BLOCK;
        Ok(Search {
            ranking,
            leaf,
            words,
            dense,
            most: vec![0.0; blocks],
            given: vec![0.0; blocks],
            sums: vec![0.0; docs],
            reaching: Vec::new(),
            likely: Vec::new(),
        })
    }

    /// Bounds the documents of the range that begins at `start`, of which `bits` says which are permitted.
    fn bound(&mut self, start: u32, bits: &[u64]) {
        let end = start + RANGE as u32;
        self.most.fill(0.0);
        for word in &self.dense {
            add_most(&mut self.most, word.dense.most.get(start as usize / BLOCK..).unwrap_or_default(), word.unit);
        }
        for word in &mut self.words {
            let Word::Sparse { cursor, weight, scores } = word else { continue };
            scores.clear();
            let mut at = cursor.seek(start);
            while let Some(&last) = cursor.docs().last() {
                let docs = cursor.docs().get(at..).unwrap_or_default();
                let docs = docs.get(..docs.partition_point(|doc| *doc < end)).unwrap_or_default();
                let given = self.ranking.contributions(
                    self.leaf.segment,
                    *weight,
                    docs,
                    cursor.frequencies().get(at..).unwrap_or_default(),
                );
                for (doc, score) in docs.iter().zip(given) {
                    let place = doc.wrapping_sub(start);
                    if let (Some(sum), Some(given)) =
                        (self.sums.get_mut(place as usize), self.given.get_mut(place as usize / BLOCK))
                    {
                        // Half of a caller's documents cannot be foreseen, so nothing depends on it here.
                        let admitted = f32::from(u8::from(contains(bits, place)));
                        *sum += score;
                        *given += score * admitted;
                        scores.push((place, score));
                    }
                }
                if last >= end {
                    break;
                }
                cursor.advance();
                at = 0;
            }
        }
    }

    /// Offers the documents of the range that can be among the best.
    fn offer(&mut self, start: u32, bits: &[u64], best: &mut Best, wanted: &impl Fn(u32) -> bool, order: &impl Fn(u32) -> u64) {
        let mut threshold = best.threshold();
        if best.kept.len() < best.limit && best.floor <= 0.0 {
            threshold = threshold.max(self.glimpse(start, bits, best.limit, wanted));
        }
        self.reach(start, bits, threshold, threshold);
        self.find_likely(start);
        // The likeliest come first, so that few others need to be scored.
        if best.limit < self.likely.len() {
            self.likely.select_nth_unstable_by(best.limit, |a, b| b.0.total_cmp(&a.0));
        }
        let mut hits: Vec<(u32, u32, u64)> = Vec::with_capacity(TOGETHER);
        for likely in self.likely.chunks(TOGETHER) {
            let threshold = best.threshold().max(threshold);
            let likely = likely.iter().filter(|(bound, place)| bound + self.most_of(*place) * DRIFT >= threshold);
            let chunks = likely.filter_map(|(_, place)| Some((*place, *self.leaf.segment.chunks.get((start + place) as usize)?)));
            hits.clear();
            hits.extend(chunks.filter(|(_, chunk)| wanted(*chunk)).map(|(place, chunk)| (place, chunk, 0)));
            hits.iter_mut().for_each(|(_, chunk, found)| *found = order(*chunk));
            for &(place, chunk, order) in &hits {
                let score = self.score(place, start + place);
                if score > 0.0 {
                    best.offer(score, chunk, order);
                }
            }
        }
    }

    /// A score that at least `limit` documents of the range have, from the blocks with the greatest bounds; 0 where these have
    /// fewer hits. To begin with: until there are as many hits as are wanted, everything would have to be looked at.
    fn glimpse(&mut self, start: u32, bits: &[u64], limit: usize, wanted: &impl Fn(u32) -> bool) -> f32 {
        let blocks = limit.max(MIN_GLIMPSED);
        self.likely.clear();
        let admitted = bits.iter().flat_map(|word| word.to_le_bytes());
        let bounds = (0u32..).step_by(BLOCK).zip(self.most.iter().zip(&self.given)).zip(admitted);
        let bounds = bounds.filter(|(_, admitted)| *admitted != 0);
        self.likely.extend(bounds.map(|((place, (most, given)), _)| ((most + given) * SLACK, place)));
        let lowest = match blocks < self.likely.len() {
            true => self.likely.select_nth_unstable_by(blocks, |a, b| b.0.total_cmp(&a.0)).1.0,
            false => 0.0,
        };
        self.reach(start, bits, lowest, 0.0);
        for block in &mut self.reaching {
            block.enough = f32::MIN_POSITIVE;
        }
        self.find_likely(start);
        let chunks = &self.leaf.segment.chunks;
        self.likely.retain(|(_, place)| chunks.get((start + place) as usize).is_some_and(|chunk| wanted(*chunk)));
        let Some(last) = limit.checked_sub(1).filter(|last| *last < self.likely.len()) else { return 0.0 };
        self.likely.select_nth_unstable_by(last, |a, b| b.0.total_cmp(&a.0));
        self.likely.iter().take(limit).map(|(_, place)| self.score(*place, start + place)).fold(f32::MAX, f32::min)
    }

    /// Refines the blocks that were found, and lists the documents that are left.
    fn find_likely(&mut self, start: u32) {
        refine(&self.dense, &mut self.reaching);
        self.likely.clear();
        for found in &self.reaching {
            let first = found.block * BLOCK as u32 - start;
            let bounds = found.bounds.into_iter().zip(first..);
            self.likely.extend(bounds.filter(|(bound, _)| *bound >= found.enough));
        }
    }

    /// Finds the blocks of the range whose bounds are not below `cut`, and whose documents may reach the threshold.
    fn reach(&mut self, start: u32, bits: &[u64], cut: f32, threshold: f32) {
        self.reaching.clear();
        let range = Range {
            block: start / BLOCK as u32,
            bits,
            most: &self.most,
            given: &self.given,
            sums: &self.sums,
            lengths: self.leaf.segment.lengths.get(start as usize..).unwrap_or_default(),
            norms: &self.ranking.norms,
        };
        reach(range, &self.dense, cut.max(f32::MIN_POSITIVE), threshold.max(f32::MIN_POSITIVE), &mut self.reaching);
    }

    /// The bound of a document's block.
    fn most_of(&self, place: u32) -> f32 {
        let block = place as usize / BLOCK;
        let (most, given) = (self.most.get(block), self.given.get(block));
        (most.copied().unwrap_or_default() + given.copied().unwrap_or_default()) * SLACK
    }

    /// The score, summed in the order of the question's words; a word that the document does not have adds nothing, to the bit.
    fn score(&self, place: u32, doc: u32) -> f32 {
        let norm = self.ranking.norm(self.leaf.segment, doc);
        self.words.iter().fold(0.0, |sum, word| match word {
            Word::Dense { dense, weight } => match dense.frequency(doc) {
                0 => sum,
                frequency => sum + contribution(*weight, frequency, norm),
            },
            Word::Sparse { scores, .. } => {
                let found = scores.binary_search_by_key(&place, |(place, _)| *place).ok().and_then(|at| scores.get(at));
                found.map_or(sum, |(_, score)| sum + score)
            }
        })
    }

    /// Makes the sums of the sparse words zero again.
    fn clear(&mut self) {
        let scores = || {
            self.words.iter().filter_map(|word| match word {
                Word::Sparse { scores, .. } => Some(scores),
                Word::Dense { .. } => None,
            })
        };
        if scores().map(Vec::len).sum::<usize>() > MANY {
            self.sums.fill(0.0);
            self.given.fill(0.0);
            return;
        }
        for scores in scores() {
            for (place, _) in scores {
                let place = *place as usize;
                if let (Some(sum), Some(given)) = (self.sums.get_mut(place), self.given.get_mut(place / BLOCK)) {
                    (*sum, *given) = (0.0, 0.0);
                }
            }
        }
    }
}
